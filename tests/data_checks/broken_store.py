"""A small store of phantoms, and what happens to its files between two nights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from data_checks.limits import CheckLimits
from data_checks.suites.pixels import pixel_chunks
from mammo.data.index import read_index, write_index
from mammo.data.query import open_index
from mammo.data.staging import headers_of
from mammo.settings import Settings

Fault = Callable[[Settings], None]


def frame_of(settings: Settings) -> pd.DataFrame:
    """Return the frame that the suite evaluates."""
    with open_index(settings.index_path) as query:
        return pd.concat(list(pixel_chunks(settings, query, CheckLimits())), ignore_index=True)


def broken_frame(settings: Settings, home: Path, fault: Fault | None) -> pd.DataFrame:
    """Return the facts of a copy of the store with the fault."""
    shutil.copytree(settings.index_path.parent, home / "data" / "store")
    for path in (home / "data").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    other = Settings(home=home, _env_file=None)
    if fault is not None:
        fault(other)
    return frame_of(other)


def _shard(settings: Settings) -> Path:
    return sorted(settings.shards_dir.glob("*.npy"))[0]


def _header(settings: Settings) -> Path:
    return headers_of(settings) / f"{_shard(settings).stem}.jsonl"


def _flip(settings: Settings) -> None:
    data = bytearray(_shard(settings).read_bytes())
    data[5000] ^= 255
    _shard(settings).write_bytes(data)


def _cut(settings: Settings) -> None:
    _shard(settings).write_bytes(_shard(settings).read_bytes()[:-1000])


def _black(settings: Settings) -> None:
    pixels = np.load(_shard(settings))
    pixels[0] = 0
    np.save(_shard(settings), pixels)


def _exchange(settings: Settings) -> None:
    pixels = np.load(_shard(settings))
    pixels[[0, -1]] = pixels[[-1, 0]]
    np.save(_shard(settings), pixels)


def _one_line_less(settings: Settings) -> None:
    lines = _header(settings).read_text().splitlines(keepends=True)
    _header(settings).write_text("".join(lines[:-1]))


def _garbled_line(settings: Settings) -> None:
    lines = _header(settings).read_text().splitlines(keepends=True)
    _header(settings).write_text("".join(["{]\n", *lines[1:]]))


def _other_size(settings: Settings) -> None:
    path = settings.index_path.parent / "preprocess.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"height": 512}))


def _indexed(change: Callable[[pd.DataFrame], None]) -> Fault:
    def apply(settings: Settings) -> None:
        index = read_index(settings.index_path)
        change(index)
        write_index(index, settings.index_path)

    return apply


def _moved(column: str) -> Fault:
    def change(index: pd.DataFrame) -> None:
        index[column] = np.roll(index[column].to_numpy(), 1)

    return _indexed(change)


def _doubled(column: str) -> Fault:
    def change(index: pd.DataFrame) -> None:
        index[column] = 2 * index[column]

    return _indexed(change)


def _beyond(index: pd.DataFrame) -> None:
    index.loc[index.index[0], "shard_row"] = 99_999


def _unknown_shard(index: pd.DataFrame) -> None:
    index.loc[index.index[0], "shard"] = "0123456789abcdef"


FAULTS: tuple[tuple[str, str, Fault], ...] = (
    ("shards/*.npy", "deleted", lambda one: _shard(one).unlink()),
    ("shards/*.npy", "cut short by 1,000 bytes", _cut),
    ("shards/*.npy", "one byte changed", _flip),
    ("shards/*.npy", "overwritten by a text", lambda one: _shard(one).write_text("gone") and None),
    ("shards/*.npy", "one image black", _black),
    ("shards/*.npy", "two images exchanged", _exchange),
    ("headers/*.jsonl", "deleted", lambda one: _header(one).unlink()),
    ("headers/*.jsonl", "one line lost", _one_line_less),
    ("headers/*.jsonl", "one line garbled", _garbled_line),
    ("preprocess.json", "another height", _other_size),
    ("index: shard", "a shard that is not there", _indexed(_unknown_shard)),
    ("index: shard_row", "moved down by one row", _moved("shard_row")),
    ("index: shard_row", "beyond the shard's end", _indexed(_beyond)),
    ("index: phash", "moved down by one row", _moved("phash")),
    *((f"index: {name}", "of another scale", _doubled(name)) for name in
      ("f_breast_fraction", "f_mean_intensity", "f_contrast")),
    ("index: sha256", "moved down by one row", _moved("sha256")),
)  # fmt: skip
UNCAUGHT = {
    ("index: sha256", "moved down by one row"): "neither shard nor header names the digest of the "
    "file it came from, and the file is not kept; only reading it again tells",
}


def frames(settings: Settings, scratch: Path) -> list[pd.DataFrame]:
    """Return the sound frame and, after it, one for each fault."""
    faults = [None, *(fault for _, _, fault in FAULTS)]
    return [
        broken_frame(settings, scratch / str(number), fault) for number, fault in enumerate(faults)
    ]
