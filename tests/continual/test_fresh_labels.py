"""Which outcomes are new to the newest network: on an index and releases of a few rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from mammo.continual.fresh_labels import FreshLabels, fresh_labels
from mammo.data.index import index_from_rows, write_index
from mammo.exam import Outcome
from mammo.prediction_log import PredictionLog
from mammo.release import write_json
from mammo.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Eight exams of two images; E-0 to E-3 are labelled, E-0 and E-1 with cancer."""
    settings = Settings(home=tmp_path)
    rows = [
        {
            "image_id": f"I-{exam}-{side}",
            "exam_id": f"E-{exam}",
            "patient_id": f"P-{exam}",
            "laterality": side,
            "view": "CC",
            "scanner": "Phantom/A1",
            "source": "phantoms",
            "sha256": f"{exam}{side}",
            "shard": "s",
            "shard_row": exam,
            "acquired_on": date(2026, 1, 1),
            "cancer": int(exam < 2 and side == "L") if exam < 4 else None,
        }
        for exam in range(8)
        for side in "LR"
    ]
    settings.index_path.parent.mkdir(parents=True)
    write_index(index_from_rows(rows), settings.index_path)
    PredictionLog(settings.log_url).create()
    return settings


def release(settings: Settings, name: str, kind: str, exams: tuple[int, ...], day: int) -> None:
    """Write the manifest of a release that was made with the images of these exams."""
    folder = settings.releases_dir / name
    folder.mkdir(parents=True)
    made = {"id": name, "kind": kind, "target": "cancer", "created_at": f"2026-03-{day:02d}"}
    write_json(folder / "manifest.json", made)
    images = [f"I-{exam}-{side}" for exam in exams for side in "LR"]
    pd.DataFrame({"image_id": images}).to_parquet(folder / "images.parquet")


def know(settings: Settings, *cancers: tuple[int, bool]) -> None:
    at = datetime(2026, 4, 1, tzinfo=UTC)
    PredictionLog(settings.log_url).add_outcomes(
        Outcome(f"E-{exam}", cancer, at, "registry") for exam, cancer in cancers
    )


def test_outcomes_since_the_newest_network_are_counted_once_an_exam(settings: Settings) -> None:
    release(settings, "r-1", "trained", (0, 1), 1)
    assert fresh_labels(settings) == FreshLabels("r-1", exams=2, cancers=0)
    know(settings, (4, True), (5, False))
    assert fresh_labels(settings) == FreshLabels("r-1", exams=4, cancers=1)
    know(settings, (5, False))
    assert fresh_labels(settings) == FreshLabels("r-1", exams=4, cancers=1)


@pytest.mark.parametrize(
    ("kind", "newest", "exams"), [("fine_tuned", "r-2", 0), ("recalibrated", "r-1", 2)]
)
def test_a_network_that_was_trained_since_has_learnt_them(
    settings: Settings, kind: str, newest: str, exams: int
) -> None:
    """Also one that the gate refused: it is kept, and nothing is gained by another."""
    release(settings, "r-1", "trained", (0, 1), 1)
    release(settings, "r-2", kind, (0, 1, 2, 3), 2)
    assert fresh_labels(settings) == FreshLabels(newest, exams, 0)


def test_where_nothing_can_be_told(settings: Settings) -> None:
    assert fresh_labels(settings) is None, "no release"
    release(settings, "r-1", "trained", (0,), 1)
    (settings.releases_dir / "r-1" / "images.parquet").unlink()
    assert fresh_labels(settings) is None, "made by an older mammo"
    settings.index_path.unlink()
    assert fresh_labels(settings) is None, "nothing ingested"
