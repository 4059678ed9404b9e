"""What could betray an outcome without a look at the breast's tissue, as numbers.

Each reading gives one row of numbers a mammogram. Those of the acquisition
(markers, border, padding, scanner, side, view, size of the file) must not tell
an outcome at all; those of the anatomy (size of the breast, and the index's six
image numbers, with lesions as they are or painted out) may, and say what a
model gets for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.appraisal.explain_check import breast_mask
from mammo.image_features import measure_features

Pixels = NDArray[np.uint16]
Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in prepared pixels."""

FULL_SCALE = 65535
MARGIN = 0.03
"""Of the image's longer side: how far around the breast still counts as breast."""
RING = 0.03
"""Of the image's shorter side: the width of its border."""
LIT = 0.1
"""Brightness, of 1, from which a pixel outside the breast is lit."""
GRID = (4, 2)
"""Cells, down and across, in which the brightness outside the breast is read."""


@dataclass(frozen=True, eq=False)
class Views:
    """Prepared mammograms and what is known of them, in one order.

    ``pixels`` (N, H, W) uint16; ``breast`` (N, H, W) bool; ``index`` has rows of
    the exam index; ``labels`` (N,) bool; ``boxes`` holds each positive image's
    lesions, empty where none is known.
    """

    pixels: Pixels
    breast: Mask
    index: pd.DataFrame
    labels: NDArray[np.bool_]
    boxes: list[list[Box]]

    @property
    def patients(self) -> NDArray[np.object_]:
        """Whose mammogram it is, (N,)."""
        return self.index["patient_id"].to_numpy(dtype=object)


