"""The drill's judgement, its phantoms, and what it refuses; the live stack is its own test."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.continual.scenarios import NAMED
from benchmarks.continual.scenarios import SCENARIOS as SIMULATED
from flows import drill, drill_checks
from flows.demo_report import Recorder
from flows.drill_checks import Claim, acted_once, came_back, has_recovered, is_on_target
from flows.drill_course import only_taken_on, recalibrate
from flows.drill_log import empty_log, keep_log, let_time_pass
from flows.drill_material import Studio, draw
from flows.drill_report import Finding, finish_drill, pages_of
from flows.drill_retrain import retrain
from flows.drill_scenarios import ACTIONS, ALIASES, SCENARIOS, TRAINING, Scenario, choose_scenarios
from flows.drill_stage import _follow, _is_over
from mammo.continual.recovery import Recovery
from mammo.dicom.read import read_mammogram
from mammo.errors import SourceInvalid, ValidationFailed
from mammo.evaluation.bootstrap import Interval
from mammo.exam import Outcome
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

ACQUIRED = Scenario("a", "a new one", (("acquisition",),), 1)
TWO = Scenario("b", "two", (("acquisition",), ("data_fault",)), 1, also=("mixed",))
QUIET = Scenario("c", "nothing", (), 1)
SHIFTED = Scenario("d", "either", (("acquisition", "data_fault"),), 1)


def _episodes(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"cause": cause, "action": action} for cause, action in pairs]


RECALIBRATED = ("acquisition", "recalibrate_and_retrain")
FAULT = ("data_fault", "quarantine")


@pytest.mark.parametrize(
    ("scenario", "opened", "holds"),
    [
        (ACQUIRED, [RECALIBRATED], True),
        (ACQUIRED, [("software_version", "note"), RECALIBRATED], True),
        (ACQUIRED, [("acquisition", "ask")], False),
        (ACQUIRED, [RECALIBRATED, FAULT], False),
        (ACQUIRED, [("prevalence", "note")], False),
        (ACQUIRED, [], False),
        (TWO, [RECALIBRATED, FAULT], True),
        (TWO, [RECALIBRATED, FAULT, ("mixed", "quarantine")], True),
        (TWO, [FAULT], False),
        (SHIFTED, [FAULT], True),
        (SHIFTED, [RECALIBRATED], True),
        (SHIFTED, [("concept", "retrain")], False),
        (QUIET, [], True),
        (QUIET, [("software_version", "note")], False),
    ],
)
def test_named_is_every_cause_with_its_action_and_nothing_else_that_acts(
    scenario: Scenario, opened: list[tuple[str, str]], holds: bool
) -> None:
    claim = drill_checks.is_named(scenario, _episodes(*opened))
    assert claim.holds == holds
    assert all(cause in claim.text for cause, _ in opened)


@pytest.mark.parametrize(
    ("scenario", "opened", "over"),
    [
        (ACQUIRED, [("software_version", "note")], False),
        (ACQUIRED, [("acquisition", "ask")], False),
        (ACQUIRED, [FAULT], True),
        (QUIET, [], False),
        (Scenario("v", "", (("software_version",),), 1), [("software_version", "note")], True),
    ],
)
def test_exams_are_sent_until_it_is_named_or_something_acts(
    scenario: Scenario, opened: list[tuple[str, str]], over: bool
) -> None:
    assert _is_over(scenario, _episodes(*opened)) == over


@pytest.mark.parametrize(
    ("runs", "holds"),
    [
        ([("run-1", False)], True),
        ([("run-1", False), ("run-2", True), ("run-3", True)], True),
        ([("run-1", False), ("run-2", False)], False),
        ([("run-2", False)], False),
        ([("run-1", True)], False),
        ([], False),
    ],
)
def test_one_run_acts_on_an_episode(runs: list[tuple[str, bool]], holds: bool) -> None:
    rows = [{"id": name, "skipped": skipped} for name, skipped in runs]
    assert acted_once([{"key": "k", "flow_run_id": "run-1"}], {"k": rows}).holds == holds


def test_no_episode_is_no_action() -> None:
    assert not acted_once([], {}).holds


@pytest.mark.parametrize(
    ("value", "low", "high", "set_from", "holds"),
    [
        (0.36, 0.34, 0.38, 10_000, True),
        (0.50, 0.30, 0.70, 10_000, True),
        (0.50, 0.40, 0.60, 10_000, False),
        (0.50, 0.40, 0.60, 40, True),  # so few exams set the point that it may lie there
        (0.70, 0.60, 0.80, 40, False),
        (0.70, 0.60, 0.80, 0, True),  # set from nothing: it may lie anywhere
    ],
)
def test_a_rate_is_near_its_target_or_its_interval_holds_it(
    value: float, low: float, high: float, set_from: int, holds: bool
) -> None:
    rate = {"value": value, "low": low, "high": high}
    assert is_on_target("recall rate", rate, 0.35, set_from).holds == holds


def _recovery(
    share: tuple[float, float, float] | None, old: tuple[float, float, float]
) -> Recovery:
    one = Interval(0.8, 0.7, 0.9, 60, 20)
    of = None if share is None else Interval(*share, 60, 20)
    return Recovery(one, one, one, of, Interval(*old, 60, 20), one, 0.35)


@pytest.mark.parametrize(
    ("share", "old", "holds"),
    [
        ((0.9, 0.6, 1.2), (0.0, -0.02, 0.02), [True, True]),
        ((0.6, 0.3, 0.9), (-0.02, -0.05, 0.01), [True, True]),
        ((0.4, 0.1, 0.7), (-0.04, -0.06, -0.02), [False, False]),
        (None, (0.0, 0.0, 0.0), [True, True]),
    ],
)
def test_what_the_interval_denies_fails_and_what_misses_is_told(
    share: tuple[float, float, float] | None, old: tuple[float, float, float], holds: list[bool]
) -> None:
    claims = has_recovered(_recovery(share, old))
    assert [one.holds for one in claims] == holds
    missed = [share is not None and share[0] < 0.8, old[0] < -0.01]
    assert ["misses the aim" in one.text for one in claims] == missed


@pytest.mark.parametrize(
    ("seconds", "release", "holds"),
    [(59.0, "r-1", True), (61.0, "r-1", False), (9.0, "r-2", False), (None, "r-1", False)],
)
def test_a_rollback_is_the_release_before_and_in_time(
    seconds: float | None, release: str, holds: bool
) -> None:
    assert came_back(seconds, release, "r-1").holds == holds


def test_evidently_is_asked_where_inputs_told() -> None:
    assert drill_checks.has_pages(["e"], ["v"]).holds
    assert not drill_checks.has_pages(["e"], []).holds
    assert drill_checks.has_pages(["e"], [], by_inputs=False).holds
    assert not drill_checks.has_pages([], ["v"], by_inputs=False).holds


def test_pages_count_only_where_they_are(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    run = settings.reports_dir / "drift" / "x"
    run.mkdir(parents=True)
    (run / "episode-k-1.html").write_text("x")
    (run / "evidently-s.html").write_text("x")
    opened = [{"key": key, "report_url": "http://host/drift/x/"} for key in ("k:1", "k:2")]
    ours, evidently = pages_of(opened, settings)
    assert ours == ["home/reports/drift/x/episode-k-1.html"]
    assert evidently == ["home/reports/drift/x/evidently-s.html"]


def _log(tmp_path: Path) -> PredictionLog:
    log = PredictionLog(f"sqlite:///{tmp_path / 'log.db'}").create()
    log.append_exam([{
        "exam_id": "E-1", "patient_id": "P-1", "level": "exam", "laterality": None,
        "release_id": "r-1", "role": "champion", "scanner": "A/B", "software_version": "1",
        "site": "s", "acquired_on": date(2024, 1, 8), "logit": 0.0, "probability": 0.5,
        "recall": True, "threshold": 0.5, "quality": "", "embedding": None, "features": {},
        "latency_ms": 1.0,
    }])  # fmt: skip
    log.add_outcomes([Outcome("E-1", True, datetime.now(UTC), "biopsy")])
    return log


def test_years_pass_in_a_log_and_it_can_be_kept_and_emptied(tmp_path: Path) -> None:
    log, now = _log(tmp_path), datetime.now(UTC)
    url = f"sqlite:///{tmp_path / 'log.db'}"
    assert let_time_pass(url, 800, 151) == 1
    known = log.outcomes().iloc[0]
    age = now - log.scored_exams("r-1").iloc[0]["scored_at"].to_pydatetime()
    assert 799.9 < age / timedelta(days=1) < 800.1
    assert 648.9 < (now - known["known_at"].to_pydatetime()) / timedelta(days=1) < 649.1
    copy = keep_log(tmp_path / "log.db", tmp_path / "kept" / "before.db")
    empty_log(url)
    assert log.outcomes().empty and log.scored_exams("r-1").empty
    assert len(PredictionLog(f"sqlite:///{copy}").scored_exams("r-1")) == 1


def _finding(*, holds: bool) -> Finding:
    episode = {
        "key": "k", "cause": "acquisition", "action": "retrain", "stratum": "s",
        "evidence": {"triage": {"probabilities": {"acquisition": 0.97}}},
    }  # fmt: skip
    claims = [Claim("named", True, "seen"), Claim("records", holds, "3 records")]
    return Finding.of(ACQUIRED, 30, [episode], claims, ["home/x.html"], {}, 0.0)


def test_the_summary_is_for_machines_too(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    found = [_finding(holds=True), _finding(holds=False), Finding.ended("e", "p", "CODE: why")]
    recorder = Recorder(tmp_path, quiet=True)
    finish_drill(tmp_path, settings, recorder, found, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["right"], told["drills"]) == (1, 3)
    assert told == json.loads((tmp_path / "summary.json").read_text())
    finish_drill(tmp_path, settings, recorder, found, as_json=False)
    shown = capsys.readouterr().out
    assert "acquisition (97%): retrain" in shown and "records FAILS: 3 records" in shown
    assert "1 of 3 drills are right" in shown


def test_a_drill_without_a_claim_is_not_right() -> None:
    assert not Finding("n", "p", "x").is_right


def test_a_scenario_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match=r"No scenario scaner; there are none, shift_all"):
        drill.run_drill(tmp_path, ["scaner"])
    assert not list(tmp_path.iterdir())


def test_there_is_a_drill_for_each_simulated_scenario() -> None:
    assert {one.name for one in SCENARIOS} == set(SIMULATED)
    assert len({one.seed for one in (TRAINING, *SCENARIOS)}) == 1 + len(SCENARIOS)
    assert {one.name for one in SCENARIOS if not one.causes} == {"none", "label_delay"}
    causes = {cause for one in SCENARIOS for any_of in one.causes for cause in any_of}
    assert causes == set(ACTIONS)
    # what the simulated years ask to be named by one name is asked so here
    alone = {one.name for one in SCENARIOS if all(len(any_of) == 1 for any_of in one.causes)}
    assert set(NAMED) <= alone
    # two releases come into service in the last, which one rollback does not undo
    assert SCENARIOS[-1].name == "scanner_replaced" and SCENARIOS[-1].course == "retrain"


def test_scenarios_are_chosen_by_name_or_by_what_they_were_called() -> None:
    assert [one.name for one in choose_scenarios(["inverted", "none"])] == [
        "none",
        "fault_inverted",
    ]
    assert choose_scenarios(()) == SCENARIOS
    assert set(ALIASES.values()) <= {one.name for one in SCENARIOS}


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
    sound = Scenario("sound", "", (), 3, 1, scanners=("aurora",))
    for one in (sound, replace(sound, name="inverted", inverted=True)):
        draw(tmp_path / one.name, one)
    pairs = [
        [_brightness(path) for path in sorted((tmp_path / name).rglob("*.dcm"))]
        for name in ("sound", "inverted")
    ]
    for good, bad in zip(*pairs, strict=True):
        assert np.corrcoef(good.ravel(), bad.ravel())[0, 1] < -0.9
    stamp = (tmp_path / "sound" / "train.csv").stat().st_mtime_ns
    studio = Studio(tmp_path)
    assert len(studio.exams(sound)) == 1 and studio.folder(sound) == tmp_path / "sound"
    studio.close()
    assert (tmp_path / "sound" / "train.csv").stat().st_mtime_ns == stamp
    draw(tmp_path / "sound", replace(sound, seed=4))
    assert (tmp_path / "sound" / "train.csv").stat().st_mtime_ns != stamp


@pytest.mark.parametrize(
    ("scenario", "action", "follows"),
    [
        ("software_upgrade", "recalibrate_and_retrain", recalibrate),
        ("detector_ageing", "retrain", only_taken_on),  # a gradual change: no point at once
        ("concept", "retrain", retrain),
        ("scanner_replaced", "recalibrate_and_retrain", retrain),
    ],
)
def test_what_is_followed_is_what_triage_asked_for(
    scenario: str, action: str, follows: Callable[..., Any]
) -> None:
    course = SimpleNamespace(episode={"action": action})
    assert _follow(choose_scenarios([scenario])[0], course) is follows
