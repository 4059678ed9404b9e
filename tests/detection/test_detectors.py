"""Detectors of torchvision: they learn, are kept, and come back the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mammo.detection.boxes import overlaps
from mammo.detection.detector import WEIGHTS, DetectorManifest, findings_of, save_detector
from mammo.detection.registry import build_detector, load_detector
from mammo.detection.torchvision_detectors import flipped
from mammo.errors import DigestMismatch, NoBoxes, ReleaseNotFound, SourceNotFound
from mammo.geometry import Geometry, PreprocessConfig

SIZE = (128, 64)
NAMES = ("faster_rcnn", "ssd")
IMAGES = np.random.default_rng(0).integers(0, 60000, (2, *SIZE), dtype=np.uint16)
BOX = np.array([[10.0, 20.0, 34.0, 44.0]])
NONE = np.zeros((0, 4))


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_detector_finds_the_same(tmp_path: Path, name: str) -> None:
    detector = build_detector(name, SIZE, seed=1)
    before = {key: one.clone() for key, one in detector.weights().items()}
    detector.fit(IMAGES, [BOX, NONE], epochs=1)
    assert any((one != before[key]).any() for key, one in detector.weights().items())
    config = PreprocessConfig(height=SIZE[0], width=SIZE[1])
    manifest = DetectorManifest(name, config.to_dict(), "d-1", ("p1",), {"epochs": 1})
    loaded, read = load_detector(save_detector(detector, manifest, tmp_path))
    found = detector.detect(IMAGES)
    assert sum(map(len, found)) > 0
    assert loaded.detect(IMAGES) == found
    assert read.patients == ("p1",)
    x0, y0, x1, y1, score = np.array(found[0] + found[1]).T
    assert (x0 >= 0).all() and (y1 <= SIZE[0]).all() and (x1 <= SIZE[1]).all()
    assert (x0 < x1).all() and (y0 < y1).all() and ((score >= 0) & (score <= 1)).all()
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-1] + b"\1")
    with pytest.raises(DigestMismatch):
        load_detector(tmp_path)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="faster_rcnn"):
        build_detector("fast_rcnn", SIZE)
    with pytest.raises(ReleaseNotFound):
        load_detector(tmp_path)
    with pytest.raises(NoBoxes):
        build_detector("ssd", SIZE).fit(IMAGES, [NONE, NONE], epochs=1)
    with pytest.raises(ValueError, match="uint16"):
        build_detector("ssd", SIZE).detect(IMAGES[:, :64])


def test_findings_are_in_original_pixels() -> None:
    geometry = Geometry(100, 50, 900, 1650, 0.1, 16, 4, 2000, 1000)
    found = findings_of([(26.0, 14.0, 36.0, 24.0, 0.75), (0.0, 0.0, 1.0, 1.0, 0.5)], geometry)
    assert [(one.x_min, one.y_min, one.x_max, one.y_max) for one in found] == [
        pytest.approx((200, 150, 300, 250))
    ]  # the second lies beside the original
    assert found[0].score == 0.75


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(64, None, (30, 20, 54, 44)), (None, 128, (10, 84, 34, 108)), (None, None, (10, 20, 34, 44))],
)
def test_boxes_are_mirrored(
    width: int | None, height: int | None, expected: tuple[int, ...]
) -> None:
    assert tuple(flipped(BOX, width, height)[0]) == expected


@pytest.mark.slow
def test_an_ssd_learns_where_bright_squares_are() -> None:
    def squares(count: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
        rng = np.random.default_rng(seed)
        images = rng.normal(15000, 1000, (count, *SIZE))
        boxes = []
        for number in range(count):
            x, y, side = (int(rng.integers(*span)) for span in ((0, 40), (0, 100), (18, 24)))
            images[number, y : y + side, x : x + side] += 30000
            boxes.append(np.array([[x, y, x + side, y + side]], np.float64))
        return images.clip(0, 65535).astype(np.uint16), boxes

    detector = build_detector("ssd", SIZE, seed=1)
    images, truth = squares(12, seed=2)

    def near() -> int:
        best = [
            overlaps(np.array(found[:1]).reshape(-1, 5)[:, :4], real).max(initial=0.0)
            for found, real in zip(detector.detect(images), truth, strict=True)
        ]
        return int(np.sum(np.array(best) > 0.2))

    assert near() <= 3
    detector.fit(*squares(64, seed=1), epochs=20, seed=1)
    assert near() >= 8
