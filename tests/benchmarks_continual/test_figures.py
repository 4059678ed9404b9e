"""Figures, tables, pictures and the page from judged years whose outcome is known by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.continual import __main__ as command
from benchmarks.continual.figures import AIMS, OURS, list_figures
from benchmarks.continual.judge import JudgedEvent, JudgedYear
from benchmarks.continual.page import PAGE, write_page
from benchmarks.continual.plots import draw_all
from benchmarks.continual.recalibration import Recalibrated, recalibrate_year
from benchmarks.continual.record import make_record
from benchmarks.continual.rules import Alarm
from benchmarks.continual.simulate import ABLATED, Judged, plan_blocks
from benchmarks.continual.tables import (
    RULE_HEAD,
    SCENARIO_HEAD,
    WORDS,
    figure_rows,
    rule_rows,
    scenario_rows,
    tuned_peers,
)
from benchmarks.continual.world import World

ASKED = {"years": 4, "scenario": None, "ablations": True, "seed": 0}


def _event(cause: str, days: int | None, named: str | None) -> JudgedEvent:
    return JudgedEvent("what", cause, 100, days, days, days, named, named == cause)


def _year(*events: JudgedEvent, false: int = 0, ratio: float | None = None) -> JudgedYear:
    recalled = (Recalibrated("what", 1.4, ratio, 40, 9000),) if ratio else ()
    return JudgedYear(false, 0, 365, ("concept",) * false, events, recalled)


@pytest.fixture
def judged() -> Judged:
    upgrades = [
        _year(_event("acquisition", 3, "acquisition"), ratio=1.05),
        _year(_event("acquisition", 5, "acquisition"), ratio=0.97),
        _year(_event("acquisition", 7, "prevalence"), ratio=1.3),
        _year(_event("acquisition", None, None)),
    ]
    return {
        (OURS, "none"): [_year(false=1), _year(), _year(), _year()],
        (OURS, "shift_all"): [_year(_event("acquisition", d, None)) for d in (4, 6, 7, 9)],
        (OURS, "software_upgrade"): upgrades,
        (OURS, "version_only"): [_year(_event("software_version", 1, "software_version"))] * 4,
        ("psi_daily", "none"): [_year(false=230)] * 4,
        ("psi_daily", "shift_all"): [_year(_event("acquisition", 1, None))] * 4,
        ("psi@0.25", "none"): [_year(false=3)] * 4,
        ("psi@0.3", "none"): [_year(false=1), *[_year()] * 3],
        ("psi@0.4", "none"): [_year()] * 4,
        ("no_strata", "none"): [_year(false=2)] * 4,
    }


@pytest.fixture
def record(judged: Judged) -> dict[str, Any]:
    names = ("none", "shift_all", "software_upgrade", "version_only")
    return make_record(judged, names, ASKED, 60.0)


def test_figures_have_aims_and_tell_where_they_miss(judged: Judged) -> None:
    figures = list_figures(judged)
    assert {name: one["value"] for name, one in figures.items() if one["aim"]} == {
        "confirmed_false_alarms_a_year": 0.25,
        "median_delay_all_days": 7,
        "software_version_days": 1,
        "named_rightly": pytest.approx(6 / 7, abs=1e-4),
        "recall_after_recalibration": pytest.approx(1.107, abs=1e-3),
        "alerts_a_year": 0,
    }
    missed = {name for name, one in figures.items() if not one.get("met", True)}
    assert missed == {"median_delay_all_days", "named_rightly", "recall_after_recalibration"}
    assert figures["named_rightly_of_all_events"]["value"] == 0.75
    assert figures["recalibrated_within_tenth"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert set(AIMS) < set(WORDS)


def test_the_record_is_json_and_has_every_part(record: dict[str, Any]) -> None:
    again = json.loads(json.dumps(record))
    assert {"figures", "peers", "scenarios", "ablations", "commit", "machine", "years"} <= set(
        again
    )
    assert again["peers"]["psi_daily"]["false_alarms_a_year"]["value"] == 230
    assert again["confusion"]["acquisition"] == {
        "acquisition": 2,
        "nothing confirmed": 1,
        "prevalence": 1,
    }
    assert again["limits"].keys() == {"shift_all"}


def test_tables_have_a_cell_for_each_column(record: dict[str, Any]) -> None:
    assert all(len(row) == 4 for row in figure_rows(record))
    for which in ("peers", "ablations"):
        assert all(len(row) == len(RULE_HEAD) for row in rule_rows(record, which))
    rows = {row[0]: row for row in scenario_rows(record)}
    assert all(len(row) == len(SCENARIO_HEAD) for row in rows.values())
    assert rows["`software_upgrade`"][1].startswith("0.75 (")


def test_peers_are_shown_at_the_least_strict_limit_within_the_budget(
    record: dict[str, Any],
) -> None:
    (one,) = tuned_peers(record)
    assert one["title"] == "daily PSI > 0.3, the budget kept in hindsight"


def test_the_page_is_written_with_what_was_missed(record: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    write_page(record, page)
    text = page.read_text()
    assert "Missed: `median_delay_all_days` is 7, the aim ≤ 5. The limit" in text
    assert "| daily PSI > 0.1, any channel | 230 (" in text


@pytest.mark.slow
def test_pictures_are_drawn_of_what_was_run(record: dict[str, Any], tmp_path: Path) -> None:
    drawn = draw_all(record, tmp_path)
    assert {path.stem for path in drawn} == {
        "continual_trade",
        "continual_delays",
        "continual_names",
        "continual_recalls",
    }
    assert all(path.stat().st_size > 10_000 for path in drawn)


def test_years_are_cut_into_blocks_with_a_reference_each() -> None:
    blocks = plan_blocks(45, ("none",), True)
    assert [(block.first, block.years) for block in blocks] == [(0, 20), (20, 20), (40, 5)]
    assert len({block.number for block in blocks}) == 3
    with pytest.raises(ValueError, match=r"Unknown scenario: storm. Known: none"):
        plan_blocks(1, ("storm",), True)
    assert "none" in ABLATED


def test_recalibration_brings_the_recall_rate_back() -> None:
    world = World()
    reference = world.reference(np.random.default_rng(1))
    year = world.year(np.random.default_rng(3), "shift_half")
    event = year.truth[0]
    alarm = Alarm(event.day + 7, True, "acquisition", event.strata, since_day=event.day)
    (one,) = recalibrate_year(year, [alarm], reference)
    assert one.before > 1.3
    assert one.after == pytest.approx(1.0, abs=0.1)
    assert one.exams_after > 5000


@pytest.mark.parametrize(
    "alarm",
    [
        Alarm(300, False, "acquisition", (), since_day=290),  # an alert
        Alarm(300, True, "prevalence", (), since_day=290),  # nothing to recalibrate
        Alarm(20, True, "acquisition", (), since_day=10),  # before the event
        Alarm(300, True, "acquisition", (), since_day=None),  # a rule without change points
    ],
)
def test_nothing_is_recalibrated_without_a_cause(alarm: Alarm) -> None:
    world = World(exams_per_open_day=20)
    reference = world.reference(np.random.default_rng(1))
    year = world.year(np.random.default_rng(2), "shift_all")
    assert recalibrate_year(year, [alarm], reference) == ()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--scenario", "storm"], "unknown scenario storm; known: none, shift_all"),
        (["--years", "0"], "at least 1"),
    ],
)
def test_the_command_says_what_is_allowed(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(words)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert "python -m benchmarks.continual --years 200 --write" in capsys.readouterr().out
