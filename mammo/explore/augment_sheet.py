"""A contact sheet of what augmentation does: the original, then each transform, then all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mammo.augment_settings import AugmentValue, resolve_augment
from mammo.data.augment import Augmented, build_augment
from mammo.explore.pictures import Box, Tile, TileRow, draw_sheet
from mammo.preprocess import PreprocessConfig, to_tensor


def draw_augment_sheet(
    pixels: np.ndarray, boxes: Sequence[Box], augment: AugmentValue, *, each: int = 5, seed: int = 7
) -> bytes:
    """Return a PNG: a row of ``each`` draws per transform, each forced to happen, and all at once.

    ``pixels`` is a prepared image, (H, W) uint16, ``boxes`` lie in it.
    """
    height, width = pixels.shape
    image = to_tensor(pixels, PreprocessConfig(height=height, width=width))
    whole = np.ascontiguousarray(image)
    asked = resolve_augment(augment)
    first = TileRow("original", [Tile(pixels, (f"{width} x {height}",), tuple(boxes))])
    rows = [first]
    for name, settings in asked.items():
        alone: AugmentValue = {name: {**settings, "p": 1.0}}
        told = ", ".join(f"{key} {value:g}" for key, value in settings.items())
        rows.append(TileRow(f"{name} ({told})", _draws(whole, boxes, alone, each, seed)))
    if asked:
        every: AugmentValue = dict(asked)
        rows.append(TileRow("all, as in training", _draws(whole, boxes, every, each, seed)))
    return draw_sheet(rows, each, 240)


def _draws(
    image: np.ndarray, boxes: Sequence[Box], augment: AugmentValue, each: int, seed: int
) -> list[Tile]:
    augmentation = build_augment(seed, augment)
    if augmentation is None:
        return []
    return [_tile(augmentation.with_boxes(image, boxes)) for _ in range(each)]


def _tile(drawn: Augmented) -> Tile:
    pixels = np.rint(drawn.image[0] * 65535).astype(np.uint16)
    lines = [f"breast {100 * drawn.breast:.0f}%"]
    if drawn.draws != 1:
        lines.append(f"{drawn.draws} draws" if drawn.draws else "left as it is")
    if drawn.lost:
        lines.append(f"{drawn.lost} boxes lost")
    return Tile(pixels, tuple(lines), drawn.boxes)
