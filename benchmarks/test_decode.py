"""Pixel data to stored values: the same pixels, in how much less time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    UID,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from benchmarks import usual
from benchmarks.clock import Row, compare
from benchmarks.images import TestImage, file_bytes
from mammo.dicom.read import ReadFile, decode_image, read_file

BARS = {
    "JPEG Lossless": (JPEGLosslessSV1, 3.0),
    "JPEG-LS": (JPEGLSLossless, 1.8),
    "HTJ2K": (HTJ2KLossless, 2.5),
    "RLE": (RLELossless, 1.8),
    "JPEG 2000": (JPEG2000Lossless, 1.15),
}
HALF_BAR = 3.5
LEAST_PSNR_DB = 35.0
"""Of a half-resolution decode against 2 x 2 means: a broken decode has below 20."""


def _read(image: TestImage, syntax: UID) -> tuple[ReadFile, dict[str, Callable[[], np.ndarray]]]:
    """Return the file as we have it before decoding, and pydicom's ways by their names."""
    data = file_bytes(image, syntax)
    dataset = dcmread(DicomBytesIO(data))
    names = usual.plugins(dataset)
    ways = {name: partial(usual.decode, dataset, name) for name in names[1:]}
    # the first by its default: no plugin is named
    ways = {f"pydicom, {names[0]}": partial(usual.decode, dataset), **ways}
    return read_file(data, key=b"benchmark", site="benchmark"), ways


@pytest.mark.parametrize("name", BARS)
def test_decodes_the_same_pixels(
    name: str, image: TestImage, turns: int, record: Callable[[Row], None]
) -> None:
    syntax, bar = BARS[name]
    read, ways = _read(image, syntax)
    for way in (lambda: decode_image(read).pixels, *ways.values()):
        np.testing.assert_array_equal(way(), image.pixels)
    record(compare(f"{name} decode, exact", lambda: decode_image(read), ways, bar=bar, turns=turns))


def test_decodes_jpeg2000_at_half_resolution(
    image: TestImage, turns: int, record: Callable[[Row], None]
) -> None:
    read, ways = _read(image, JPEG2000Lossless)
    half = decode_image(read, reduce=1).pixels
    rows, columns = image.pixels.shape
    means = image.pixels.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    assert half.shape == means.shape
    error = np.sqrt(np.mean((half - means) ** 2))
    assert 20 * np.log10(4095 / error) > LEAST_PSNR_DB
    step = "JPEG 2000 decode, half resolution"
    record(compare(step, lambda: decode_image(read, reduce=1), ways, bar=HALF_BAR, turns=turns))
