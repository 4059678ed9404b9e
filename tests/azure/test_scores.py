"""Scores for Azure's monitor: what is in the tables, and that nobody is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from flows.azure_specs import FOLDER
from flows.cli import app
from mammo import azure_scores
from mammo.azure_scores import Written, write_scores
from mammo.errors import NotReady, PartUnknown, ReleaseNotFound, SourceInvalid, TooFewScores
from mammo.exam import OperatingPoint
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.frames import exam_frame
from mammo.preprocess import PreprocessConfig
from mammo.release import DIGESTED, MAY_LACK, Release
from mammo.settings import Settings
from tests.canary import EVERYTHING, PATIENT
from tests.canary_search import search_tree
from tests.prediction_log.rows import breast_row, exam_row, outcome

RELEASE, OTHER, SECOND = (f"r-202611{day}-0a1b2c3d" for day in (29, 28, 27))
NOW = datetime.now(UTC)
PLANTED = {
    "patient_id": PATIENT,
    **dict.fromkeys(("site", "scanner", "software_version", "quality"), EVERYTHING),
}


def write_release(settings: Settings, name: str, reference: list[dict[str, Any]]) -> None:
    """Write as much of a release as the tables need: a manifest, a reference, other files."""
    directory = settings.releases_dir / name
    directory.mkdir(parents=True)
    for file in set(DIGESTED) - MAY_LACK:
        (directory / file).write_bytes(b"")
    exam_frame(reference).to_parquet(directory / "reference.parquet")
    points = {"*": OperatingPoint("*", 2.0, 0.0, 0.5, 0.1)}
    Release(
        id=name,
        parent=None,
        kind="recalibrated",
        created_at="2026-03-01T09:00:00+00:00",
        target="cancer",
        architecture="a",
        data_version="d",
        trained_on="nothing",
        preprocess=PreprocessConfig(),
        operating_points=points,
        metrics={},
    ).seal(directory)


def logged(exam: str, days_ago: float, **changes: Any) -> list[dict[str, Any]]:
    at: dict[str, Any] = {"scored_at": NOW - timedelta(days=days_ago), "release_id": RELEASE}
    return [breast_row(exam, **PLANTED | at | changes), exam_row(exam, **PLANTED | at | changes)]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with a release in service, three exams of this week, one of before, two outcomes.

    Two rows are enough for a table here.
    """
    monkeypatch.setattr(azure_scores, "LEAST_ROWS", 2)
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    settings = Settings(home=tmp_path / "home", _env_file=None)  # type: ignore[call-arg]
    reference = [
        exam_row(f"E-{n}", **PLANTED, logit=logit) for n, logit in enumerate((-1.0, 1.0, 1.0))
    ]
    write_release(settings, RELEASE, reference)
    write_pointer(settings.pointer_path, {"release_id": RELEASE})
    log = PredictionLog(settings.log_url).create()
    for exam, days_ago, probability in (
        *(("E-1", 1, 0.912345678), ("E-2", 2, 0.1), ("E-3", 6.9, 0.3)),
        ("E-old", 7.1, 0.4),
    ):
        log.append_exam(logged(exam, days_ago, probability=probability, recall=probability > 0.5))
    log.append_exam(logged("E-1", 0, probability=0.5))  # again: the first counts
    log.append_exam(logged("E-4", 1, release_id=OTHER))
    log.append_exam(logged("E-5", 1, role="shadow"))
    log.add_outcomes([outcome("E-1", True), outcome("E-old", False), outcome("E-4", True)])
    return settings


def rows(folder: Path) -> list[tuple[Any, ...]]:
    return [
        tuple(row) for row in pd.read_parquet(folder / "scores.parquet").itertuples(index=False)
    ]


def test_what_is_written(settings: Settings, tmp_path: Path) -> None:
    to = tmp_path / "to"
    assert write_scores(settings, to) == Written(to, RELEASE, 3, 3, None, alone=4)
    assert rows(to / "scores") == [
        (0.1, "no recall"), (0.3, "no recall"), (0.91, "recall"),
    ]  # fmt: skip
    # by this release's own operating point, not by the probabilities in the file
    assert rows(to / "reference") == [(0.12, "no recall"), (0.88, "recall"), (0.88, "recall")]
    assert not (to / "outcomes").exists()
    assert write_scores(settings, to, outcomes=True) == Written(to, RELEASE, 3, 3, 2, alone=6)
    assert rows(to / "outcomes") == [(0.4, "no recall", 0), (0.91, "recall", 1)]
    # what was asked for once would be uploaded with the tables of this week
    with pytest.raises(SourceInvalid, match="outcomes of an earlier call"):
        write_scores(settings, to)


