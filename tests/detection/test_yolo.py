"""The YOLO detectors: what they learn, keep, refuse, and leave alone."""

import os
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mammo.detection.detector import DetectorManifest, save_detector, write_manifest
from mammo.detection.registry import load_detector
from mammo.detection.yolo import YOLO_NAMES, YoloDetector, build_yolo
from mammo.detection.yolo_data import label_lines, to_gray, write_yolo_folder
from mammo.errors import (
    MammoError,
    NoBoxes,
    ScoreNotFinite,
    SettingsInvalid,
    TrainingDiverged,
)
from mammo.geometry import PreprocessConfig

SIZE = 128, 64
NOTHING = np.zeros((0, 4))
PREPARED = PreprocessConfig(height=SIZE[0], width=SIZE[1]).to_dict()
MANIFEST_OF = {name: DetectorManifest(name, PREPARED, "v1", (), {}) for name in YOLO_NAMES}


def bright_boxes(count: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return noise in which three images of four have one bright rectangle, and its box."""
    rng = np.random.default_rng(seed)
    images = rng.integers(8000, 20000, (count, *SIZE)).astype(np.uint16)
    boxes = []
    for number in range(count):
        width, height = rng.integers(16, 30, 2)
        x, y = rng.integers(0, SIZE[1] - width), rng.integers(0, SIZE[0] - height)
        if number % 4 == 3:
            boxes.append(NOTHING)
            continue
        images[number, y : y + height, x : x + width] += 30000
        boxes.append(np.array([[x, y, x + width, y + height]], dtype=float))
    return images, boxes


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:4], b[2:4])
    both = np.prod(np.clip(high - low, 0, None))
    return float(both / (np.prod(a[2:4] - a[:2]) + np.prod(b[2:4] - b[:2]) - both))


@pytest.fixture(scope="module")
def untrained() -> YoloDetector:
    pytest.importorskip("ultralytics", reason="the extra yolo is not installed")
    return build_yolo("yolov8n", SIZE)


@pytest.mark.parametrize(
    ("box", "line"),
    [
        ((0, 0, 64, 128), "0 0.500000000 0.500000000 1.000000000 1.000000000\n"),
        ((16, 32, 32, 96), "0 0.375000000 0.500000000 0.250000000 0.500000000\n"),
        ((63, 127, 64, 128), "0 0.992187500 0.996093750 0.015625000 0.007812500\n"),
    ],
)
def test_label_lines_are_centre_and_size_of_the_image(box, line):
    assert label_lines(np.array([box], dtype=float), SIZE) == line


def test_folder_has_each_picture_and_an_empty_file_of_a_negative(tmp_path):
    import cv2

    images, boxes = bright_boxes(4, seed=1)
    pictures = write_yolo_folder(tmp_path / "set", images, boxes)
    for number in range(4):
        read = cv2.imread(str(pictures / f"{number:06}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, to_gray(images)[number])
    lines = [path.read_text() for path in sorted((tmp_path / "set/labels").iterdir())]
    assert [text.count("\n") for text in lines] == [1, 1, 1, 0]


def test_gray_keeps_black_and_white_and_is_the_nearest_of_256():
    told = to_gray(np.array([[[0, 128, 129, 257 * 100, 65535]]], dtype=np.uint16))
    assert told.ravel().tolist() == [0, 0, 1, 100, 255]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((-1, 0, 10, 10), "not inside"),
        ((0, 0, 65, 10), "not inside"),
        ((0, 120, 10, 129), "not inside"),
        ((5, 5, 5, 9), "is empty"),
        ((9, 9, 5, 5), "is empty"),
        ((0, 0, float("nan"), 9), "nan"),
    ],
)
def test_bad_boxes_are_refused_before_training(untrained, box, reason):
    images, boxes = bright_boxes(2, seed=1)
    with pytest.raises(ValueError, match=reason):
        untrained.fit(images, [boxes[0], np.array([box], dtype=float)], epochs=1)


def test_a_set_without_boxes_is_refused(untrained):
    images, _ = bright_boxes(2, seed=1)
    with pytest.raises(NoBoxes):
        untrained.fit(images, [NOTHING, NOTHING], epochs=1)


def test_other_images_are_refused(untrained):
    with pytest.raises(ValueError, match="not uint16"):
        untrained.detect(np.zeros((1, *SIZE), dtype=np.uint8))
    with pytest.raises(ValueError, match="made for 128 x 64"):
        untrained.detect(np.zeros((1, 64, 64), dtype=np.uint16))
    with pytest.raises(ValueError, match="multiples of 32"):
        build_yolo("yolov8n", (100, 64))
    with pytest.raises(ValueError, match="yolov8n, yolov5n"):
        build_yolo("yolov9", SIZE)


@pytest.mark.parametrize("value", [torch.nan, torch.inf], ids=["NaN", "infinity"])
def test_what_is_no_number_is_not_taken_for_no_mark(untrained, value):
    images, _ = bright_boxes(2, seed=1)
    broken = build_yolo("yolov8n", SIZE)
    weights = {name: one.clone() for name, one in untrained.weights().items()}
    # the last convolution of a branch, one bias of it: the other marks stay numbers
    last = [name for name in weights if ".cv2." in name and name.endswith(".2.bias")][-1]
    weights[last][0] = value
    broken.load_weights(weights)
    with pytest.raises(ScoreNotFinite, match=r"yolov8n gave \d+ of \d+ .* no finite"):
        broken.detect(images)


def test_without_ultralytics_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(SettingsInvalid, match=r"pip install -e '\.\[yolo\]'"):
        build_yolo("yolov8n", SIZE)


def test_importing_brings_no_ultralytics():
    code = "import sys, mammo.detection.yolo; sys.exit('ultralytics' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", YOLO_NAMES)
def test_build_depends_on_the_seed_alone(untrained, name):
    first, again, other = (build_yolo(name, SIZE, seed=seed).weights() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_told(untrained):
    broken = build_yolo("yolov8n", SIZE)
    weights = {name: one.clone() for name, one in untrained.weights().items()}
    next(one for name, one in weights.items() if name.endswith("conv.weight")).fill_(torch.nan)
    broken.load_weights(weights)
    with pytest.raises(TrainingDiverged, match=r"yolov8n became nan in epoch 1.*seed"):
        broken.fit(*bright_boxes(4, seed=1), epochs=1)


@pytest.mark.slow
def test_detector_learns_and_its_weights_are_kept_without_pickle(untrained, tmp_path):
    name = "yolov5n"
    detector = build_yolo(name, SIZE)
    steps = []
    detector.fit(*bright_boxes(48, seed=2), epochs=30, progress=lambda *told: steps.append(told))
    assert steps == [("epoch", done, 30) for done in range(1, 31)]
    images, boxes = bright_boxes(12, seed=3)
    found = detector.detect(images)
    hits = [
        bool(one) and one[0][4] > 0.3 and overlap(np.array(one[0]), box[0]) > 0.5
        for one, box in zip(found, boxes, strict=True)
        if len(box)
    ]
    assert sum(hits) >= 7, f"{sum(hits)} of {len(hits)} bright boxes found"
    for one in found:
        table = np.array(one).reshape(-1, 5)
        assert (np.diff(table[:, 4]) <= 0).all()
        assert (table[:, :2] >= 0).all()
        assert (table[:, 2:4] <= [SIZE[1], SIZE[0]]).all()
    kept = save_detector(detector, MANIFEST_OF[name], tmp_path)
    assert load_detector(kept)[0].detect(images) == found
    assert sorted(one.name for one in kept.iterdir()) == ["detector.json", "weights.safetensors"]


def changed_weights(folder):
    path = folder / "weights.safetensors"
    spoilt = bytearray(path.read_bytes())
    spoilt[-1] ^= 1
    path.write_bytes(spoilt)


def other_network(folder):
    write_manifest(replace(DetectorManifest.read(folder), name="yolov5n"), folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (changed_weights, "is not the file"),
        (other_network, "are no yolov5n's"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "is not the file"),
        (lambda folder: (folder / "detector.json").unlink(), "has no detector.json"),
        (lambda folder: (folder / "detector.json").write_text("[1"), "is none"),
        (lambda folder: (folder / "detector.json").write_text('{"name": "ssd"}'), "is none"),
    ],
)
def test_spoilt_folders_are_refused(untrained, tmp_path, spoil, reason):
    save_detector(untrained, MANIFEST_OF["yolov8n"], tmp_path)
    spoil(tmp_path)
    with pytest.raises(MammoError, match=reason):
        load_detector(tmp_path)


@pytest.mark.slow
def test_training_repeats_and_leaves_the_process_as_it_was(untrained):
    images, boxes = bright_boxes(10, seed=4)
    environment = dict(os.environ)
    random.seed(5)
    torch.manual_seed(5)
    expected = random.Random(5).random(), torch.rand(1, generator=torch.Generator().manual_seed(5))
    trained = []
    for _ in range(2):
        detector = build_yolo("yolov8n", SIZE)
        detector.fit(images, boxes, epochs=2, seed=7)
        trained.append(detector.weights())
    assert all(torch.equal(trained[0][key], trained[1][key]) for key in trained[0])
    assert dict(os.environ) == environment
    assert not torch.are_deterministic_algorithms_enabled()
    assert (random.random(), torch.rand(1)) == expected
