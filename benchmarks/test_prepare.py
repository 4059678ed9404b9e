"""Stored values to the model's array, and file to array, both through the public functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1

from benchmarks import usual
from benchmarks.clock import Row, compare
from benchmarks.images import TestImage, write_file
from mammo.dicom.read import read_mammogram
from mammo.preprocess import Prepared, PreprocessConfig, prepare

CONFIG = PreprocessConfig(height=1024, width=512)
LEAST_CORRELATION = 0.9
"""Both show the same breast; region, margin and place differ a little."""

Keep = Callable[[Row], None]


def _ours(path: Path, reduce: int = 0) -> Prepared:
    _, stored = read_mammogram(path, key=b"benchmark", site="benchmark", reduce=reduce)
    return prepare(stored, CONFIG)


def _same_breast(ours: Prepared, theirs: np.ndarray) -> bool:
    """Compare brightness along rows: the crops of the two ways differ by some percent."""
    profiles = [np.sort(picture.ravel().astype(float)) for picture in (ours.pixels, theirs)]
    return float(np.corrcoef(*profiles)[0, 1]) > LEAST_CORRELATION


def test_prepares_the_same_breast(
    image: TestImage, turns: int, tmp_path: Path, record: Keep
) -> None:
    path = write_file(image, JPEGLosslessSV1, tmp_path / "one.dcm")
    dataset = dcmread(path)
    _, stored = read_mammogram(path, key=b"benchmark", site="benchmark")
    theirs = partial(usual.prepare, dataset, image.pixels, CONFIG.height, CONFIG.width)
    assert _same_breast(prepare(stored, CONFIG), theirs())
    ways = {"pydicom, scikit-image, PIL": theirs}
    record(compare("all after decode", lambda: prepare(stored, CONFIG), ways, bar=10, turns=turns))


@pytest.mark.parametrize(
    ("name", "syntax", "reduce", "bar"),
    [
        ("JPEG Lossless", JPEGLosslessSV1, 0, 6.0),
        ("JPEG 2000 exact", JPEG2000Lossless, 0, 1.7),
        ("JPEG 2000 half resolution", JPEG2000Lossless, 1, None),
    ],
)
def test_reads_file_to_array(
    name: str,
    syntax: UID,
    reduce: int,
    bar: float | None,
    image: TestImage,
    turns: int,
    tmp_path: Path,
    record: Keep,
) -> None:
    path = write_file(image, syntax, tmp_path / "one.dcm")
    names = usual.plugins(dcmread(path))
    size = CONFIG.height, CONFIG.width
    ways = {f"pydicom, {names[0]}": partial(usual.file_to_array, path, *size)}
    ways |= {other: partial(usual.file_to_array, path, *size, other) for other in names[1:]}
    assert _same_breast(_ours(path, reduce), ways[f"pydicom, {names[0]}"]())
    step = f"file to 1024 x 512 array, {name}"
    record(compare(step, lambda: _ours(path, reduce), ways, bar=bar, turns=turns))
