"""Boxes of findings: can they be right, and where are they in the prepared image?

A box is half-open and in pixels, x to the right and y down: (x_min, y_min,
x_max, y_max). Tables differ: some count y from the bottom edge (mini-MIAS),
some give a centre and a radius, some say that there is a finding but not where.
What cannot be right is refused by name, not clipped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mammo.errors import BoxInvalid, NoBoxes
from mammo.exam import Finding
from mammo.geometry import Geometry

Boxes = NDArray[np.float64]
"""(N, 4): x_min, y_min, x_max, y_max in pixels."""


class Boxed(Protocol):
    """What has the box of a finding."""

    @property
    def x_min(self) -> float:
        """Left edge in pixels."""

    @property
    def y_min(self) -> float:
        """Upper edge in pixels."""

    @property
    def x_max(self) -> float:
        """Right edge in pixels, outside."""

    @property
    def y_max(self) -> float:
        """Lower edge in pixels, outside."""


def boxes_of(findings: Iterable[Boxed]) -> Boxes:
    """Return the boxes of findings, (N, 4)."""
    rows = [(one.x_min, one.y_min, one.x_max, one.y_max) for one in findings]
    return np.asarray(rows, np.float64).reshape(-1, 4)


def check_boxes(findings: Sequence[Finding], rows: int, columns: int) -> None:
    """Raise BoxInvalid for the first finding that cannot be one of an image of this size."""
    for number, box in enumerate(boxes_of(findings).tolist(), start=1):
        if fault := _fault(box, rows, columns):
            raise BoxInvalid(
                f"finding {number} of {len(findings)} {fault}; allowed are half-open boxes in "
                f"pixels within 0 to {columns} (x, to the right) and 0 to {rows} (y, down): "
                "correct the table, or leave the place of this finding empty"
            )


def _fault(box: Sequence[float], rows: int, columns: int) -> str | None:
    x_min, y_min, x_max, y_max = box
    told = f"({x_min:g}, {y_min:g}, {x_max:g}, {y_max:g})"
    if not np.isfinite(box).all():
        return f"has a place that is no number, {told}"
    if x_max <= x_min or y_max <= y_min:
        return f"has no size, {told}"
    if x_min < 0 or y_min < 0 or x_max > columns or y_max > rows:
        return f"lies outside its image, {told}"
    return None


def require_boxes(counts: Sequence[int]) -> None:
    """Raise NoBoxes when none of the images, by number of boxes, has any."""
    if not any(counts):
        raise NoBoxes(
            f"none of {len(counts)} images says where its findings lie; a detector needs boxes: "
            "ingest a set that has them (mini-mias, cbis-ddsm, vindr, inbreast, phantoms)"
        )


def to_prepared(boxes: Boxes, geometry: Geometry, height: int, width: int) -> Boxes:
    """Return original boxes (N, 4) in pixels of the prepared image, clipped to it.

    The order and the number stay; a box that the crop left out has no size then.
    """
    return _clipped(moved_to_prepared(boxes, geometry), height, width)


def moved_to_prepared(boxes: Boxes, geometry: Geometry) -> Boxes:
    """Return original boxes (N, 4) in pixels of the prepared image, where they reach out of it."""
    return (boxes - _corner(geometry)) * geometry.scale + _padding(geometry)


def to_original(boxes: Boxes, geometry: Geometry) -> Boxes:
    """Return prepared boxes (N, 4) in pixels of the original image, clipped to it."""
    moved = (boxes - _padding(geometry)) / geometry.scale + _corner(geometry)
    return _clipped(moved, geometry.rows, geometry.columns)


def _corner(geometry: Geometry) -> Boxes:
    return np.array([geometry.x0, geometry.y0] * 2, np.float64)


def _padding(geometry: Geometry) -> Boxes:
    return np.array([geometry.pad_x, geometry.pad_y] * 2, np.float64)


def _clipped(boxes: Boxes, height: int, width: int) -> Boxes:
    return np.asarray(np.clip(boxes, 0.0, np.array([width, height] * 2, np.float64)))


def has_size(boxes: Boxes) -> NDArray[np.bool_]:
    """Return which boxes (N, 4) have an area, (N,)."""
    return np.asarray((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))


def overlaps(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Return the intersection over union of each pair, (N, M) in [0, 1]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    areas = [(one[:, 2:] - one[:, :2]).prod(axis=1) for one in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def centres_in(first: Boxes, second: Boxes) -> NDArray[np.bool_]:
    """Return (N, M) whether the centre of each first box lies in each second one."""
    x, y = first[:, [0, 2]].mean(axis=1)[:, None], first[:, [1, 3]].mean(axis=1)[:, None]
    across = (second[:, 0] <= x) & (x < second[:, 2])
    return np.asarray(across & (second[:, 1] <= y) & (y < second[:, 3]))


def findings_of(
    raw: Sequence[Sequence[float]] | NDArray[np.floating],
    geometry: Geometry,
    *,
    kind: str = "detected",
) -> tuple[Finding, ...]:
    """Return what was found as findings in original pixels, in the order given.

    ``raw`` holds x0, y0, x1, y1 in prepared pixels and the score, (N, 5). Boxes are
    clipped to the original; those that lie outside of it are left out.
    """
    rows = np.asarray(raw, np.float64).reshape(-1, 5)
    boxes = to_original(rows[:, :4], geometry)
    kept = has_size(boxes)
    return tuple(
        Finding(x_min, y_min, x_max, y_max, kind, score)
        for (x_min, y_min, x_max, y_max), score in zip(
            boxes[kept].tolist(), rows[kept, 4].tolist(), strict=True
        )
    )