def find_breasts(pixels: Pixels, shares: NDArray[np.float64] | None = None) -> Mask:
    """Return where the breast is in each prepared image (N, H, W), with a margin around it.

    ``shares`` (N,) is the part of each prepared image that is breast, as ingest
    measured it on the whole original (``f_breast_fraction`` of the index): the
    mask gets that area. Without it (or where it is NaN) the region is looked for
    in the prepared image, which is cropped so closely that of a dense breast the
    gland alone may stand out.
    """
    told = np.full(len(pixels), np.nan) if shares is None else shares
    size = 2 * max(1, round(MARGIN * max(pixels.shape[1:]))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    found = [_of_share(one, share) for one, share in zip(pixels, told, strict=True)]
    return np.stack([cv2.dilate(one.astype(np.uint8), disc) for one in found]).astype(bool)


def _of_share(image: Pixels, share: float) -> Mask:
    """Return the largest bright component of about that share of the image, holes filled."""
    if np.isnan(share):
        return breast_mask(image)
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    bright = (smooth > np.quantile(smooth, 1.0 - np.clip(share, 0.0, 1.0))).astype(np.uint8)
    count, components, stats, _ = cv2.connectedComponentsWithStats(bright)
    if count < 2:
        return np.ones(image.shape, bool)
    largest = components == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    edges, _ = cv2.findContours(largest.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(image.shape, np.uint8), edges, -1, 1, -1).astype(bool)


def border_mask(shape: tuple[int, int]) -> Mask:
    """Return the ring along the edges of an image (H, W)."""
    width = max(1, round(RING * min(shape)))
    mask = np.ones(shape, bool)
    mask[width:-width, width:-width] = False
    return mask


def read_outside(views: Views) -> pd.DataFrame:
    """Brightness outside the breast: where a view marker or a label would lie."""
    outside = np.where(views.breast, 0.0, views.pixels / FULL_SCALE)  # (N, H, W)
    rows, columns = (
        np.array_split(np.arange(n), k) for n, k in zip(outside.shape[1:], GRID, strict=True)
    )
    cells = {
        f"outside_{i}_{j}": outside[:, r][:, :, c].mean((1, 2))
        for i, r in enumerate(rows)
        for j, c in enumerate(columns)
    }
    free = np.maximum((~views.breast).sum((1, 2)), 1)
    lit = (outside > LIT).sum((1, 2)) / free
    return pd.DataFrame(cells | {"brightest": outside.max((1, 2)), "lit": lit})


def read_border(views: Views) -> pd.DataFrame:
    """Brightness along each of the four edges, and how much it varies."""
    width = max(1, round(RING * min(views.pixels.shape[1:])))
    scaled = views.pixels / FULL_SCALE
    edges = {
        "top": scaled[:, :width],
        "bottom": scaled[:, -width:],
        "left": scaled[:, :, :width],
        "right": scaled[:, :, -width:],
    }
    told = {f"{name}_mean": edge.mean((1, 2)) for name, edge in edges.items()}
    return pd.DataFrame(told | {f"{name}_sd": edge.std((1, 2)) for name, edge in edges.items()})


def read_padding(views: Views) -> pd.DataFrame:
    """Black rows and columns on each side of the prepared image, as parts of it."""
    lit_rows, lit_columns = (np.asarray(views.pixels.any(axis)) for axis in (2, 1))
    return pd.DataFrame(
        {
            "top": _first(lit_rows),
            "bottom": _first(lit_rows[:, ::-1]),
            "narrower": np.minimum(_first(lit_columns), _first(lit_columns[:, ::-1])),
            "wider": np.maximum(_first(lit_columns), _first(lit_columns[:, ::-1])),
        }
    )


def _first(lit: Mask) -> NDArray[np.float64]:
    """Return the share of (N, n) entries before the first lit one."""
    return np.where(lit.any(1), lit.argmax(1), lit.shape[1]) / lit.shape[1]


def read_file(views: Views) -> pd.DataFrame:
    """Size of the original image and of the crop that was cut from it."""
    places = [json.loads(text) if isinstance(text, str) else {} for text in views.index["geometry"]]
    rows = pd.DataFrame(places).reindex(columns=["x0", "x1", "y0", "y1", "rows", "columns"])
    width, height = rows["x1"] - rows["x0"], rows["y1"] - rows["y0"]
    return pd.DataFrame(
        {
            "rows": rows["rows"],
            "columns": rows["columns"],
            "crop_width": width / rows["columns"],
            "crop_height": height / rows["rows"],
        }
    )


def read_scanner(views: Views) -> pd.DataFrame:
    """Scanner, its software and the site, one column a level."""
    return _levels(views, ("scanner", "software_version", "site"))


def read_side(views: Views) -> pd.DataFrame:
    """Left or right."""
    return _levels(views, ("laterality",))


def read_view(views: Views) -> pd.DataFrame:
    """The projection."""
    return _levels(views, ("view",))


def _levels(views: Views, columns: tuple[str, ...]) -> pd.DataFrame:
    text = views.index[list(columns)].astype(object).fillna("").astype(str)
    return pd.get_dummies(text.reset_index(drop=True), dtype=float)


def read_size(views: Views) -> pd.DataFrame:
    """Area, width and height of the breast in the prepared image, and how full its box is."""
    across, down = views.breast.any(1), views.breast.any(2)
    area, box = views.breast.mean((1, 2)), across.mean(1) * down.mean(1)
    return pd.DataFrame(
        {"area": area, "width": across.mean(1), "height": down.mean(1), "full": area / box}
    )


def read_numbers(views: Views) -> pd.DataFrame:
    """The six image numbers of the index, over the whole breast, lesions included."""
    pairs = zip(views.pixels, views.breast, strict=True)
    return pd.DataFrame([measure_features(pixels, mask) for pixels, mask in pairs])


@dataclass(frozen=True)
class Reading:
    """One thing that might tell the outcome: ``anatomy`` may, the rest must not."""

    name: str
    read: Callable[[Views], pd.DataFrame]
    anatomy: bool = False


READINGS = (
    Reading("outside the breast", read_outside),
    Reading("border", read_border),
    Reading("padding", read_padding),
    Reading("size of file and crop", read_file),
    Reading("scanner, software, site", read_scanner),
    Reading("left or right", read_side),
    Reading("view", read_view),
    Reading("size of the breast", read_size, anatomy=True),
    Reading("six numbers of the image", read_numbers, anatomy=True),
)
