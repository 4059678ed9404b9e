"""A detector joined to a release of phantoms: one path, nobody seen twice, judged by the gate."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli import app
from mammo.appraisal.agreement import measure_release
from mammo.appraisal.detector_files import screen_files
from mammo.continual import fold_marks, join, unseen
from mammo.continual.fit import TrainedRelease
from mammo.continual.fold_marks import marks_out_of_fold
from mammo.continual.golden_set import UNSEEN
from mammo.continual.join import JoinedRelease, join_detector
from mammo.continual.judge import judge_release
from mammo.continual.judged_scores import _key
from mammo.continual.score import infer_rows, row_geometries, score_exams, score_views
from mammo.continual.spent import read_spent
from mammo.continual.split import known_parts, trained_patients
from mammo.data.index import read_index
from mammo.detection.carried import best_scores
from mammo.detection.detector import MANIFEST, Detector, DetectorManifest, write_manifest
from mammo.detection.registry import load_detector
from mammo.errors import (
    MammoError,
    NothingReadable,
    PatientLeak,
    SourceInvalid,
    TooFewLabels,
)
from mammo.release import DETECTOR_FILES, DETECTOR_TRAINING, Release
from mammo.screening import Screener
from mammo.settings import Settings

pytestmark = pytest.mark.slow
CLASSIFIER = ("model.onnx", "encoder.onnx", "weights.safetensors", "images.parquet")


def test_the_child_is_its_parent_with_a_detector(
    folded: TrainedRelease, joined: JoinedRelease, detector: Path
) -> None:
    child = Release.read(joined.directory, verify=True)
    assert (child.kind, child.parent, child.detector) == ("joined", folded.release.id, "ssd")
    assert all(child.files[name] == folded.release.files[name] for name in CLASSIFIER)
    assert {*DETECTOR_FILES, *DETECTOR_TRAINING} <= set(child.files)
    told = json.loads((detector / MANIFEST).read_text())
    assert set(told["patients"]) <= trained_patients(joined.directory)
    facts = (joined.directory / "detector.json").read_text()
    assert not any(patient in facts for patient in told["patients"])
    weights = child.metrics["joined"]["weights"]
    assert weights["classifier"] >= 0 and weights["detector"] >= 0
    # of the joint score nothing was measured by folds, and the classifier's training was no join
    parent = folded.release.metrics
    assert "out_of_fold_auc" in parent
    assert not any(name.startswith("out_of_fold") for name in child.metrics)
    assert read_spent(joined.directory) not in (None, read_spent(folded.directory))
    assert not list(joined.directory.parent.glob(".r-*"))


def test_weights_come_from_patients_that_neither_has_seen(
    installation: Settings, folded: TrainedRelease, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[pd.DataFrame] = []
    monkeypatch.setattr(unseen, "LEAST_PATIENTS", 1)
    real = join.best_of_breasts

    def watch(of: unseen.Unseen, marks: np.ndarray) -> np.ndarray:
        seen.extend((of.rows, of.breasts))
        return real(of, marks)

    monkeypatch.setattr(join, "best_of_breasts", watch)
    join_detector(installation, folded.release.id, detector)
    learnt = set(json.loads((detector / MANIFEST).read_text())["patients"])
    parts = known_parts(folded.directory)
    assert seen
    for table in seen:
        assert not learnt & set(table["patient_id"])
        assert {parts[one] for one in table["patient_id"]} == {"train"}


def test_training_evaluation_service_and_commands_say_the_same(
    installation: Settings, joined: JoinedRelease, exam_files: list[tuple[str, bytes]],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    exam_files = [*exam_files, ("torn.dcm", exam_files[0][1][:1000])]
    screener = Screener.load(joined.directory)
    key = installation.pseudonym_key()
    # the commands call a file by its digest where no person reads
    called = [(hashlib.sha256(data).hexdigest(), data) for _, data in exam_files]
    report = screener.score_files(called, key=key, site=installation.site)
    told = report.to_json()

    index = read_index(installation.index_path)
    rows = index[index["exam_id"] == report.exam_id].reset_index(drop=True)
    views = score_views(screener, rows, installation.shards_dir)
    exam = score_exams(screener, views, "cancer").iloc[0]
    breasts = views[views["pooled"]].groupby("laterality")["breast_logit"].first()
    assert {one.laterality: one.logit for one in report.breasts} == breasts.to_dict()
    assert exam["logit"] == report.logit and exam["probability"] == report.probability

    found = infer_rows(screener, rows, installation.shards_dir, heat=True)
    findings = screener.findings_of(found, row_geometries(rows))
    stored = dict(zip(rows["image_id"], findings, strict=True))
    assert {one.image_id: one.findings for one in report.views} == stored

    (again,), refused = screen_files(installation, joined.directory, called)
    assert refused == report.refused and len(refused) == 1
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    for name, data in exam_files:
        (tmp_path / name).write_bytes(data)
    asked = [
        ["predict", str(tmp_path), "--release", str(joined.directory), "--json"],
        ["detect", "files", str(tmp_path), "--release", joined.release.id, "--json"],
    ]
    answers = [CliRunner().invoke(app, one) for one in asked]
    assert [one.exit_code for one in answers] == [0, 0], answers[0].output + answers[1].output
    predicted, detected = (json.loads(one.stdout) for one in answers)
    same = ("score", "logit", "breasts", "decision", "quality", "abstention", "refused")
    assert "FILE_REFUSED" in told["quality"]
    plain = json.loads(json.dumps(told))
    for other in (predicted, detected["exams"][0], json.loads(json.dumps(again.to_json()))):
        assert {name: other[name] for name in same} == {name: plain[name] for name in same}
        # the files come in another order
        assert {one["image_id"]: one for one in other["views"]} == {
            one["image_id"]: one for one in plain["views"]
        }


def test_refusals_reach_every_exam_and_nothing_readable_is_told(
    installation: Settings, joined: JoinedRelease, exam_files: list[tuple[str, bytes]],
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    torn = ("torn.dcm", exam_files[0][1][:1000])
    other = sorted(sorted((phantoms / "train_images").iterdir())[4].glob("*.dcm"))[0]
    two = [exam_files[0], (other.name, other.read_bytes()), torn]
    reports, refused = screen_files(installation, joined.directory, two)
    assert len(reports) == 2 and len(refused) == 1
    assert all(one.refused == refused and "FILE_REFUSED" in one.quality for one in reports)
    with pytest.raises(NothingReadable, match="None of the 1 files"):
        screen_files(installation, joined.directory, [torn])
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    for name, data in [*exam_files[1:], torn]:
        (tmp_path / name).write_bytes(data)
    line = ["detect", "files", str(tmp_path), "--release", joined.release.id]
    answer = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, line)
    assert answer.exit_code == 0, answer.output
    assert "not to be relied on: MISSING_VIEW" in answer.output and "refused: " in answer.output
    assert "not judged, for too few reference exams" in answer.output


def test_findings_alone_leave_every_score_as_it_was(
    installation: Settings, folded: TrainedRelease, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen, "LEAST_PATIENTS", 1)
    child = join_detector(installation, folded.release.id, detector, findings_only=True)
    assert child.release.operating_points == folded.release.operating_points
    for name in ("out_of_fold_auc", "holdout_auc"):
        assert child.release.metrics[name] == folded.release.metrics[name]
    columns = ["image_id", "part", "logit", "breast_logit"]
    before, after = (
        pd.read_parquet(one / "scores.parquet")[columns]
        for one in (folded.directory, child.directory)
    )
    before = before[before["part"] != "out_of_fold"].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_the_gate_judges_it_like_any_other(
    installation: Settings, folded: TrainedRelease, joined: JoinedRelease
) -> None:
    decision = judge_release(installation, joined.release.id, against=folded.release.id)
    judged = {one.name for one in decision.clauses}
    assert {"golden_auc_non_inferior", "sensitivity_at_recall", "latency"} <= judged
    assert UNSEEN not in judged
    # its golden scores are its own, and not those kept of the same classifier
    rows = read_index(installation.index_path).head(4)
    keys = {_key(Release.read(one.directory), rows) for one in (folded, joined)}
    assert len(keys) == 2


def leaked(folder: Path, parts: dict[str, str], part: str) -> None:
    """Say that the detector was trained on a patient of a part."""
    facts = DetectorManifest.read(folder)
    more = next(one for one, of in parts.items() if of == part)
    write_manifest(replace(facts, patients=(*facts.patients, more)), folder)


def other_size(folder: Path, parts: dict[str, str], part: str) -> None:
    facts = DetectorManifest.read(folder)
    height = 2 * facts.preprocess["height"]
    write_manifest(replace(facts, preprocess=facts.preprocess | {"height": height}), folder)


@pytest.mark.parametrize(
    ("change", "part", "error", "words"),
    [
        (leaked, "golden", PatientLeak, "1 patients"),
        (leaked, "holdout", PatientLeak, "1 patients"),
        (other_size, "", SourceInvalid, "256 x 64 pixels, the release sees 128 x 64"),
    ],
)
def test_detectors_that_may_not_be_joined(
    installation: Settings, folded: TrainedRelease, detector: Path, tmp_path: Path,
    change: Callable[[Path, dict[str, str], str], None], part: str,
    error: type[MammoError], words: str,
) -> None:  # fmt: skip
    folder = tmp_path / "ssd"
    shutil.copytree(detector, folder)
    change(folder, known_parts(folded.directory), part)
    with pytest.raises(error, match=words):
        join_detector(installation, folded.release.id, folder)


def test_releases_that_no_detector_may_be_joined_to(
    installation: Settings, trained: TrainedRelease, joined: JoinedRelease, detector: Path
) -> None:
    with pytest.raises(SourceInvalid, match="carries a detector"):
        join_detector(installation, joined.release.id, detector)
    plain = tmp_copy(installation, trained, "r-20260101-00000000", kind="recalibrated")
    with pytest.raises(SourceInvalid, match="recalibrated from scores"):
        join_detector(installation, plain, detector)


def tmp_copy(settings: Settings, trained: TrainedRelease, name: str, **facts: str) -> str:
    """Write a copy of a release under another id, with other facts."""
    folder = settings.releases_dir / name
    shutil.copytree(trained.directory, folder)
    replace(Release.read(folder), id=name, **facts).seal(folder)  # type: ignore[arg-type]
    return name


def test_too_few_patients_are_told(
    installation: Settings, folded: TrainedRelease, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen, "LEAST_PATIENTS", 1000)
    with pytest.raises(TooFewLabels, match="1000 with and as many without are needed"):
        join_detector(installation, folded.release.id, detector)


def test_a_release_without_out_of_fold_scores_is_told(
    installation: Settings, folded: TrainedRelease, detector: Path
) -> None:
    name = tmp_copy(installation, folded, "r-20260102-00000000")
    path = installation.releases_dir / name / "scores.parquet"
    scores = pd.read_parquet(path)
    scores[scores["part"] != "out_of_fold"].to_parquet(path, index=False)
    Release.read(path.parent).seal(path.parent)
    with pytest.raises(TooFewLabels, match="folds of at least 2"):
        join_detector(installation, name, detector)


def test_agreement_over_a_set(
    installation: Settings, folded: TrainedRelease, joined: JoinedRelease,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    table = measure_release(installation, joined.directory)
    scores = pd.read_parquet(joined.directory / "scores.parquet")
    held = scores[(scores["part"] == "holdout") & scores["pooled"]]
    breasts = held.groupby(["exam_id", "laterality"])["label"].max()
    assert [table.groups[name]["breasts"] for name in ("with", "without")] == [
        int(breasts.eq(1).sum()), int(breasts.eq(0).sum())
    ]  # fmt: skip
    with pytest.raises(SourceInvalid, match="carries no detector"):
        measure_release(installation, folded.directory)
    with pytest.raises(SourceInvalid, match="part is 'train'; allowed is holdout"):
        measure_release(installation, joined.directory, part="train")
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    answer = CliRunner().invoke(app, ["detect", "agreement", joined.release.id, "--json"])
    assert json.loads(answer.stdout)["groups"] == json.loads(json.dumps(table.to_dict()["groups"]))


def test_folds_mark_each_patient_by_a_detector_that_never_saw_her(
    installation: Settings, folded: TrainedRelease, joined: JoinedRelease, detector: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    facts = DetectorManifest.read(detector)
    parts = known_parts(folded.directory)
    index = read_index(installation.index_path)
    rows = index[index["patient_id"].map(parts).eq("train")].reset_index(drop=True)
    learnt: list[set[str]] = []
    marked: list[set[str]] = []
    real = fold_marks._marks

    def train(settings: Settings, of: DetectorManifest, some: pd.DataFrame) -> Detector:
        learnt.append(set(some["patient_id"]))
        return load_detector(detector)[0]

    def mark(network: Detector, settings: Settings, some: pd.DataFrame) -> np.ndarray:
        marked.append(set(some["patient_id"]))
        return real(network, settings, some)

    monkeypatch.setattr(fold_marks, "_train", train)
    monkeypatch.setattr(fold_marks, "_marks", mark)
    told: list[int] = []
    marks = marks_out_of_fold(
        installation, facts, rows, "cancer", 2, lambda stage, done, total: told.append(done)
    )
    assert told == [1, 2] and marks.shape == (len(rows), 50, 5)
    assert not any(seen & held for seen, held in zip(learnt, marked, strict=True))
    assert set.union(*marked) == set(rows["patient_id"]) and not marked[0] & marked[1]
    # the same marks as the graph of the service gives, but for the last bits
    by_graph = infer_rows(Screener.load(joined.directory), rows, installation.shards_dir).marks
    assert by_graph is not None
    np.testing.assert_allclose(best_scores(marks), best_scores(by_graph), atol=1e-4)
