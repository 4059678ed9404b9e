"""Heat of the prepared image in pixels of the original: where a logit comes from.

A network's heat is a coarse grid over the prepared image (``ViewNet.outputs``):
each cell holds what that place adds to the logit, so that all cells and the
bias are the logit. The grid is laid back through the geometry of the
preparation: its scale, its crop and its padding. Nothing is mirrored by the
preparation, so nothing is mirrored back. Half-resolution decoding changes the
pixels, not the geometry, which is always in pixels of the original.

Where a cell looks is not the middle of its share of the image: a stride of two
with padding on both sides looks half a pixel to the left of it, and five of them
half a cell (:class:`Grid`, measured by `mammo.models.heat.network_grid`).

Between the centres of cells the heat is interpolated linearly; beyond the
outermost centres it stays. Outside the crop there is none: the model never saw
those pixels. What lies in the padding has no original pixel, and
:meth:`HeatMap.beside_crop` says how much that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.geometry import Geometry

SEPARATION = 1.5
"""Two places closer than so many cells are one."""


@dataclass(frozen=True)
class Place:
    """A peak of the heat in original pixels, x right and y down.

    ``radius`` is half a cell of the grid: the place is not known better.
    ``heat`` is the cell's part of the logit, ``share`` its part of all positive heat.
    """

    x: float
    y: float
    radius: float
    heat: float
    share: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields, places rounded to a tenth of a pixel."""
        return {
            "x": round(self.x, 1), "y": round(self.y, 1), "radius": round(self.radius, 1),
            "heat": self.heat, "share": self.share,
        }  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """Where the cells of a heat map look, in prepared pixels.

    ``y`` and ``x`` are the place of the first cell's centre, ``down`` and ``across`` the
    distance from one to the next.
    """

    y: float
    x: float
    down: float
    across: float

    @classmethod
    def even(cls, size: tuple[int, int], cells: tuple[int, int]) -> Grid:
        """Return the grid of ``cells`` (h, w) that share an image of ``size`` (H, W) evenly."""
        down, across = (side / n for side, n in zip(size, cells, strict=True))
        return cls(down / 2, across / 2, down, across)


