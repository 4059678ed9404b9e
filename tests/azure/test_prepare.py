"""The pipeline's `prepare`, run here as its file says: de-identified exams and their outcomes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli import app
from mammo.continual.fit import labelled_index
from mammo.dicom.phantom import write_phantoms
from mammo.dicom.read import read_mammogram_header
from mammo.settings import Settings
from tests.azure.components import run_component

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, pd.DataFrame]:
    """A site's exams, de-identified, and the outcomes that it knows, by its own pseudonyms."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "site"))
    settings = Settings(home=tmp_path / "site", _env_file=None)  # type: ignore[call-arg]
    phantoms = tmp_path / "phantoms"
    write_phantoms(phantoms, exams=3, scanner="aurora", seed=5, cancer_rate=0.5)
    words = ["deidentify", str(phantoms), "--to", str(tmp_path / "deidentified"), "--json"]
    assert CliRunner().invoke(app, words).exit_code == 0
    known = pd.read_csv(phantoms / "train.csv")
    files = [
        phantoms / "train_images" / str(row.patient_id) / f"{row.image_id}.dcm"
        for row in known.itertuples()
    ]
    key = settings.pseudonym_key()
    exams = [read_mammogram_header(one, key=key, site="").exam_id for one in files]
    table = known.assign(exam=exams, known_at="2026-03-01", source="pathology")
    return tmp_path / "deidentified", table[
        ["exam", "laterality", "cancer", "known_at", "source"]
    ].drop_duplicates()


def test_outcomes_reach_the_training(site: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    exams, outcomes = site
    assert len(outcomes) == 6 and 0 < outcomes["cancer"].sum() < 6
    table = tmp_path / "outcomes.csv"
    stranger = outcomes.iloc[:1].assign(exam="E-0000000000000000")
    pd.concat([outcomes, stranger]).to_csv(table, index=False)
    inputs = {"exams": exams, "source": "dicom", "config": "demo", "outcomes": table}
    told = run_component("prepare", inputs, tmp_path / "home")
    assert '"received": 7, "new": 6, "repeated": 0, "exams_unknown": 1' in told
    own = Settings(home=tmp_path / "home", _env_file=None)  # type: ignore[call-arg]
    index = labelled_index(own)
    assert not set(index["exam_id"]) & set(outcomes["exam"])  # the job has another key
    found = index.groupby(["exam_id", "laterality"])["cancer"].agg(["min", "max"])
    assert (found["min"] == found["max"]).all() and len(found) == 6
    assert _per_exam(index) == _per_exam(outcomes.rename(columns={"exam": "exam_id"}))


def _per_exam(table: pd.DataFrame) -> list[tuple[int, int]]:
    """Return (left, right) of each exam, whatever it is called."""
    breasts = table.groupby(["exam_id", "laterality"])["cancer"].max().unstack()
    return sorted((int(left), int(right)) for left, right in breasts[["L", "R"]].to_numpy())


def test_without_outcomes_nothing_is_labelled(
    site: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    inputs = {"exams": site[0], "source": "dicom", "config": "demo"}
    assert "exams_unknown" not in run_component("prepare", inputs, tmp_path / "home")
    own = Settings(home=tmp_path / "home", _env_file=None)  # type: ignore[call-arg]
    assert labelled_index(own)["cancer"].isna().all()
