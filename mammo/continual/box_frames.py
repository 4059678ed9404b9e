"""Do the boxes of prepared images lie where something is, or on their heads?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.detection.box_frame import FrameCheck, check_frame, contrasts, require_frame, turned
from mammo.detection.boxes import boxes_of, moved_to_prepared
from mammo.exam import parse_findings
from mammo.geometry import Geometry


def require_box_frames(images: NDArray[np.uint16], rows: pd.DataFrame) -> None:
    """Raise BoxFrameSuspect where a source's boxes seem to be counted from the bottom edge.

    A table is right or wrong as a whole, so that each ``source`` is judged alone.
    """
    sources = rows["source"].to_numpy(str)
    for name in np.unique(sources):
        chosen = np.flatnonzero(sources == name)
        require_frame(check_box_frame(images[chosen], rows.iloc[chosen]), source=str(name))


def check_box_frame(images: NDArray[np.uint16], rows: pd.DataFrame) -> FrameCheck:
    """Compare the boxes of rows of the index with the same ones counted from the bottom edge.

    ``images`` (N, H, W) are prepared, ``rows`` (N) have their ``findings``, in pixels of
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
