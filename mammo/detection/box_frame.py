"""Is y counted from the top edge in a table of boxes? The images tell.

What readers mark is mostly brighter than what lies around it. A table that counts y
from the bottom puts its boxes where nothing is; turned round they would lie right. A
single box tells little, a set does: the two are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammo.detection.boxes import Boxes
from mammo.errors import BoxFrameSuspect

INSIDE, RING = 0.6, (1.1, 1.8)
"""Parts of a box's half sides: the ellipse that is the finding's for certain, and the ring."""
SUSPECT = 0.01
"""Wilcoxon's p below which a table is not taken as it is: of boxes that lie anywhere, one
table in a hundred."""


@dataclass(frozen=True)
class FrameCheck:
    """How a set's boxes lie as they are given against turned from the bottom edge.

    ``brighter`` of ``boxes`` stand out more from what is around them as given, in
    [0, boxes]; ``p_turned`` in [0, 1] is how often boxes that lie anywhere would speak as
    much for the turned ones (Wilcoxon's signed ranks, one side).
    """

    boxes: int
    brighter: int
    p_turned: float

    @property
    def suspect(self) -> bool:
        """True where the boxes seem to be counted from the bottom edge."""
        return self.p_turned < SUSPECT


def turned(boxes: Boxes, rows: float) -> Boxes:
    """Return boxes (N, 4) with y counted from the other edge of an image of so many rows."""
    return np.stack([boxes[:, 0], rows - boxes[:, 3], boxes[:, 2], rows - boxes[:, 1]], axis=1)


def contrasts(pixels: NDArray[np.generic], boxes: Boxes) -> NDArray[np.float64]:
    """Return how much brighter each box (N, 4) is within than around it, (N,), in gray values.

    ``pixels`` are (H, W), and more is brighter tissue. Boxes may reach out of the image;
    0 for one that is not on it, NaN for one with too few pixels to tell.
    """
    return np.array([_contrast(pixels, box) for box in boxes], np.float64).reshape(-1)


def _contrast(pixels: NDArray[np.generic], box: NDArray[np.float64]) -> float:
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    size = np.array(pixels.shape[::-1])
    if (box[:2] >= size).any() or (box[2:] <= 0).any():
        return 0.0
    low = np.clip(np.floor(centre - RING[1] * half), 0, size).astype(int)
    high = np.clip(np.ceil(centre + RING[1] * half), 0, size).astype(int)
    x, y = ((np.arange(low[axis], high[axis]) + 0.5 - centre[axis]) / half[axis] for axis in (0, 1))
    away = np.hypot(x[None, :], y[:, None])
    part = pixels[low[1] : high[1], low[0] : high[0]]
    inside, ring = part[away <= INSIDE], part[(away > RING[0]) & (away <= RING[1])]
    if not inside.size or not ring.size:
        return float("nan")
    return float(inside.mean(dtype=np.float64) - ring.mean(dtype=np.float64))


def check_frame(given: NDArray[np.float64], other: NDArray[np.float64]) -> FrameCheck:
    """Compare the contrasts (N,) of boxes as given with those of the same boxes turned.

    Pairs without a number, or equal, tell nothing and are left out. Fewer than 7 boxes
    cannot be suspect, even when all speak for the turned ones: p is half to their number.
    """
    from scipy import stats

    gain = given - other
    gain = gain[np.isfinite(gain) & (gain != 0)]
    if not len(gain):
        return FrameCheck(0, 0, 1.0)
    p = stats.wilcoxon(gain, alternative="less").pvalue
    return FrameCheck(len(gain), int((gain > 0).sum()), float(p))


def looks_flipped(given: Sequence[float], other: Sequence[float]) -> bool:
    """True when y seems to be counted from the bottom edge; contrasts as in `check_frame`."""
    return check_frame(np.asarray(given, np.float64), np.asarray(other, np.float64)).suspect


def require_frame(check: FrameCheck, *, source: str = "this set") -> None:
    """Raise BoxFrameSuspect where boxes seem to be counted from the bottom edge."""
    if check.suspect:
        raise BoxFrameSuspect(
            f"{source}: only {check.brighter} of {check.boxes} boxes are brighter against what is "
            "around them than where they would lie if y were counted from the bottom edge "
            f"(p = {check.p_turned:.2g}); expected is y counted from the top, down: turn the table "
            "(y_min = rows - y_max, y_max = rows - y_min) and ingest it into a store without "
            "these images, which keep their boxes (`mammo data checkout` of the version before, "
            "or another MAMMO_HOME); where the boxes were looked at and are right, train, "
            "measure and join with --keep-box-frame"
        )
