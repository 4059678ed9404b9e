"""One prepared image to look at: a row of the index, or a file prepared now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mammo.errors import IndexMissing, SourceInvalid
from mammo.explore.pictures import Box
from mammo.explore.prepared import TILE_COLUMNS, prepared_boxes

if TYPE_CHECKING:
    from mammo.settings import Settings

Chosen = tuple[np.ndarray, tuple[Box, ...]]


def choose_image(settings: Settings, image: str | None) -> Chosen:
    """Return prepared pixels, (H, W) uint16, and the boxes in them.

    ``image`` is a DICOM file, the number of a row of the index (the first is 0), or None: the
    first row with a finding, else the first row.

    Raises
    ------
    ReadError, SourceNotFound
        The file cannot be read.
    SourceInvalid, IndexMissing
        There is no such row.
    """
    if image is not None and not image.isdigit():
        return _from_file(settings, Path(image))
    return _from_index(settings, None if image is None else int(image))


def _from_file(settings: Settings, path: Path) -> Chosen:
    from mammo.dicom.read import read_mammogram
    from mammo.preprocess import PreprocessConfig, prepare

    _, stored = read_mammogram(path, key=settings.own_key(), site=settings.site)
    return prepare(stored, PreprocessConfig(height=1024, width=512)).pixels, ()


def _from_index(settings: Settings, number: int | None) -> Chosen:
    from mammo.data.query import open_index
    from mammo.data.shards import ShardReader

    order = "ORDER BY source, image_id, sha256"
    first = f"ORDER BY (coalesce(findings, '[]') <> '[]') DESC, {order.removeprefix('ORDER BY ')}"
    with open_index(settings.index_path) as query:
        rows = query.frame(
            f"SELECT {TILE_COLUMNS} FROM exams WHERE shard_row >= 0 "
            f"{first if number is None else order} LIMIT 1 OFFSET ?",
            [number or 0],
        )
        total = int(query.frame("SELECT count(*) AS n FROM exams WHERE shard_row >= 0")["n"][0])
    if not total:
        raise IndexMissing("the index holds no prepared image: run `mammo ingest` first")
    if rows.empty:
        raise SourceInvalid(f"the index has no row {number}; allowed are 0 to {total - 1}")
    row: Any = next(rows.itertuples())
    pixels = ShardReader(settings.shards_dir).row(str(row.shard), int(row.shard_row))
    return np.asarray(pixels), prepared_boxes(row)
