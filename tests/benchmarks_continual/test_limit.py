"""The limit that theory gives, and the intervals of figures, beside simulation and tables."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.continual import limit
from benchmarks.continual.intervals import mean, median_delay, rate, share, spread_beyond_chance
from benchmarks.continual.limit import GRID, best_delay, known_changes


def _run_length(steps: np.ndarray, threshold: float) -> list[int]:
    """Return lengths of runs of CUSUM to its alarms, exam by exam."""
    lengths, value, since = [], 0.0, 0
    for step in steps:
        value, since = max(0.0, value + step), since + 1
        if value >= threshold:
            lengths.append(since)
            value, since = 0.0, 0
    return lengths


@pytest.mark.parametrize("name", ["shift_all", "prevalence_up"])
def test_run_lengths_are_those_of_a_simulation(name: str) -> None:
    change = known_changes()[name]
    ratio = np.log(change.after(GRID) / change.before(GRID))
    weights = [f(GRID) / f(GRID).sum() for f in (change.before, change.after)]
    threshold = 2.0
    rng = np.random.default_rng(1)
    for p in weights:
        simulated = _run_length(rng.choice(ratio, 200_000, p=p), threshold)
        error = 3 * np.std(simulated) / np.sqrt(len(simulated))
        exact = limit._mean_run_length(ratio, p, threshold)
        assert exact == pytest.approx(np.mean(simulated), abs=error + 0.03 * exact)


def test_budgets_are_kept_and_harder_changes_take_longer() -> None:
    change = known_changes()["shift_half"]
    ratio = np.log(change.after(GRID) / change.before(GRID))
    quiet = change.before(GRID) / change.before(GRID).sum()
    threshold = limit._solve_threshold(ratio, quiet, 78_000.0)
    assert limit._mean_run_length(ratio, quiet, threshold) == pytest.approx(78_000, rel=0.02)
    exams = [best_delay(known_changes()[name], 0.5).median_exams for name in ORDERED]
    assert exams == sorted(exams)


ORDERED = ("shift_all", "shift_half", "shift_random_half", "prevalence_up", "prevalence_down")


def test_more_false_alarms_buy_a_shorter_delay() -> None:
    change = known_changes()["shift_random_half"]
    few, many = best_delay(change, 0.5), best_delay(change, 12.0)
    assert many.median_exams < few.median_exams
    assert few.low_days <= few.median_days <= few.high_days


@pytest.mark.parametrize(
    ("count", "years", "low", "high"),
    [(0, 200, 0.0, 0.01844), (10, 1, 4.795, 18.39), (100, 200, 0.4068, 0.6081)],
)
def test_rates_have_exact_poisson_intervals(
    count: int, years: int, low: float, high: float
) -> None:
    one = rate(count, years)
    assert (one.low, one.high) == pytest.approx((low, high), rel=1e-3)


def test_a_change_that_most_years_miss_has_no_median() -> None:
    assert median_delay([3, 4, 5, None, 6]).value == 5
    assert median_delay([3, None, None]).value is None
    assert median_delay([3, 4, 5, 6, None, None, None, None, None]).low is not None
    assert median_delay([]).to_dict() == {"value": None, "low": None, "high": None, "units": 0}


def test_shares_and_means_have_intervals() -> None:
    assert share(90, 100).to_dict() == {"value": 0.9, "low": 0.8256, "high": 0.9448, "units": 100}
    one = mean([0.9, 1.0, 1.1, 1.0] * 25)
    assert one.low < 1.0 < one.high
    assert one.value == pytest.approx(1.0)


def test_what_chance_explains_is_no_error() -> None:
    rng = np.random.default_rng(0)
    variance = 0.9 / (0.1 * 900)
    chance = rng.normal(0.0, np.sqrt(variance), 400)
    wrong = chance + rng.choice([-0.15, 0.15], 400)
    assert spread_beyond_chance(list(chance), [variance] * 400).low == pytest.approx(0.0, abs=0.01)
    one = spread_beyond_chance(list(wrong), [variance] * 400)
    assert one.low < 0.15 < one.high
    assert one.high - one.low < 0.04
