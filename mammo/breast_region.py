"""Find the breast on a subsample: Otsu, then the largest connected component.

Otsu's threshold is taken on the square root of the values: the skin line and
the nipple lie far below the gland, and on linear values they fall to the
background (seen on mini-MIAS, whose film also has a dark border and bright
labels). An opening cuts labels and scratches off the breast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_FRACTION = 0.02
"""A component below this part of the image is a label, not a breast."""
OPENING = 9
"""Diameter of the opening in samples: about 2 % of the longer side."""


@dataclass(frozen=True, eq=False)
class Region:
    """Where the breast is on the subsample.

    ``mask`` is 2-D bool; ``box`` is (x0, y0, x1, y1), half-open, in samples;
    ``whole`` is True when nothing stood out and the mask is the whole image;
    ``chest_left`` says on which side the breast touches the edge.
    """

    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    whole: bool
    chest_left: bool


def find_region(brightness: NDArray[np.float32]) -> Region | None:
    """Find the breast where ``brightness`` (2-D) is high; None when it is constant."""
    levels = _levels(brightness)
    if levels is None:
        return None
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    labels, best, area = _largest(levels > threshold)
    whole = area < LEAST_FRACTION * levels.size
    mask = np.ones(levels.shape, bool) if whole else labels == best
    return Region(mask, _box(mask), whole, _touches_left(mask))


def _levels(brightness: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Return the square root of the brightness in 0..255, bright labels clipped."""
    smooth = cv2.medianBlur(np.ascontiguousarray(brightness, np.float32), 3)
    low, high = float(smooth.min()), float(np.percentile(smooth, 99.5))
    if not high > low:  # so few bright samples that clipping would lose them, or none
        low, high = float(brightness.min()), float(brightness.max())
        smooth = brightness
    if not high > low:
        return None
    scaled = np.clip((smooth - low) / (high - low), 0, 1)
    return np.asarray(np.sqrt(scaled) * 255, np.uint8)


def _largest(bright: NDArray[np.bool_]) -> tuple[NDArray[Any], int, int]:
    """Return labels, the label of the largest opened component and its area."""
    inner = np.zeros(bright.shape, np.uint8)
    inner[1:-1, 1:-1] = bright[1:-1, 1:-1]  # the outermost samples often hold a scanner's frame
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (OPENING, OPENING))
    opened = cv2.morphologyEx(inner, cv2.MORPH_OPEN, disc)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return labels, 0, 0
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return labels, best, int(stats[best, cv2.CC_STAT_AREA])


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _touches_left(mask: NDArray[np.bool_]) -> bool:
    """The chest wall is the side of the image where more of the mask lies near the edge."""
    edge = max(2, mask.shape[1] // 20)
    left, right = int(mask[:, :edge].sum()), int(mask[:, -edge:].sum())
    if left == right:
        half = mask.shape[1] // 2
        left, right = int(mask[:, :half].sum()), int(mask[:, -half:].sum())
    return left >= right
