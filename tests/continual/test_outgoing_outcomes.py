"""Which outcomes leave the house: of the exams that do, and of no golden patient."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from mammo.continual.outgoing_outcomes import outgoing_outcomes, sealed_patients
from mammo.continual.split import GOLDEN_SEED
from mammo.data.split import golden_patients
from mammo.errors import SourceNotFound
from mammo.exam import Outcome
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import MANIFEST, write_json
from mammo.settings import Settings
from tests.prediction_log.rows import exam_row

PATIENTS = [f"P-{number:016x}" for number in range(12)]
FRACTION = 0.3
LATER = sorted(golden_patients(pd.DataFrame({"patient_id": PATIENTS}), FRACTION, GOLDEN_SEED))
"""Those whom a training would seal, by their hash alone."""


def exam_of(patient: str) -> str:
    return f"E{patient[1:]}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose log has a scored exam and an outcome of each patient, and no release."""
    settings = Settings(home=tmp_path / "home", _env_file=None)  # type: ignore[call-arg]
    log = PredictionLog(settings.log_url).create()
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for patient in PATIENTS:
        log.append_exam([exam_row(exam_of(patient), patient_id=patient)])
    log.add_outcomes(Outcome(exam_of(one), False, at, "registry") for one in PATIENTS)
    log.add_outcomes([Outcome("E-00000000000000ff", True, at, "registry")])
    return settings


def put_into_service(settings: Settings, parts: dict[str, str]) -> None:
    """Let a release that knows these patients be the one in service."""
    release = settings.releases_dir / "r-1"
    release.mkdir(parents=True)
    write_json(release / MANIFEST, {})
    write_json(release / "train_config.json", {"golden_fraction": FRACTION})
    rows = pd.DataFrame(parts.items(), columns=["patient_id", "part"])
    rows.to_parquet(release / "patients.parquet")
    write_pointer(settings.pointer_path, {"release_id": "r-1"})


def test_of_every_exam_without_a_release(settings: Settings) -> None:
    found = outgoing_outcomes(settings, None)
    assert list(found.outcomes["exam_id"]) == [exam_of(one) for one in PATIENTS]
    assert (found.not_in_folder, found.patient_unknown, found.golden) == (0, 1, 0)


def test_of_the_exams_in_a_folder(settings: Settings, tmp_path: Path) -> None:
    for patient in PATIENTS[:2]:
        (tmp_path / "shareable" / patient / exam_of(patient)).mkdir(parents=True)
    found = outgoing_outcomes(settings, tmp_path / "shareable")
    assert list(found.outcomes["exam_id"]) == [exam_of(one) for one in PATIENTS[:2]]
    assert (found.not_in_folder, found.golden) == (11, 0)
    with pytest.raises(SourceNotFound):
        outgoing_outcomes(settings, tmp_path / "nowhere")


def test_golden_patients_stay(settings: Settings, tmp_path: Path) -> None:
    trained, kept = LATER[0], next(one for one in PATIENTS if one not in LATER)
    put_into_service(settings, {trained: "train", kept: "golden"})
    golden = {kept, *LATER} - {trained}  # a known patient keeps her part, whatever her hash is
    assert sealed_patients(settings, PATIENTS) == golden and len(golden) > 1
    found = outgoing_outcomes(settings, None)
    assert set(found.outcomes["exam_id"]) == {exam_of(one) for one in set(PATIENTS) - golden}
    assert found.golden == len(golden)
    for patient in PATIENTS:
        (tmp_path / "shareable" / patient / exam_of(patient)).mkdir(parents=True)
    beside = outgoing_outcomes(settings, tmp_path / "shareable")
    assert len(beside.outcomes) == len(found.outcomes) and beside.golden == len(golden)
