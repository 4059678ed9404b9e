"""A detector that learnt golden images under another pseudonym key is known by their files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mammo.continual import unseen
from mammo.continual.detector_patients import KEPT_PARTS, learnt_patients, require_strangers
from mammo.continual.fit import TrainedRelease
from mammo.continual.fit_detector import (
    detections_held_out,
    fit_detector,
)
from mammo.continual.golden_set import GoldenSet, leak_into
from mammo.continual.join import join_detector
from mammo.continual.scores import OUT_OF_FOLD, SCORES
from mammo.continual.split import Parts, known_parts
from mammo.continual.unseen import find_unseen
from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.detection.detector import MANIFEST, DetectorManifest, write_manifest
from mammo.detection.registry import load_detector
from mammo.errors import PatientLeak, SourceInvalid
from mammo.models.config import read_config
from mammo.release import DETECTOR_TRAINING
from mammo.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stranger(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SSD of another home: the same files, every patient under another pseudonym."""
    home = tmp_path_factory.mktemp("other-home")
    settings = Settings(home=home, mlflow_port=9, service_port=9, _env_file=None)
    (home / "pseudonym.key").write_bytes(bytes(range(32, 64)))
    ingest("rsna", phantoms, settings, read_config("smoke").preprocess)
    fit_detector(settings, "ssd", home / "ssd", epochs=1, seed=1)
    return home / "ssd"


@pytest.fixture
def index(installation: Settings) -> pd.DataFrame:
    return read_index(installation.index_path)


def test_golden_images_under_another_key_are_a_leak(
    installation: Settings, trained: TrainedRelease, stranger: Path, index: pd.DataFrame
) -> None:
    facts = DetectorManifest.read(stranger)
    parts = known_parts(trained.directory)
    assert not {*facts.patients} & {*parts}, "no pseudonym tells it"
    kept = index["patient_id"].map(parts).isin(KEPT_PARTS)
    leaked = index[kept & index["sha256"].isin(facts.files_sha256)]["patient_id"].nunique()
    assert leaked
    with pytest.raises(PatientLeak, match=f"trained on {leaked} patients .*same SHA-256"):
        join_detector(installation, trained.release.id, stranger)
    # the release knows its own files, should the index have lost them
    with pytest.raises(PatientLeak):
        require_strangers(facts, trained.directory, index[~kept])


def test_files_not_said_are_no_files(
    installation: Settings, trained: TrainedRelease, stranger: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ssd"
    shutil.copytree(stranger, folder)
    write_manifest(replace(DetectorManifest.read(folder), files_sha256=()), folder)
    with pytest.raises(SourceInvalid, match="train it anew"):
        join_detector(installation, trained.release.id, folder)
    told = json.loads((folder / MANIFEST).read_text())
    del told["digest"], told["files_sha256"]  # as an older mammo wrote it
    (folder / MANIFEST).write_text(json.dumps(told))
    with pytest.raises(SourceInvalid, match="train it anew"):
        join_detector(installation, trained.release.id, folder)


def test_nobody_is_measured_or_fitted_on_whose_file_was_learnt(
    installation: Settings, stranger: Path, index: pd.DataFrame, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    detector, facts = load_detector(stranger)
    learnt = set(index.loc[index["sha256"].isin(facts.files_sha256), "patient_id"])
    everybody = set(index["patient_id"])
    assert learnt and learnt < everybody
    assert learnt_patients(facts, index) == learnt | {*facts.patients}
    measured = detections_held_out(installation, detector, facts)
    assert measured and not learnt & {one.patient_id for one in measured}

    monkeypatch.setattr(unseen, "LEAST_PATIENTS", 0)
    names = ["image_id", "patient_id", "exam_id", "laterality"]
    label = index["cancer"].astype(float)
    scores = index[names].assign(part=OUT_OF_FOLD, pooled=True, label=label, breast_logit=0.0)
    scores.to_parquet(tmp_path / SCORES)
    parts = Parts(index, index[:0], index[:0], pd.Series(dtype=int))
    found = find_unseen(tmp_path, parts, facts, folds=0)
    assert set(found.rows["patient_id"]) == everybody - learnt
    assert set(found.breasts["patient_id"]) == everybody - learnt


def test_the_gate_sees_the_files_of_the_detector(
    installation: Settings, trained: TrainedRelease, index: pd.DataFrame, tmp_path: Path
) -> None:
    candidate = tmp_path / "r-candidate"
    shutil.copytree(trained.directory, candidate)
    (candidate / "images.parquet").unlink()
    patients = pd.read_parquet(candidate / "patients.parquet")
    patients[:0].to_parquet(candidate / "patients.parquet", index=False)
    golden = GoldenSet(index[:8], "digest")
    assert leak_into(installation, candidate, golden) is None
    told = {"files_sha256": [*index["sha256"][:3], "f" * 64]}
    (candidate / DETECTOR_TRAINING[1]).write_text(json.dumps(told))
    assert "3 images (same SHA-256) and 0 patients" in (
        leak_into(installation, candidate, golden) or ""
    )
