"""A retraining carries the detector of its parent on, stops where it cannot, or says what ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows import train as flow
from flows.cli_card import warn_of_lost_detector
from mammo.appraisal.card_detector import detector_sections
from mammo.appraisal.card_log import log_cards
from mammo.continual import fit, mend
from mammo.continual.again import train_again
from mammo.continual.carried_detector import parts_before, tell_lost
from mammo.continual.fit import TrainedRelease, train_release
from mammo.continual.golden_set import UNSEEN
from mammo.continual.join import JoinedRelease
from mammo.continual.judge import judge_release
from mammo.continual.split import known_parts, trained_patients
from mammo.data.index import read_index
from mammo.detection.detector import MANIFEST, DetectorManifest, write_manifest
from mammo.errors import DigestMismatch, MammoError, PatientLeak, SourceInvalid
from mammo.release import DETECTOR_FILES, DETECTOR_TRAINING, Release
from mammo.screening import Screener
from mammo.settings import Settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("step", [mend.fine_tuned, mend.from_scratch])
def test_a_retraining_carries_the_detector_on(
    installation: Settings, joined: JoinedRelease, exam_files: list[tuple[str, bytes]],
    step: Callable[[Settings, mend.Assignment], dict[str, Any]],
) -> None:  # fmt: skip
    made = step(installation, mend.Assignment(None, "retrain", None, joined.directory))
    directory = installation.releases_dir / made["release"]
    child = Release.read(directory, verify=True)
    own = joined.release
    assert child.detector == "ssd" and own.id in child.trained_on
    for name in (*DETECTOR_FILES, *DETECTOR_TRAINING):
        assert child.files[name] == own.files[name]
    told = child.metrics["joined"]
    assert told["weights"] == own.metrics["joined"]["weights"] and told["fitted_with"] == own.id
    # whom only the detector knows, nobody calibrates or judges the child by
    facts = DetectorManifest.read(directory, DETECTOR_TRAINING[1])
    assert set(facts.patients) <= trained_patients(directory)
    assert trained_patients(joined.directory) <= trained_patients(directory)
    # and what serves is what was calibrated: the joint score of the new classifier
    screener = Screener.load(directory)
    report = screener.score_files(
        exam_files, key=installation.pseudonym_key(), site=installation.site
    )
    assert report.agreement and {one.laterality for one in report.breasts} == {"L", "R"}
    plain = replace(child, detector=None)
    classifier = Screener(plain, directory).score_files(
        exam_files, key=installation.pseudonym_key(), site=installation.site
    )
    assert report.logit != classifier.logit
    sections = detector_sections(directory, child)
    assert any(own.id in value for _, value in sections[0].tables[0].rows)


def test_the_gate_judges_a_retrained_one_and_a_second_retraining_keeps_it(
    installation: Settings, joined: JoinedRelease
) -> None:
    first = train_release(installation, config="smoke", parent=joined.directory)
    decision = judge_release(installation, first.release.id, against=joined.release.id)
    assert UNSEEN not in {one.name for one in decision.clauses}
    # its cards, as the retraining flow logs them
    assert "cards/model.html" in log_cards(installation, first.directory)
    second = train_release(installation, config="smoke", parent=first.directory)
    assert second.release.detector == "ssd"
    assert second.release.metrics["joined"]["fitted_with"] == joined.release.id
    again = train_again(installation, first.directory)
    assert again.release.files["detector.onnx"] == joined.release.files["detector.onnx"]


def test_a_release_from_the_start_says_that_detection_would_end(
    installation: Settings, folded: TrainedRelease, joined: JoinedRelease,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("mammo.continual.judge.in_service", lambda _: joined.directory)
    warn_of_lost_detector(installation, folded.directory)
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith(f"warning: {folded.release.id} carries no detector")
    assert f"{joined.release.id}, which is in service, does (ssd)" in told
    pages: list[str] = []
    for name, function in {
        "fit": lambda *_: {"release": folded.release.id, "metrics": {}, "mlflow_url": ""},
        "judge": lambda *_: {"passed": True, "summary": ""},
        "in_service": lambda _: joined.directory,
        "read_settings": lambda: installation,
        "write_cards": lambda *_, **__: None,
        "find_lost": flow.find_lost.fn,
        "explain": flow.explain.fn,
        "create_link_artifact": lambda **_: None,
        "create_markdown_artifact": lambda markdown, **_: pages.append(markdown),
    }.items():
        monkeypatch.setattr(flow, name, function)
    flow.train.fn()
    assert "carries no detector" in pages[0]
    for champion, release in (
        (None, folded.directory),
        (folded.directory, folded.directory),
        (joined.directory, joined.directory),
    ):
        assert tell_lost(champion, release) == ""


def other_images(folder: Path, name: str) -> None:
    facts = DetectorManifest.read(folder, name)
    height = 2 * facts.preprocess["height"]
    facts = replace(facts, preprocess=facts.preprocess | {"height": height})
    rewrite(folder, name, facts)


def knows_golden(folder: Path, name: str) -> None:
    facts = DetectorManifest.read(folder, name)
    more = next(one for one, of in known_parts(folder).items() if of == "golden")
    rewrite(folder, name, replace(facts, patients=(*facts.patients, more)))


def rewrite(folder: Path, name: str, facts: DetectorManifest) -> None:
    write_manifest(facts, folder / "manifest")
    (folder / "manifest" / MANIFEST).replace(folder / name)
    Release.read(folder).seal(folder)


def damaged(folder: Path, name: str) -> None:
    graph = folder / "detector.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\1")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (other_images, SourceInvalid, "a retraining would lose it"),
        (knows_golden, PatientLeak, "1 patients"),
        (damaged, DigestMismatch, "detector.onnx"),
    ],
)
def test_a_detector_that_cannot_be_carried_on_stops_the_retraining(
    installation: Settings, joined: JoinedRelease, change: Callable[[Path, str], None],
    error: type[MammoError], words: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = installation.releases_dir / "r-20260103-00000000"
    shutil.copytree(joined.directory, folder)
    (folder / "manifest").mkdir()
    monkeypatch.setattr("mammo.continual.fit.fit_network", lambda *_, **__: pytest.fail("trained"))
    try:
        change(folder, DETECTOR_TRAINING[1])
        with pytest.raises(error, match=words):
            train_release(installation, config="smoke", parent=folder)
    finally:
        shutil.rmtree(folder)


def test_whom_only_the_detector_knows_is_trained_on(
    installation: Settings, joined: JoinedRelease
) -> None:
    facts = DetectorManifest.read(joined.directory, DETECTOR_TRAINING[1])
    index = read_index(installation.index_path)
    files = index[index["sha256"].isin(facts.files_sha256)]
    new = pd.concat([index, files.head(1).assign(patient_id="of another key")])
    config = joined.release.preprocess
    assert parts_before(joined.directory, config, index) == known_parts(joined.directory)
    told = parts_before(joined.directory, config, new)
    assert told.pop("of another key") == "train" and told == known_parts(joined.directory)
    assert parts_before(None, config, new) == {}


class Split(Exception):
    """Ends a training where its patients would be divided."""


def test_a_quarantined_exam_still_tells_whom_the_detector_learnt_from(
    installation: Settings, joined: JoinedRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A woman of another key: an exam that the detector saw is quarantined, a later one is not."""
    facts = DetectorManifest.read(joined.directory, DETECTOR_TRAINING[1])
    index = read_index(installation.index_path)
    seen = index[index["sha256"].isin(facts.files_sha256)].head(1)
    later = {"patient_id": "of another key", "exam_id": "later", "sha256": "later"}
    new = pd.concat([
        index, seen.assign(patient_id="of another key", exam_id="faulty"), seen.assign(**later)
    ])  # fmt: skip
    divided: dict[str, Any] = {}

    def split(rows: pd.DataFrame, _config: object, *, known: dict[str, str]) -> None:
        divided.update(exams=set(rows["exam_id"]), known=known)
        raise Split

    monkeypatch.setattr(fit, "read_index", lambda _path: new)
    monkeypatch.setattr(fit, "quarantined_exams", lambda _log: {"faulty"})
    monkeypatch.setattr(fit, "split_index", split)
    with pytest.raises(Split):
        train_release(installation, config="smoke", parent=joined.directory)
    assert "later" in divided["exams"] and "faulty" not in divided["exams"]
    assert divided["known"]["of another key"] == "train"
