"""A release that carries a detector: its graph, its digest, what is told and what is not."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from mammo.contract import ScoredExam
from mammo.detection.carried import (
    FACTS,
    GRAPH,
    LEAST_SCORE,
    CarriedDetector,
    JointScore,
    best_scores,
    suppress,
)
from mammo.detection.detector import NetworkDetector
from mammo.detection.registry import build_detector
from mammo.errors import DigestMismatch, ParityError, SettingsInvalid, SourceInvalid
from mammo.exam_report import ExamReport
from mammo.export.detector import export_detector
from mammo.findings import DETECTOR, SourcedFinding, measure_agreement
from mammo.geometry import Geometry
from mammo.release import Release
from mammo.screening import Screener
from tests.heat_release import KEY, one_exam, write_heat_release

pytestmark = pytest.mark.slow

SIZE = (128, 64)
JOINT = JointScore(0.7, 0.4, -0.3)


def stirred(name: str) -> NetworkDetector:
    """Return a detector whose scores differ from box to box, without a long training."""
    detector = build_detector(name, SIZE, seed=4)
    assert isinstance(detector, NetworkDetector)
    if name == "ssd":  # its statistics of a batch have to be met first
        images = np.random.default_rng(3).integers(0, 65536, (8, *SIZE)).astype(np.uint16)
        detector.fit(images, [np.array([[10.0, 20.0, 30.0, 45.0]])] * 8, epochs=2)
        return detector
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in detector.network.parameters():
            if weights.dim() > 1:
                weights.add_(0.3 * weights.std() * torch.randn(weights.shape, generator=draws))
    return detector


@pytest.fixture(scope="module")
def ssd() -> NetworkDetector:
    return stirred("ssd")


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    return one_exam(tmp_path_factory.mktemp("exam"))


@pytest.mark.parametrize("name", ["ssd", "yolov8n", "yolov5n"])
def test_the_graph_finds_what_the_detector_finds(name: str, tmp_path: Path) -> None:
    if name != "ssd":
        pytest.importorskip("ultralytics")
    detector = stirred(name)
    export_detector(detector, tmp_path / GRAPH)
    session = onnxruntime.InferenceSession(
        str(tmp_path / GRAPH), providers=["CPUExecutionProvider"]
    )
    images = np.random.default_rng(2).integers(0, 65536, (3, *SIZE)).astype(np.uint16)
    for image, raw in zip(images, detector.detect(images), strict=True):
        tensor = image.astype(np.float32) / np.float32(65535)
        boxes, scores = session.run(None, {"image": tensor[None, None]})
        marks = suppress(boxes[0], scores[0])
        marks = marks[marks[:, 4] > 0]
        assert len(raw) and abs(len(marks) - len(raw)) <= 1  # one at the edge of an overlap
        np.testing.assert_allclose(marks[:5, 4], np.array(raw)[:5, 4], atol=1e-4)
        np.testing.assert_allclose(marks[:3, :4], np.array(raw)[:3, :4], atol=0.05)


def test_faster_rcnn_is_refused_by_name(tmp_path: Path) -> None:
    detector = NetworkDetector("faster_rcnn", SIZE, torch.nn.Identity())
    with pytest.raises(SettingsInvalid, match="allowed are ssd"):
        export_detector(detector, tmp_path / GRAPH)


BOX = [10.0, 10.0, 30.0, 30.0]


@pytest.mark.parametrize(
    ("boxes", "scores", "kept"),
    [
        ([], [], []),
        ([BOX], [0.0005], []),
        ([BOX, BOX], [0.2, 0.9], [0.9]),
        # exactly half of their union is shared: not more than a half, so both stay
        ([BOX, [10.0, 10.0, 30.0, 20.0]], [0.4, 0.5], [0.5, 0.4]),
        ([BOX, [10.0, 10.0, 30.0, 21.0]], [0.4, 0.5], [0.5]),
        ([BOX, [30.0, 10.0, 30.0, 30.0]], [0.4, 0.9], [0.4]),
    ],
    ids=["none", "below the least", "twice", "half shared", "more shared", "without a size"],
)
def test_suppression(boxes: list[list[float]], scores: list[float], kept: list[float]) -> None:
    marks = suppress(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))
    assert marks.shape == (50, 5)
    assert marks[marks[:, 4] > 0, 4].tolist() == pytest.approx(kept)


def test_a_place_that_is_marked_twice_is_one_finding() -> None:
    marks = np.zeros((50, 5), np.float32)
    marks[:4] = [
        [10, 10, 30, 30, 0.9],
        [12, 12, 60, 60, 0.8],  # the middle of the first lies in it
        [40, 40, 50, 50, 0.7],
        [100, 100, 110, 110, 0.001],
    ]
    facts = CarriedDetector("ssd", "digest", 0.5)
    found = facts.findings(marks, Geometry(0, 0, 100, 200, 1.0, 0, 0, 200, 100))
    assert [round(one.score, 3) for one in found] == [0.9, 0.7]
    assert (
        CarriedDetector("ssd", "digest", 0.0).findings(
            np.zeros((50, 5), np.float32), Geometry(0, 0, 100, 200, 1.0, 0, 0, 200, 100)
        )
        == ()
    )


@pytest.mark.parametrize(
    "weights", [(-0.1, 1.0, 0.0), (1.0, -0.1, 0.0), (math.nan, 1.0, 0.0), (1.0, 1.0, math.inf)]
)
def test_no_weight_turns_the_score_round(weights: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        JointScore(*weights)


def test_the_joint_score_rises_with_both() -> None:
    assert JOINT.logit(1.0, 0.5) == pytest.approx(0.4)
    steps = [JOINT.logit(0.0, best) for best in (0.0, 0.2, 0.9, 1.0)]
    assert steps == sorted(steps) and len(set(steps)) == 4
    assert JOINT.logit(0.0, 0.0) == JOINT.logit(0.0, LEAST_SCORE)


def carry(
    plain: Path, detector: NetworkDetector, joint: JointScore | None, least: float = 0.0
) -> Path:
    """Return a copy of a release that carries the detector."""
    directory = plain.with_name(f"r-joined-{joint is not None}")
    shutil.copytree(plain, directory)
    export_detector(detector, directory / GRAPH)
    facts = CarriedDetector("ssd", "digest", least, joint)
    facts.write(directory)
    release = replace(Release.read(plain), id=directory.name, detector="ssd", files={})
    screener = Screener(release, directory)
    with np.load(directory / "golden.npz") as golden:
        marks = screener.infer_views(golden["tensor"][np.newaxis]).marks
    assert marks is not None
    replace(facts, golden_best=float(best_scores(marks)[0])).write(directory)
    release.seal(directory)
    return directory


def score(directory: Path, files: list[tuple[str, bytes]]) -> ExamReport:
    return Screener.load(directory).score_files(files, key=KEY, site="site-1")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heat_release(tmp_path_factory.mktemp("home") / "releases", "r-plain")


@pytest.fixture(scope="module")
def findings_only(plain: Path, ssd: NetworkDetector) -> Path:
    return carry(plain, ssd, None)


@pytest.fixture(scope="module")
def joined(plain: Path, ssd: NetworkDetector) -> Path:
    return carry(plain, ssd, JOINT)


def test_without_a_detector_nothing_changes(plain: Path, exam: list[tuple[str, bytes]]) -> None:
    assert "detector" not in Release.read(plain).to_dict()
    told = score(plain, exam).to_json()
    assert {key for one in told["breasts"] for key in one} == {
        "laterality", "logit", "probability", "recall", "scale"
    }  # fmt: skip
    findings = [one for view in told["views"] for one in view["findings"]]
    assert findings and {key for one in findings for key in one} == {
        "x_min", "y_min", "x_max", "y_max", "share", "logit", "kind", "source"
    }  # fmt: skip


def test_a_graph_that_the_manifest_does_not_name_is_not_loaded(
    plain: Path, findings_only: Path, exam: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    slipped = tmp_path / "r-plain"
    shutil.copytree(plain, slipped)
    for name in (GRAPH, FACTS):
        shutil.copyfile(findings_only / name, slipped / name)
    screener = Screener.load(slipped)
    assert screener.detector is None
    assert score(slipped, exam).to_json()["views"] == score(plain, exam).to_json()["views"]


@pytest.mark.parametrize("name", [GRAPH, FACTS])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_changed_detector_is_refused(joined: Path, tmp_path: Path, name: str, how: str) -> None:
    broken = tmp_path / joined.name
    shutil.copytree(joined, broken)
    if how == "gone":
        (broken / name).unlink()
    else:
        (broken / name).write_bytes((broken / name).read_bytes() + b" ")
    with pytest.raises(DigestMismatch, match=name):
        Screener.load(broken)


def test_a_detector_that_sees_otherwise_is_refused(joined: Path, tmp_path: Path) -> None:
    other = tmp_path / joined.name
    shutil.copytree(joined, other)
    facts = CarriedDetector.read(other)
    replace(facts, golden_best=facts.golden_best - 0.01).write(other)
    replace(Release.read(other), files={}).seal(other)
    with pytest.raises(ParityError, match="detector"):
        Screener.load(other)


@pytest.mark.parametrize("text", ["", "[]", '{"joint": null}', '{"joint": {"classifier": 1}}'])
def test_facts_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FACTS).write_text(text)
    with pytest.raises(SourceInvalid, match=FACTS):
        CarriedDetector.read(tmp_path)


def test_findings_alone_leave_the_scores_as_they_are(
    plain: Path, findings_only: Path, exam: list[tuple[str, bytes]]
) -> None:
    before, after = score(plain, exam), score(findings_only, exam)
    assert [(one.laterality, one.logit) for one in before.breasts] == [
        (one.laterality, one.logit) for one in after.breasts
    ]
    assert [one.probability for one in before.views] == [one.probability for one in after.views]
    for was, now in zip(before.views, after.views, strict=True):
        assert {one.share for one in was.findings} == {
            one.share for one in now.findings if one.share is not None
        }
        marks = [one for one in now.findings if isinstance(one, SourcedFinding)]
        assert 0 < sum(DETECTOR in one.sources for one in marks) <= 3


def test_one_call_tells_classification_findings_and_agreement(
    plain: Path, joined: Path, exam: list[tuple[str, bytes]]
) -> None:
    screener = Screener.load(joined)
    read = screener.read_exam(exam, key=KEY, site="site-1")
    report = screener.score_read(read).report
    before = {one.laterality: one.logit for one in score(plain, exam).breasts}
    for breast, agreed in zip(report.breasts, report.agreement, strict=True):
        pooled = [one for one in report.views if one.pooled and one.laterality == breast.laterality]
        scores = [one.score or 0.0 for view in pooled for one in view.findings]  # type: ignore[union-attr]
        assert breast.logit == JOINT.logit(before[breast.laterality], max(scores))
        findings = [view.findings for view in pooled]
        assert agreed == measure_agreement(breast.laterality, findings)  # type: ignore[arg-type]
    answer = ScoredExam.of(report, [name for name, _ in exam]).model_dump(mode="json")
    assert [one["agreement"] for one in answer["breasts"]] == [
        one.to_dict() for one in report.agreement
    ]
    assert [view["findings"] for view in answer["views"]] == [
        view["findings"] for view in report.to_json()["views"]
    ]
    assert all("agreement" not in row for row in report.to_log_rows())


def test_least_score_bounds_what_is_told_and_not_what_is_scored(
    plain: Path, ssd: NetworkDetector, joined: Path, exam: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    shutil.copytree(plain, tmp_path / plain.name)
    strict = carry(tmp_path / plain.name, ssd, JOINT, least=1.0)
    report = score(strict, exam)
    assert not any(one.to_dict().get("score") for view in report.views for one in view.findings)
    assert [one.logit for one in report.breasts] == [
        one.logit for one in score(joined, exam).breasts
    ]
