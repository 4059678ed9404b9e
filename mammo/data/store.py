"""The store: index, shards, their headers, and the configuration they were prepared with.

Writers take turns by a lock on a file, so two ingests at once end with both
their images.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammo.data import staging
from mammo.data.durable import make_folder, storing, write_text
from mammo.data.index_file import count_rows
from mammo.data.index_merge import distinct_values, extend_index, find_known
from mammo.data.index_schema import table_from_rows
from mammo.errors import DuplicateImage, ReadError
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

Row = dict[str, Any]


@dataclass(frozen=True)
class StoreChange:
    """What adding rows did.

    ``added`` holds the SHA-256 of the files that came in; ``rejected`` rows clash
    with an image in the index.
    """

    added: tuple[str, ...]
    index_rows: int
    rejected: tuple[tuple[Row, ReadError], ...]


def add_rows(settings: Settings, config: PreprocessConfig, rows: list[Row]) -> StoreChange:
    """Move the rows' shards from staging into the store and extend the index.

    Call it under `store_lock`. Rows whose file is already in the index are left
    out. The index is replaced last and in one step; shards that it does not
    name are removed after it. Memory goes with the rows, not with the index.
    """
    index = settings.index_path
    accepted, rejected = _sort_out(index, rows)
    staging.move_to_store(settings, {row["shard"] for row in accepted})
    if accepted or not index.exists():
        _write_config(settings, config)
        extend_index(index, table_from_rows(accepted), staging.directory_of(settings))
    _remove_orphans(settings, distinct_values(index, "shard"))
    files = tuple(row["sha256"] for row in accepted)
    return StoreChange(files, count_rows(index), tuple(rejected))


def known_files(settings: Settings, digests: Collection[str]) -> frozenset[str]:
    """Return which of these files, by SHA-256, are in the index."""
    return find_known(settings.index_path, "sha256", digests)


def read_store_config(settings: Settings) -> PreprocessConfig | None:
    """Return how the store's images were prepared; None when there is no store."""
    path = _config_path(settings)
    if not path.exists() or not settings.index_path.exists():
        return None
    return PreprocessConfig.from_dict(json.loads(path.read_text()))


@contextmanager
def store_lock(settings: Settings) -> Iterator[None]:
    """Hold the store's lock; it falls when the process ends, however it ends."""
    make_folder(settings.data_dir)
    with storing(settings.data_dir):
        handle = (settings.data_dir / ".store.lock").open("w")
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sort_out(index: Path, rows: list[Row]) -> tuple[list[Row], list[tuple[Row, ReadError]]]:
    files, images = (
        set(find_known(index, column, {row[column] for row in rows}))
        for column in ("sha256", "image_id")
    )
    accepted: list[Row] = []
    rejected: list[tuple[Row, ReadError]] = []
    for row in rows:
        if row["sha256"] in files:
            continue
        if row["image_id"] in images:
            error = DuplicateImage(
                "another file with the same SOP Instance UID (0008,0018) is in the index; "
                "the first one is kept"
            )
            rejected.append((row, error))
            continue
        files.add(row["sha256"])
        images.add(row["image_id"])
        accepted.append(row)
    return accepted, rejected


def _remove_orphans(settings: Settings, named: frozenset[str]) -> None:
    """Remove shards and headers that no row names, and drafts that older versions left."""
    folders = (settings.shards_dir, staging.headers_of(settings))
    with storing(settings.index_path.parent):
        for path in (path for folder in folders for path in folder.glob("*")):
            if path.stem not in named or path.name.startswith("."):
                path.unlink(missing_ok=True)
        for path in settings.index_path.parent.glob(".*"):
            path.unlink(missing_ok=True)


def _config_path(settings: Settings) -> Path:
    return settings.index_path.parent / "preprocess.json"


def _write_config(settings: Settings, config: PreprocessConfig) -> None:
    path = _config_path(settings)
    text = json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"
    if path.exists() and path.read_text() == text:
        return
    write_text(path, text, staging.directory_of(settings))
