"""Prepared images of the index as tiles: pixels from the shards, findings' boxes in their place."""

from __future__ import annotations

import json
from typing import Any

from mammo.data.shards import ShardReader
from mammo.explore.pictures import Box, Tile
from mammo.geometry import Geometry

TILE_COLUMNS = (
    "image_id, laterality, view, scanner, source, density, shard, shard_row, geometry, findings"
)
"""What `make_tile` needs of a row."""
DIGITS = 8


def make_tile(reader: ShardReader, row: Any, *told: str) -> Tile:
    """Return the tile of an index row: its view, the start of its pseudonym, then ``told``."""
    lines = (f"{row.laterality} {row.view}", short(row.image_id), *told)
    return Tile(reader.row(row.shard, int(row.shard_row)), lines, prepared_boxes(row))


def prepared_boxes(row: Any) -> tuple[Box, ...]:
    """Return the findings' boxes of a row in pixels of its prepared image."""
    place = json.loads(row.geometry or "{}")
    if not place:
        return ()
    geometry = Geometry.from_dict(place)
    found = json.loads(row.findings or "[]")
    return tuple(
        (*geometry.to_prepared(one["x_min"], one["y_min"]),
         *geometry.to_prepared(one["x_max"], one["y_max"]))
        for one in found
    )  # fmt: skip


def short(pseudonym: str) -> str:
    """Return the beginning of a pseudonym: enough to find the row again, short enough to read."""
    kind, _, digits = pseudonym.partition("-")
    return f"{kind}-{digits[:DIGITS]}" if digits else pseudonym[:DIGITS]
