"""Prepared pixels: a few large `.npy` arrays instead of thousands of small files.

A shard is a C-contiguous uint16 array (N, height, width), opened as a memory
map. Its name comes from its content, so writing it twice changes nothing and a
data version (DVC) only sees what is new.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mammo.errors import SourceInvalid

Pixels = npt.NDArray[np.uint16]


def write_shard(directory: Path, name: str, arrays: Sequence[Pixels]) -> Path:
    """Write prepared images, each (height, width) uint16, as ``name.npy``; atomic."""
    directory.mkdir(parents=True, exist_ok=True)
    stacked = np.ascontiguousarray(np.stack(arrays), dtype=np.uint16)
    draft = directory / f".{name}.{os.getpid()}.npy"
    np.save(draft, stacked, allow_pickle=False)
    path = directory / f"{name}.npy"
    draft.replace(path)
    return path


def shard_digest(arrays: Sequence[Pixels]) -> str:
    """Return 16 hex digits that name a shard by shape and pixels."""
    digest = hashlib.sha256(repr([array.shape for array in arrays]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<u2").data)
    return digest.hexdigest()[:16]


def open_shard(path: Path) -> np.memmap[tuple[int, ...], np.dtype[np.uint16]]:
    """Open a shard read-only as a memory map, (N, height, width) uint16.

    Raises
    ------
    SourceInvalid
        The file is missing, cut short or of another type.
    """
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceInvalid(
            f"shard {path.name} cannot be opened ({type(error).__name__}): "
            "restore the data version, or ingest again"
        ) from error
    if not isinstance(mapped, np.memmap) or mapped.dtype != np.uint16 or mapped.ndim != 3:
        raise SourceInvalid(
            f"shard {path.name} holds {mapped.dtype} with {mapped.ndim} axes; "
            "allowed is uint16 (N, height, width)"
        )
    return mapped


class ShardReader:
    """Rows of many shards; each shard is mapped once, when first asked for.

    Safe to pickle: a copy in another process maps the files again.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self._open: dict[str, np.memmap[tuple[int, ...], np.dtype[np.uint16]]] = {}

    def row(self, shard: str, row: int) -> Pixels:
        """Return one prepared image, (height, width) uint16, read-only view."""
        if shard not in self._open:
            self._open[shard] = open_shard(self.directory / f"{shard}.npy")
        pixels: Pixels = self._open[shard][row]
        return pixels

    def __getstate__(self) -> dict[str, object]:
        return {"directory": self.directory, "_open": {}}
