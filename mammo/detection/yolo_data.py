"""Prepared images and their boxes as the folder that ultralytics trains on.

    images/000000.png   8 bits gray, the prepared pixels over their full scale
    labels/000000.txt   a line a finding: class, centre x, centre y, width, height

Centre and size are fractions of the image. An image without findings has an
empty file: it is a negative, not an image that nobody looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mammo.detection.boxes import Boxes
from mammo.detection.detector import Images

CLASS_NAMES = {0: "finding"}
STRIDE = 32
"""The coarsest grid of the networks in pixels: sizes are multiples of it."""


def write_yolo_folder(folder: Path, images: Images, boxes: Sequence[Boxes]) -> Path:
    """Write images (N, H, W) and boxes (M, 4) of each; return the folder of the images.

    Boxes are x0, y0, x1, y1 in prepared pixels, half-open. Raises ValueError
    where `checked_boxes` does.
    """
    pictures, labels = folder / "images", folder / "labels"
    pictures.mkdir(parents=True)
    labels.mkdir()
    checked = checked_boxes(images, boxes)
    for number, (pixels, found) in enumerate(zip(images, checked, strict=True)):
        _write_picture(pictures / f"{number:06}.png", pixels)
        (labels / f"{number:06}.txt").write_text(label_lines(found, pixels.shape))
    return pictures


def label_lines(boxes: Boxes, shape: tuple[int, ...]) -> str:
    """Return the lines of an image's label file; ``shape`` is (H, W) in pixels."""
    height, width = shape
    lines = []
    for x0, y0, x1, y1 in boxes:
        centre = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height
        size = (x1 - x0) / width, (y1 - y0) / height
        lines.append(" ".join(["0", *(f"{value:.9f}" for value in (*centre, *size))]) + "\n")
    return "".join(lines)


def checked_boxes(images: Images, boxes: Sequence[Boxes]) -> list[Boxes]:
    """Return the boxes as (M, 4) float64 each.

    Raises ValueError where the images are not uint16 (N, H, W) with sizes that
    are multiples of 32, a box is not finite, empty, or not inside its image.
    """
    check_images(images)
    if len(images) != len(boxes):
        raise ValueError(f"{len(images)} images and boxes of {len(boxes)}; give one each")
    height, width = images.shape[1:]
    tables = [np.asarray(one, dtype=np.float64).reshape(-1, 4) for one in boxes]
    for number, table in enumerate(tables):
        for box in table:
            _check_box(box, number, height, width)
    return tables


def check_images(images: Images) -> None:
    """Raise ValueError where images are not uint16 (N, H, W) in multiples of 32."""
    if images.dtype != np.uint16 or images.ndim != 3:
        raise ValueError(f"images are {images.dtype} {images.shape}, not uint16 (N, H, W)")
    check_size((images.shape[1], images.shape[2]))


def check_size(size: tuple[int, int]) -> None:
    """Raise ValueError where (H, W) are not positive multiples of 32."""
    if any(side < STRIDE or side % STRIDE for side in size):
        raise ValueError(
            f"a YOLO sees {size[0]} x {size[1]} pixels only in multiples of {STRIDE}: "
            "choose such a height and width of the prepared images"
        )


def _check_box(box: Boxes, number: int, height: int, width: int) -> None:
    x0, y0, x1, y1 = box
    # written so that NaN is refused too
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(
            f"box {box.tolist()} of image {number} is empty or not inside its {width} x {height} "
            "pixels; boxes are x0, y0, x1, y1 in prepared pixels, y down"
        )


def to_gray(images: Images) -> NDArray[np.uint8]:
    """Return prepared pixels as 8 bits, as the networks see them in training and in use."""
    return ((images.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _write_picture(path: Path, pixels: Images) -> None:
    if not cv2.imwrite(str(path), to_gray(pixels)):
        raise OSError(f"{path.name} was not written: is there room in the temporary folder?")
