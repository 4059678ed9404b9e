"""From the index to a sealed release, and its children."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.screening.loading import require_signed
from mammo.continual.fit import TrainedRelease, train_release
from mammo.continual.judge import judge_release
from mammo.continual.split import known_parts, split_index, trained_patients
from mammo.data.index import read_index
from mammo.errors import DigestMismatch, ParityError, ReleaseNotFound
from mammo.models.config import read_config
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings

pytestmark = pytest.mark.slow

AURORA = "Phantom Aurora/Lumen 3D"


def test_release_states_what_it_is(installation: Settings, trained: TrainedRelease) -> None:
    release = Release.read(trained.directory, verify=True)
    assert release.kind == "trained" and release.parent is None
    assert release.data_version
    assert set(release.operating_points) >= {"*", AURORA}
    assert "patients" in release.trained_on
    assert (trained.directory / "card.md").read_text().count("Intended use") == 1
    kept = json.loads((trained.directory / "registry.json").read_text())
    assert trained.registered.version == str(kept["version"])
    require_signed(trained.directory, installation)


def test_no_patient_is_in_two_parts_or_in_the_reference_twice(trained: TrainedRelease) -> None:
    patients = pd.read_parquet(trained.directory / "patients.parquet")
    assert patients["patient_id"].is_unique
    reference = pd.read_parquet(trained.directory / "reference.parquet")
    train = set(patients.loc[patients["part"] == "train", "patient_id"])
    assert not train & set(reference["patient_id"])
    assert reference["exam_id"].is_unique and len(reference) > 5


def test_metrics_are_of_exams_with_intervals(trained: TrainedRelease) -> None:
    auc = trained.metrics["untouched_auc"]
    assert auc["low"] <= auc["value"] <= auc["high"]
    reference = pd.read_parquet(trained.directory / "reference.parquet")
    assert auc["n_patients"] == reference["patient_id"].nunique()


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "weights.safetensors", "card.md"])
def test_changed_file_is_refused(trained: TrainedRelease, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(trained.directory, tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes() + b" ")
    with pytest.raises(DigestMismatch, match=f"{name} of release"):
        Screener.load(copy)


def test_changed_manifest_is_refused(trained: TrainedRelease, tmp_path: Path) -> None:
    copy = shutil.copytree(trained.directory, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["operating_points"]["*"]["threshold"] = 0.0
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DigestMismatch, match="its own digest"):
        Screener.load(copy)


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [("tensor", 1e-3, "is prepared differently here"), ("logit", 0.1, "the golden image scores")],
)
def test_golden_that_does_not_reproduce_is_refused(
    trained: TrainedRelease, tmp_path: Path, field: str, change: float, words: str
) -> None:
    copy = shutil.copytree(trained.directory, tmp_path / "copy")
    golden = dict(np.load(copy / "golden.npz"))
    golden[field] = golden[field] + golden[field].dtype.type(change)
    np.savez_compressed(copy / "golden.npz", **golden)
    with pytest.raises(ParityError, match=words):
        Screener(Release.read(copy), copy).check_golden()


def test_missing_release_names_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReleaseNotFound, match="`mammo train` makes a release"):
        Screener.load(tmp_path)


def test_fine_tuning_starts_from_its_parent(
    installation: Settings, trained: TrainedRelease
) -> None:
    child = train_release(
        installation, config="smoke", parent=trained.directory, focus="Phantom Borealis/Senta 500"
    )
    assert child.release.kind == "fine_tuned"
    assert child.release.parent == trained.release.id
    assert trained.release.id in child.release.trained_on
    was, now = known_parts(trained.directory), known_parts(child.directory)
    assert {patient: now[patient] for patient in was} == was
    same = (child.directory / "encoder.onnx").read_bytes()
    assert same == (trained.directory / "encoder.onnx").read_bytes()


def test_child_calibrates_on_nobody_its_line_was_trained_on(
    installation: Settings, trained: TrainedRelease
) -> None:
    """Patients keep their part while new ones come and old ones go."""
    index = read_index(installation.index_path)
    known = known_parts(trained.directory)
    gone = next(patient for patient, part in known.items() if part == "train")
    new = index[index["patient_id"].isin(list(known)[:24])].copy()
    new["patient_id"] = "new-" + new["patient_id"]
    grown = pd.concat([index[index["patient_id"] != gone], new], ignore_index=True)
    parts = split_index(grown, read_config("smoke"), known=known)
    line = trained_patients(trained.directory)
    assert not line & set(parts.holdout["patient_id"])
    assert not line & set(parts.golden["patient_id"])
    assert parts.ancestors == {gone}
    assert parts.holdout["patient_id"].str.startswith("new-").any()


def test_gate_verdict_is_kept_beside_the_release(
    installation: Settings, trained: TrainedRelease
) -> None:
    decision = judge_release(installation, trained.release.id)
    kept = json.loads((trained.directory / "gate.json").read_text())
    assert kept["failed"] == decision.failed
    assert kept["release"] == trained.release.id
