"""The yardstick measures what is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.continual.difficulty import (
    draw_pair,
    fleet_row,
    measure_event,
    measure_outcome_nats,
    scenario_row,
    shift_in_sd,
)
from benchmarks.continual.world import World


@pytest.mark.parametrize("size", [0.0, 0.25, -1.0])
def test_a_shift_of_a_normal_channel_is_found_in_sd(size: float) -> None:
    values = np.random.default_rng(1).standard_normal((2, 40000))
    assert shift_in_sd(values[0], values[1] + size) == pytest.approx(size, abs=0.025)


def test_rates_that_did_not_change_have_no_shift() -> None:
    rare = (np.random.default_rng(1).random((2, 40000)) < 0.02).astype(float)
    assert shift_in_sd(*rare) == pytest.approx(0, abs=0.03)
    assert shift_in_sd(np.zeros(9), np.zeros(9)) == 0


@pytest.mark.parametrize(
    ("scenario", "channel", "days"),
    [("shift_all", "score", 3.3), ("shift_half", "score", 6.4)],
)
def test_days_that_ten_nats_take(scenario: str, channel: str, days: float) -> None:
    # 10 / (103 exams a day * 0.245 ** 2 / 2) for a score 0.25 SD higher on all exams
    quiet, year = draw_pair(World(), scenario, 1)
    told = measure_event(quiet, year, year.truth[0])
    assert told.channel == channel
    assert told.days == pytest.approx(days, rel=0.2)


def test_a_mere_version_tells_nothing() -> None:
    quiet, year = draw_pair(World(), "version_only", 1)
    told = measure_event(quiet, year, year.truth[0])
    assert told.channel == "none"
    assert np.isinf(told.days)
    assert scenario_row("version_only", [told], 0.0)[-2:] == ["—", "—"]


def test_outcomes_tell_of_prevalence_and_concept() -> None:
    # twice the cancers: 2 log 2 - 1 nats per cancer that was found before, 0.6 a day
    assert measure_outcome_nats("prevalence_up") == pytest.approx(0.24, rel=0.2)
    assert measure_outcome_nats("concept") > 0.03
    assert measure_outcome_nats("fault_missing") == 0


def test_fleet_row_shows_what_was_drawn() -> None:
    row = fleet_row(World().year(np.random.default_rng(1)), 0)
    assert row[:4] == ["site 1", "machine 49", "1.0 and 1.1", "4,589"]
    assert float(row[5].rstrip("%")) == pytest.approx(float(row[4].rstrip("%")), abs=1)
