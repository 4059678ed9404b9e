"""The drill's judgement, its phantoms, and what it refuses; the live stack is its own test."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows import drill
from flows.demo_report import Recorder
from flows.drill_report import Finding, finish_drill
from flows.drill_time import empty_log, let_time_pass
from mammo.dicom.read import read_mammogram
from mammo.errors import SourceInvalid, ValidationFailed
from mammo.exam import Outcome
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

RIGHT = Finding(
    "scanner", "a new one", "acquisition", ("acquisition",), ("recalibrate_and_retrain",),
    ("site-1 · X",), (0.97,), 30, ("home/reports/drift/x/episode-k.html",), ("evidently.html",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "right"),
        ({"causes": ("software_version", "acquisition"),
          "actions": ("note", "recalibrate_and_retrain")}, "right"),
        ({"causes": ("acquisition", "data_fault"),
          "actions": ("recalibrate_and_retrain", "quarantine")}, "wrong"),
        ({"causes": ("prevalence",), "actions": ("note",)}, "wrong"),
        ({"causes": (), "actions": ()}, "not found"),
        ({"evidence": ()}, "no page"),
        ({"evidently": ()}, "no page"),
        ({"expected": ""}, "wrong"),
        ({"expected": "", "causes": (), "actions": ()}, "right"),
    ],
)  # fmt: skip
def test_a_trial_is_right_when_the_cause_is_named_and_shown(
    changes: dict[str, Any], verdict: str
) -> None:
    found = replace(RIGHT, **changes)
    assert found.verdict == verdict
    assert found.is_right == (verdict == "right")


def test_pages_count_only_where_they_are(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    run = settings.reports_dir / "drift" / "x"
    run.mkdir(parents=True)
    (run / "episode-k-1.html").write_text("x")
    (run / "evidently-s.html").write_text("x")
    url = "http://host/drift/x/"
    triage = {"triage": {"probabilities": {"acquisition": 0.9}}}
    opened = [
        {
            "key": key,
            "cause": "acquisition",
            "action": "retrain",
            "stratum": "s",
            "evidence": kept,
            "report_url": url,
        }
        for key, kept in (("k:1", triage), ("k:2", None))
    ]
    found = Finding.of("t", "p", "acquisition", 15, opened, settings)
    assert found.evidence == ("home/reports/drift/x/episode-k-1.html",)
    assert found.evidently == ("home/reports/drift/x/evidently-s.html",)
    assert found.probabilities == (0.9, None)


def test_years_pass_in_a_log_and_it_can_be_emptied(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    log = PredictionLog(url).create()
    now = datetime.now(UTC)
    log.append_exam([{
        "exam_id": "E-1", "patient_id": "P-1", "level": "exam", "laterality": None,
        "release_id": "r-1", "role": "champion", "scanner": "A/B", "software_version": "1",
        "site": "s", "acquired_on": date(2024, 1, 8), "logit": 0.0, "probability": 0.5,
        "recall": True, "threshold": 0.5, "quality": "", "embedding": None, "features": {},
        "latency_ms": 1.0,
    }])  # fmt: skip
    log.add_outcomes([Outcome("E-1", True, now, "biopsy")])
    assert let_time_pass(url, 800) == 1
    known = log.outcomes().iloc[0]
    age = now - log.scored_exams("r-1").iloc[0]["scored_at"].to_pydatetime()
    assert 799.9 < age / timedelta(days=1) < 800.1
    assert 739.9 < (now - known["known_at"].to_pydatetime()) / timedelta(days=1) < 740.1
    empty_log(url)
    assert log.outcomes().empty and log.scored_exams("r-1").empty


def test_the_summary_is_for_machines_too(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wrong = replace(RIGHT, causes=("prevalence",))
    finish_drill(tmp_path, Recorder(tmp_path, quiet=True), [RIGHT, wrong], as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["right"], told["trials"]) == (1, 2)
    assert [one["verdict"] for one in told["findings"]] == ["right", "wrong"]
    assert told == json.loads((tmp_path / "summary.json").read_text())
    finish_drill(tmp_path, Recorder(tmp_path, quiet=True), [RIGHT, wrong], as_json=False)
    assert "acquisition (97%)" in capsys.readouterr().out


def test_a_trial_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match=r"No trial scaner; there are quiet, scanner"):
        drill.run_drill(tmp_path, only=("scaner",))
    assert not list(tmp_path.iterdir())


def test_every_cause_that_inputs_or_outcomes_show_has_a_trial() -> None:
    assert {one.cause for one in drill.TRIALS} == {
        "", "acquisition", "data_fault", "prevalence", "concept",
    }  # fmt: skip
    assert len({one.seed for one in (drill.TRAINING, *drill.TRIALS)}) == 1 + len(drill.TRIALS)


@pytest.mark.parametrize(("thin", "told"), [(19, "holds 19 of C; each scanner"), (20, None)])
def test_a_reference_too_thin_to_drill_on_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thin: int, told: str | None
) -> None:
    frame = pd.DataFrame({"scanner": ["A"] * 30 + ["C"] * thin})
    monkeypatch.setattr(drill, "read_reference", lambda *_: frame)
    settings = Settings(home=tmp_path, _env_file=None)
    if told is None:
        drill._require_reference(settings)
    else:
        with pytest.raises(ValidationFailed, match=told):
            drill._require_reference(settings)


def _brightness(path: Path) -> np.ndarray:
    """Return the pixels as they are shown: dark to bright."""
    _, image = read_mammogram(path, key=b"k" * 32, site="s")
    pixels = image.pixels.astype(float)
    return -pixels if image.inverted else pixels


@pytest.mark.slow
def test_inverted_phantoms_are_read_as_negatives_and_drawn_once(tmp_path: Path) -> None:
    sound = drill.Trial("sound", "", "", 3, ("aurora",), exams=1)
    for one in (sound, replace(sound, name="inverted", inverted=True)):
        drill.draw(tmp_path / one.name, one)
    pairs = [
        [_brightness(path) for path in sorted((tmp_path / name).rglob("*.dcm"))]
        for name in ("sound", "inverted")
    ]
    for good, bad in zip(*pairs, strict=True):
        assert np.corrcoef(good.ravel(), bad.ravel())[0, 1] < -0.9
    stamp = (tmp_path / "sound" / "train.csv").stat().st_mtime_ns
    drill.draw(tmp_path / "sound", sound)
    assert (tmp_path / "sound" / "train.csv").stat().st_mtime_ns == stamp
    drill.draw(tmp_path / "sound", replace(sound, seed=4))
    assert (tmp_path / "sound" / "train.csv").stat().st_mtime_ns != stamp
