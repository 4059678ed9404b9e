"""Ways to take a shortcut away, or to plant one, that leave the breast's tissue alone.

Each takes prepared mammograms and returns their changed pixels (N, H, W) uint16.
A model that reads the breast scores the same afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mammo.appraisal.shortcut_readings import (
    FULL_SCALE,
    Box,
    Mask,
    Pixels,
    Views,
    border_mask,
)
from mammo.evaluation.localisation import box_mask

SHRINK = 0.94
"""The size to which the whole image is reduced to change its padding."""
LETTERS = 8
"""A marker's height is the image's height divided by this, or its free corner."""
QUANTILES = np.linspace(0, 1, 65)
FEWEST_IMAGES = 10
"""Negative ones of a scanner, to know its grey values."""
DONORS = 24
"""Other images' boxes that are tried for an image without a lesion."""
PAINT_MARGIN = 0.25
"""Of a box's size: painted beyond each of its edges, for rays and blur."""


def blacken_outside(views: Views) -> Pixels:
    """Set everything outside the breast to black: markers, labels, collimator, noise."""
    return np.where(views.breast, views.pixels, 0).astype(np.uint16)


def swap_outside(views: Views) -> Pixels:
    """Put around every breast what surrounds one of the other outcome, drawn by a fixed seed.

    Where the other image has breast, black: the tissue stays the image's own.
    """
    rng = np.random.default_rng(0)
    changed = np.empty_like(views.pixels)
    for kind in (True, False):
        mine, others = np.flatnonzero(views.labels == kind), np.flatnonzero(views.labels != kind)
        for place, other in zip(mine, rng.choice(others, len(mine)), strict=True):
            around = np.where(views.breast[other], 0, views.pixels[other])
            changed[place] = np.where(views.breast[place], views.pixels[place], around)
    return changed


def blacken_border(views: Views) -> Pixels:
    """Set the ring along the edges to black."""
    ring = border_mask(views.pixels.shape[1:])
    return np.where(ring, 0, views.pixels).astype(np.uint16)


def paint_marker(views: Views) -> Pixels:
    """Paint one and the same marker into the corner of every image that the breast leaves free."""
    changed = views.pixels.copy()
    for image, breast in zip(changed, views.breast, strict=True):
        _stamp(image, breast)
    return changed


