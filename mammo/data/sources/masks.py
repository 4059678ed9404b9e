"""Masks and outlines of regions to boxes in pixels of the original image.

A mask is an image of its own: two values, of the size of the mammogram, the
region bright. Public sets have masks that are some pixels larger or smaller,
or of another scale, and cut-outs of tissue where a mask should be; what cannot
be the mask of its image is MASK_INVALID, never a wrong box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.dicom.file import parse_file
from mammo.dicom.header import MAX_PIXELS, read_header
from mammo.dicom.pixels import decode_pixels
from mammo.dicom.read import read_bytes
from mammo.dicom.tags import Tags
from mammo.errors import MammoError, MaskInvalid, ReadError

HEAD_BYTES = 64 * 2**10
"""What is read of a file to know its size; a header without pixels is far shorter."""
MOST_ASPECT = 0.02
"""Relative difference of the aspect ratios up to which a mask is one of its image."""
LEAST_SCALE = 0.2
"""A mask is at least this fraction of its image's size: cut-outs are mostly smaller."""
MOST_COVERED = 0.5
"""A region covers less of its image: a mask that covers more is inverted or of something else."""

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max; half-open."""


@dataclass(frozen=True, slots=True)
class FileHead:
    """What the first bytes of a DICOM file tell; nothing is decoded."""

    path: Path = field(repr=False)
    rows: int
    columns: int
    description: str
    patient: str = field(repr=False, default="")

    @property
    def size(self) -> str:
        """``4432 x 2864``."""
        return f"{self.rows} x {self.columns}"


def peek(path: Path) -> FileHead:
    """Read size, Series Description (0008,103E) and Patient ID of a file.

    Raises
    ------
    ReadError
        It is no DICOM file, or cannot be opened.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except OSError as error:
        raise ReadError(f"the file cannot be read ({error.strerror})") from error
    file = parse_file(head, HEAD_BYTES)
    tags, layout = Tags(file.dataset, file.little_endian), read_header(file).layout
    description = tags.text("SeriesDescription")
    return FileHead(path, layout.rows, layout.columns, description, tags.text("PatientID"))


def rank_masks(image: FileHead, heads: Sequence[FileHead]) -> list[FileHead]:
    """Return the files that can be the mask of an image, the likeliest first.

    The size decides, since descriptions and paths of some sets are swapped: one
    of the image's own size goes before those of the same aspect ratio, and of
    these one that is described as a mask, then the larger.
    """

    def rank(head: FileHead) -> tuple[bool, bool, int]:
        differs = (head.rows, head.columns) != (image.rows, image.columns)
        return differs, "mask" not in head.description.lower(), -head.rows * head.columns

    size = image.rows, image.columns
    return sorted((head for head in heads if fits((head.rows, head.columns), size)), key=rank)


def fits(mask: tuple[int, int], image: tuple[int, int]) -> bool:
    """True if a mask of (rows, columns) can be scaled to an image of (rows, columns)."""
    if min(*mask, *image) < 1:
        return False
    down, across = mask[0] / image[0], mask[1] / image[1]
    return abs(down / across - 1) <= MOST_ASPECT and min(down, across) >= LEAST_SCALE


def read_mask_box(paths: Iterable[Path], rows: int, columns: int, max_bytes: int) -> Box:
    """Return the box of the first of these files that is a mask, in pixels of the image.

    Raises
    ------
    MaskInvalid
        None is; the message says why of each.
    """
    reasons = []
    for path in paths:
        try:
            return mask_box(_decode(path, max_bytes), rows, columns)
        except MammoError as error:
            reasons.append(error.message)
    raise MaskInvalid("; ".join(reasons) or "there is no file that could be the mask")


def mask_box(mask: NDArray[Any], rows: int, columns: int) -> Box:
    """Return the box around the bright pixels of a mask, scaled to rows x columns.

    Raises
    ------
    MaskInvalid
        It is empty, has another aspect ratio or more than two values, or covers
        over half of the image.
    """
    if not fits((mask.shape[0], mask.shape[1]), (rows, columns)):
        raise MaskInvalid(
            f"it has {mask.shape[0]} x {mask.shape[1]} pixels, its image {rows} x {columns}"
        )
    low, high = mask.min(), mask.max()
    if low == high:
        raise MaskInvalid(f"all {mask.shape[0]} x {mask.shape[1]} pixels have one value")
    inside = mask == high
    if not (inside | (mask == low)).all():
        raise MaskInvalid("it has more than two values, as tissue has: a cut-out, not a mask")
    if inside.mean() > MOST_COVERED:
        raise MaskInvalid(f"it covers {inside.mean():.0%} of the image")
    down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    y_scale, x_scale = rows / mask.shape[0], columns / mask.shape[1]
    return (
        float(across[0] * x_scale),
        float(down[0] * y_scale),
        float((across[-1] + 1) * x_scale),
        float((down[-1] + 1) * y_scale),
    )


def outline_box(points: Sequence[tuple[float, float]]) -> Box:
    """Return the box of the pixels that an outline of (x, y) touches; one point is one pixel."""
    across, down = [x for x, _ in points], [y for _, y in points]
    return (
        float(math.floor(min(across))),
        float(math.floor(min(down))),
        float(math.floor(max(across)) + 1),
        float(math.floor(max(down)) + 1),
    )


def clip_box(box: Box, rows: int, columns: int) -> Box | None:
    """Return the part of a box inside the image; None where there is none."""
    x_min, y_min = max(box[0], 0.0), max(box[1], 0.0)
    x_max, y_max = min(box[2], float(columns)), min(box[3], float(rows))
    return (x_min, y_min, x_max, y_max) if x_min < x_max and y_min < y_max else None


def _decode(path: Path, max_bytes: int) -> NDArray[Any]:
    file = parse_file(read_bytes(path, max_bytes), max_bytes)
    header = read_header(file)
    if header.layout.rows * header.layout.columns > MAX_PIXELS:
        raise MaskInvalid(f"it has {header.layout.rows} x {header.layout.columns} pixels")
    return decode_pixels(file, header).values