@dataclass(frozen=True, eq=False)
class HeatMap:
    """The heat of one prepared image, (h, w) float32 in logits a cell, and its geometry."""

    heat: NDArray[np.float32]
    geometry: Geometry
    grid: Grid

    def __post_init__(self) -> None:
        if self.heat.ndim != 2 or not np.isfinite(self.heat).all():
            raise ValueError(f"heat is a finite grid (h, w), found shape {self.heat.shape}")

    @property
    def cell(self) -> tuple[float, float]:
        """Height and width of a cell in original pixels."""
        return self.grid.down / self.geometry.scale, self.grid.across / self.geometry.scale

    def at_original(self, shape: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """Return the heat on the original's pixels, (rows, columns) float32, logits a cell.

        ``shape`` asks for another number of samples over the same extent: the
        picture of a mammogram needs 900 rows, not 3328. Zero outside the crop.
        """
        place = self.geometry
        rows, columns = shape or (place.rows, place.columns)
        down = _weights(
            _centres(rows, place.rows), (place.y0, place.y1), place.scale, place.pad_y,
            (self.grid.y, self.grid.down, self.heat.shape[0]),
        )  # fmt: skip
        across = _weights(
            _centres(columns, place.columns), (place.x0, place.x1), place.scale, place.pad_x,
            (self.grid.x, self.grid.across, self.heat.shape[1]),
        )  # fmt: skip
        return np.asarray(down @ self.heat @ across.T, np.float32)

    def beside_crop(self) -> float:
        """Return the part of the absolute heat in cells whose centre is in the padding."""
        x, y = self._looks()
        place = self.geometry
        inside_x = (x >= place.x0) & (x < place.x1)
        inside_y = (y >= place.y0) & (y < place.y1)
        size = np.abs(self.heat)
        total = float(size.sum())
        kept = float(size[np.ix_(inside_y, inside_x)].sum())
        return 1.0 - kept / total if total else 0.0

    def places(self, most: int = 3) -> list[Place]:
        """Return the highest peaks of positive heat within the crop, highest first."""
        x, y = self._looks()
        place, (height, width) = self.geometry, self.cell
        positive = np.maximum(self.heat, 0.0)
        total = float(positive.sum())
        found: list[Place] = []
        for flat in np.argsort(-positive, axis=None, kind="stable").tolist():
            row, column = divmod(int(flat), self.heat.shape[1])
            value = float(positive[row, column])
            if value <= 0.0 or len(found) == most:
                break
            here = Place(
                float(np.clip(x[column], place.x0, place.x1)),
                float(np.clip(y[row], place.y0, place.y1)),
                max(height, width) / 2, value, value / total,
            )  # fmt: skip
            if all(_apart(here, one, height, width) for one in found):
                found.append(here)
        return found

    def box_of(self, cells: NDArray[np.bool_]) -> tuple[float, float, float, float]:
        """Return x_min, y_min, x_max, y_max of cells (h, w), in original pixels within the crop."""
        x, y = self._looks()
        place, (height, width) = self.geometry, self.cell
        rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
        across = np.clip(
            (x[columns[0]] - width / 2, x[columns[-1]] + width / 2), place.x0, place.x1
        )
        down = np.clip((y[rows[0]] - height / 2, y[rows[-1]] + height / 2), place.y0, place.y1)
        return float(across[0]), float(down[0]), float(across[1]), float(down[1])

    def _looks(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return x of the columns and y of the rows in original pixels."""
        rows, columns = self.heat.shape
        x = self.grid.x + np.arange(columns) * self.grid.across
        y = self.grid.y + np.arange(rows) * self.grid.down
        return self.geometry.to_original(x, y)  # type: ignore[arg-type,return-value]


def spread(heat: NDArray[np.float32], size: tuple[int, int], grid: Grid) -> NDArray[np.float32]:
    """Return a grid (h, w) interpolated on the prepared pixels, ``size`` (H, W), float32."""
    axes = ((grid.y, grid.down, heat.shape[0]), (grid.x, grid.across, heat.shape[1]))
    down, across = (
        _weights(_centres(side, side), (0, side), 1.0, 0, axis)
        for side, axis in zip(size, axes, strict=True)
    )
    return np.asarray(down @ heat @ across.T, np.float32)


def _apart(one: Place, other: Place, height: float, width: float) -> bool:
    return max(abs(one.x - other.x) / width, abs(one.y - other.y) / height) >= SEPARATION


def _centres(samples: int, extent: int) -> NDArray[np.float64]:
    """Return the centres of ``samples`` equal parts of an axis of ``extent`` pixels."""
    return (np.arange(samples) + 0.5) * extent / samples


def _weights(
    places: NDArray[np.float64],
    crop: tuple[int, int],
    scale: float,
    pad: int,
    axis: tuple[float, float, int],
) -> NDArray[np.float64]:
    """Return the weights of the cells at original ``places`` of one axis, (places, cells).

    ``axis`` is the first cell's centre, the distance of cells (prepared pixels)
    and their number. Linear interpolation is separable, so two such matrices
    are the whole map, exactly.
    """
    first, distance, cells = axis
    at = ((places - crop[0]) * scale + pad - first) / distance
    at = np.clip(at, 0.0, cells - 1.0)
    lower = np.minimum(at.astype(int), max(cells - 2, 0))
    part = at - lower
    weights = np.zeros((len(places), cells))
    rows = np.arange(len(places))
    weights[rows, lower] = 1.0 - part
    weights[rows, np.minimum(lower + 1, cells - 1)] += part
    weights[(places < crop[0]) | (places >= crop[1])] = 0.0
    return weights