def _stamp(image: Pixels, breast: Mask) -> None:
    """Set letters, white on black, into the upper corner away from the chest wall, in place."""
    rows, columns = image.shape
    height, width = max(6, rows // LETTERS), max(8, columns // 3)
    left = breast[:height, :width].sum() < breast[:height, -width:].sum()
    tile = np.zeros((height, width), np.uint8)
    size = min(height / 40, width / 80)
    thick = max(1, round(2 * size))
    cv2.putText(tile, "MLO", (1, height - 2), cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick)
    if not tile.any():
        tile[1:-1:2, 1:-1] = 255  # too small for letters: bars
    place = image[:height, :width] if left else image[:height, -width:]
    free = ~(breast[:height, :width] if left else breast[:height, -width:])
    place[(tile > 127) & free] = FULL_SCALE


def mirror(views: Views) -> Pixels:
    """Turn every image left to right: a left breast becomes a right one."""
    return np.ascontiguousarray(views.pixels[:, :, ::-1])


def widen_padding(views: Views) -> Pixels:
    """Show the image a little smaller, against the same side, with more black around it."""
    rows, columns = views.pixels.shape[1:]
    height, width = round(SHRINK * rows), round(SHRINK * columns)
    changed = np.zeros_like(views.pixels)
    top = (rows - height) // 2
    for image, breast, target in zip(views.pixels, views.breast, changed, strict=True):
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        at_left = breast[:, : columns // 2].sum() >= breast[:, columns // 2 :].sum()
        left = 0 if at_left else columns - width
        target[top : top + height, left : left + width] = small
    return changed


def swap_scanners(views: Views) -> Pixels | None:
    """Give each breast the grey values of the next scanner; None with fewer than two.

    The mean quantiles of one scanner's breasts are laid onto the other's: a
    rising curve, the same for all images of a scanner. Only negative images
    tell the quantiles: where cancers come from one device, their lesions would
    be taken for its look. Scanners with fewer than `FEWEST_IMAGES` of them stay.
    """
    scanner = views.index["scanner"].astype(str).to_numpy()
    healthy = {str(name): (scanner == name) & ~views.labels for name in np.unique(scanner)}
    names = [name for name, mine in healthy.items() if mine.sum() >= FEWEST_IMAGES]
    if len(names) < 2:
        return None
    levels = {name: _grey_values(views, healthy[name]) for name in names}
    changed = views.pixels.copy()
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        curve = _curve(levels[name], levels[other])
        for place in np.flatnonzero(scanner == name):
            changed[place] = np.where(views.breast[place], curve[changed[place]], changed[place])
    return changed


def _grey_values(views: Views, mine: Mask) -> np.ndarray:
    """Return the mean quantiles of the breasts, float64 (65,)."""
    pairs = zip(views.pixels[mine], views.breast[mine], strict=True)
    return np.mean([np.quantile(image[mask], QUANTILES) for image, mask in pairs], axis=0)


def _curve(source: np.ndarray, target: np.ndarray) -> Pixels:
    """Return the table of all 65536 values that lays source quantiles onto target quantiles."""
    x = np.r_[0.0, np.maximum.accumulate(source), FULL_SCALE] + np.arange(len(source) + 2) * 1e-6
    y = np.r_[0.0, np.maximum.accumulate(target), FULL_SCALE]
    return np.interp(np.arange(FULL_SCALE + 1), x, y).round().astype(np.uint16)


def paint_out_lesions(views: Views) -> Pixels | None:
    """Fill every known lesion from the tissue around it; None where no box is known.

    What is filled is smoother than tissue, and a model could tell that: images
    without a lesion are filled in a box of one that has, so both kinds look alike.
    """
    return _paint(views, _boxes_for_all(views))


def paint_out_elsewhere(views: Views) -> Pixels | None:
    """Fill boxes as large at other places of the breast: what painting does by itself."""
    moved = [
        [_moved(box, breast) for box in boxes]
        for boxes, breast in zip(_boxes_for_all(views), views.breast, strict=True)
    ]
    return _paint(views, moved)


def _boxes_for_all(views: Views) -> list[list[Box]]:
    """Return each image's boxes, or those of another image that lie in its breast."""
    rng = np.random.default_rng(0)
    donors = [boxes for boxes in views.boxes if boxes]
    told = []
    for boxes, breast, positive in zip(views.boxes, views.breast, views.labels, strict=True):
        if not boxes and donors and not positive:
            tried = [donors[place] for place in rng.integers(len(donors), size=DONORS)]
            boxes = next((one for one in tried if _within(one, breast)), [])
        told.append(boxes)
    return told


def _within(boxes: list[Box], breast: Mask) -> bool:
    rows, columns = breast.shape
    centres = [((y0 + y1) / 2, (x0 + x1) / 2) for x0, y0, x1, y1 in boxes]
    return all(0 <= y < rows and 0 <= x < columns and breast[int(y), int(x)] for y, x in centres)


def _moved(box: Box, breast: Mask) -> Box:
    """Return the box mirrored up and down within the rows of the breast."""
    lit = np.flatnonzero(breast.any(1))
    total = float(lit[0] + lit[-1] + 1) if len(lit) else float(len(breast))
    x0, y0, x1, y1 = box
    if abs(total - y0 - y1) < y1 - y0:  # it would fall onto itself: beside it, then
        shift = 1.5 * (y1 - y0) * (1 if y1 + 1.5 * (y1 - y0) < len(breast) else -1)
        return x0, y0 + shift, x1, y1 + shift
    return x0, total - y1, x1, total - y0


def _paint(views: Views, boxes: list[list[Box]]) -> Pixels | None:
    if not any(boxes):
        return None
    changed = views.pixels.copy()
    for place, wanted in enumerate(boxes):
        if wanted:
            hole = box_mask(changed.shape[1:], [_grown(box) for box in wanted])
            radius = max(2.0, 0.01 * max(changed.shape[1:]))
            filled = cv2.inpaint(
                changed[place].astype(np.float32), hole.astype(np.uint8), radius, cv2.INPAINT_TELEA
            )
            changed[place] = np.clip(filled, 0, FULL_SCALE).astype(np.uint16)
    return changed


def _grown(box: Box) -> Box:
    x0, y0, x1, y1 = box
    across, down = PAINT_MARGIN * (x1 - x0), PAINT_MARGIN * (y1 - y0)
    return x0 - across, y0 - down, x1 + across, y1 + down


@dataclass(frozen=True)
class Change:
    """One change; ``judged`` when a model must not care, else it is there to compare."""

    name: str
    make: Callable[[Views], Pixels | None]
    judged: bool = True


CHANGES = (
    Change("outside the breast black", blacken_outside),
    Change("outside of the other outcome", swap_outside),
    Change("marker painted on", paint_marker),
    Change("border black", blacken_border),
    Change("mirrored", mirror),
    Change("padding wider", widen_padding),
    Change("another scanner's grey values", swap_scanners),
    Change("lesions painted out", paint_out_lesions, judged=False),
    Change("as much painted elsewhere", paint_out_elsewhere, judged=False),
)


def without_lesions(views: Views) -> Views | None:
    """Return the views with every known lesion painted out; None where no box is known."""
    painted = paint_out_lesions(views)
    return None if painted is None else replace(views, pixels=painted)
