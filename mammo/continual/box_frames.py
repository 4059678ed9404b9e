"""Do the boxes of prepared images lie where something is, or on their heads?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.data.index import read_index
from mammo.data.shards import ShardReader
from mammo.detection.box_frame import FrameCheck, check_frame, contrasts, require_frame, turned
from mammo.detection.boxes import boxes_of, moved_to_prepared
from mammo.errors import BoxFrameSuspect
from mammo.exam import parse_findings
from mammo.geometry import Geometry
from mammo.settings import Settings

COLUMNS = ("source", "findings", "rows", "geometry", "shard", "shard_row")


def require_box_frames(settings: Settings, index: pd.DataFrame) -> None:
    """Raise BoxFrameSuspect where a source's boxes seem to be counted from the bottom edge.

    A table is right or wrong as a whole: each ``source`` is judged alone, by all boxes that
    ``index`` (rows of the exam index, with `COLUMNS`) has of it, read as the store keeps them.
    """
    reader = ShardReader(settings.shards_dir)
    marked = index[index["findings"].str.len() > 2]
    for name, rows in marked.groupby("source", sort=True):
        places = zip(rows["shard"], rows["shard_row"].astype(int), strict=True)
        told = check_box_frame((reader.row(*place) for place in places), rows)
        require_frame(told, source=str(name))


def with_box_frame(report: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return an ingest's report, with ``box_frame`` where its source's boxes are suspect.

    The ingest itself stands: images and labels are right whatever the boxes are. All
    boxes of the source in the store are looked at, those of earlier ingests as well.
    """
    if not settings.index_path.exists():
        return report
    index = read_index(settings.index_path, COLUMNS)
    try:
        require_box_frames(settings, index[index["source"] == report["source"]])
    except BoxFrameSuspect as suspect:
        return report | {"box_frame": f"{suspect.code}: {suspect}"}
    return report


def check_box_frame(images: Iterable[NDArray[np.uint16]], rows: pd.DataFrame) -> FrameCheck:
    """Compare the boxes of rows of the index with the same ones counted from the bottom edge.

    ``images`` (N) of (H, W) are prepared, ``rows`` (N) have their ``findings``, in pixels of
    the original, its ``rows`` and their ``geometry``.
    """
    given, other = [np.zeros(0)], [np.zeros(0)]
    columns = rows["findings"], rows["rows"].astype(float), rows["geometry"]
    for pixels, findings, height, told in zip(images, *columns, strict=True):
        boxes = boxes_of(parse_findings(findings))
        geometry = Geometry.from_dict(json.loads(told))
        for one, known in ((boxes, given), (turned(boxes, height), other)):
            known.append(contrasts(pixels, moved_to_prepared(one, geometry)))
    return check_frame(np.concatenate(given), np.concatenate(other))