@pytest.mark.parametrize(
    ("least", "days", "told"),
    [
        (4, 7, "the table scores would have 3 rows, .*; 4 are the least: take more days"),
        (4, 30, "the table reference would have 3 rows"),
        (3, 30, "the table outcomes would have 2 rows, .*: leave out --outcomes"),
    ],
)
def test_a_table_that_is_too_short_is_not_written(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    least: int, days: float, told: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(azure_scores, "LEAST_ROWS", least)
    with pytest.raises(TooFewScores, match=told):
        write_scores(settings, tmp_path / "to", days=days, outcomes=True)
    assert not (tmp_path / "to").exists()


def test_fifty_exams_are_enough(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    write_release(settings, SECOND, [exam_row(f"R-{n}", logit=n / 9) for n in range(50)])
    log = PredictionLog(settings.log_url)
    for number in range(50):
        with pytest.raises(TooFewScores if number else PartUnknown):
            write_scores(settings, tmp_path / "to", release=SECOND)
        log.append_exam(logged(f"S-{number}", 1, release_id=SECOND, probability=number / 500))
    written = write_scores(settings, tmp_path / "to", release=SECOND)
    assert written.scores == written.reference == 50
    # to two decimals each score has others, to three or four it would stand alone
    assert pd.Series(rows(tmp_path / "to" / "scores")).value_counts().min() >= 2


def test_nobody_is_in_it(settings: Settings, tmp_path: Path) -> None:
    write_scores(settings, tmp_path / "to", outcomes=True)
    assert search_tree(settings.home)  # the search finds what was planted in the log
    assert search_tree(tmp_path / "to") == {}
    names = {path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*")}
    assert names == {
        f"{table}{file}"
        for table in ("scores", "reference", "outcomes")
        for file in ("", "/MLTable", "/scores.parquet")
    }
    for file in (tmp_path / "to").rglob("*.parquet"):
        frame = pd.read_parquet(file)
        assert set(frame) <= {"score", "decision", "cancer"}
        assert set(frame["decision"]) <= {"recall", "no recall"}
        assert b"E-1" not in file.read_bytes() and b"aurora" not in file.read_bytes().lower()


def test_the_tables_are_those_of_the_monitor(settings: Settings, tmp_path: Path) -> None:
    """Each MLTable names the file beside it; the monitor compares columns of one name."""
    write_scores(settings, tmp_path / "to", outcomes=True)
    for table in ("scores", "reference", "outcomes"):
        told = yaml.safe_load((tmp_path / "to" / table / "MLTable").read_text())
        assert told["type"] == "mltable"
        (one,) = told["paths"]
        assert (tmp_path / "to" / table / one["file"]).is_file()
        assert list(told["transformations"][0]) == ["read_parquet"]
    monitor = yaml.safe_load((FOLDER / "monitor.yml").read_text())
    signal = monitor["create_monitor"]["monitoring_signals"]["scores"]
    assert signal["production_data"]["input_data"]["path"].startswith("azureml:mammo-scores:")
    assert signal["reference_data"]["input_data"]["path"].startswith(
        "azureml:mammo-scores-reference:"
    )
    frames = [
        pd.read_parquet(tmp_path / "to" / t / "scores.parquet") for t in ("scores", "reference")
    ]
    assert list(frames[0]) == list(frames[1]) and (frames[0].dtypes == frames[1].dtypes).all()


def test_the_command(settings: Settings, tmp_path: Path) -> None:
    line = ["azure", "scores", "--to", str(tmp_path / "to"), "--days", "30", "--outcomes", "--json"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told == {"folder": str(tmp_path / "to"), "release": RELEASE, "scores": 4,
                    "reference": 3, "outcomes": 2, "alone": 7}  # fmt: skip


def test_what_is_missing(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(PartUnknown, match="no exam in the last 0 days"):
        write_scores(settings, tmp_path / "to", days=0)
    with pytest.raises(ReleaseNotFound):
        write_scores(settings, tmp_path / "to", release=OTHER)
    settings.pointer_path.unlink()
    with pytest.raises(NotReady, match="mammo deploy"):
        write_scores(settings, tmp_path / "to")
    assert not (tmp_path / "to").exists()
