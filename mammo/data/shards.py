"""Prepared pixels: a few large `.npy` arrays instead of thousands of small files.

A shard is a C-contiguous uint16 array (N, height, width), opened as a memory
map. Its name comes from its content, so writing it twice changes nothing and a
data version (DVC) only sees what is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mammo.data.durable import write_file
from mammo.errors import SourceInvalid

Pixels = npt.NDArray[np.uint16]


def write_shard(directory: Path, name: str, arrays: Sequence[Pixels]) -> Path:
    """Write prepared images, each (height, width) uint16, as ``name.npy`` in one step."""
    path = directory / f"{name}.npy"
    write_file(path, partial(_write_array, arrays=arrays), drafts=directory)
    return path


def shard_digest(arrays: Sequence[Pixels], headers: Sequence[str] = ()) -> str:
    """Return 16 hex digits that name a shard by shape, pixels and headers.

    With the headers, because the same pixels may come again in other files.
    """
    digest = hashlib.sha256(repr([array.shape for array in arrays]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<u2").data)
    for header in headers:
        digest.update(header.encode() + b"\n")
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


def _write_array(handle: BinaryIO, arrays: Sequence[Pixels]) -> None:
    """Write what `numpy.save` would of the stacked arrays.

    Not by `numpy.save`: it copies them all once more, and hides why a disk refuses.
    """
    shape = (len(arrays), *arrays[0].shape)
    header = {"descr": "<u2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(handle, header)
    for array in arrays:
        if array.shape != shape[1:]:
            raise ValueError(f"a shard of {shape[1:]} images was given one of {array.shape}")
        handle.write(np.ascontiguousarray(array, dtype="<u2").data)
