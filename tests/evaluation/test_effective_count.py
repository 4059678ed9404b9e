"""Exact bounds of what a set of patients is worth: against scipy's, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mammo.evaluation.bootstrap import percentile_bounds
from mammo.evaluation.effective_count import effective_bounds, effective_count, exact_bounds

LEVEL = 0.95


@pytest.mark.parametrize(
    ("found", "of"), [(0, 1), (1, 1), (0, 21), (21, 21), (1, 30), (60, 100), (29, 30)]
)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_whole_trials_are_clopper_and_pearsons(found: int, of: int, level: float) -> None:
    known = stats.binomtest(found, of).proportion_ci(level, method="exact")
    assert exact_bounds(found / of, of, level) == pytest.approx((known.low, known.high), abs=1e-12)


def drawn_means(rows: np.ndarray, patients: np.ndarray, resamples: int = 4000) -> np.ndarray:
    """Return the mean of rows where patients are resampled."""
    rng, count = np.random.default_rng(0), int(patients.max()) + 1
    weights = rng.multinomial(count, np.full(count, 1 / count), resamples)[:, patients]
    return (weights * rows).sum(axis=1) / weights.sum(axis=1)


def test_rows_that_are_patients_count_each() -> None:
    rows = np.repeat([1.0, 0.0], [18, 12])
    error = drawn_means(rows, np.arange(30)).std()
    assert effective_count(0.6, error, 30, 30, LEVEL) == pytest.approx(30, rel=0.06)


def test_rows_that_agree_within_a_patient_count_her_once() -> None:
    rows, patients = np.repeat([1.0, 0.0], [18 * 4, 12 * 4]), np.repeat(np.arange(30), 4)
    error = drawn_means(rows, patients).std()
    told = effective_count(0.6, error, 30, 120, LEVEL)
    ratio = stats.t.ppf(0.975, 119) / stats.t.ppf(0.975, 29)
    assert told == pytest.approx(30 * (29 / 30) / (119 / 120) * ratio**2, rel=0.08)
    assert told < 29


def test_a_share_is_worth_no_more_than_its_rows() -> None:
    """Ten women with two findings, one of each found, but of the last both: hardly a spread."""
    patients = np.repeat(np.arange(10), 2)
    rows = np.tile([1.0, 0.0], 10)
    rows[-1] = 1
    draws = drawn_means(rows, patients)
    assert effective_bounds(0.55, draws, 10, 20, LEVEL) == pytest.approx(
        exact_bounds(0.55, 20, LEVEL)
    )
    low, high = effective_bounds(0.55, draws, 10, 20, LEVEL, counted=False)
    assert 0.4 < low < 0.55 < high < 0.7


def test_a_mean_of_parts_has_students_width() -> None:
    rows = np.random.default_rng(2).beta(6, 4, 25)
    low, high = effective_bounds(
        rows.mean(), drawn_means(rows, np.arange(25)), 25, 25, LEVEL, counted=False
    )
    known = stats.t.ppf(0.975, 24) * rows.std(ddof=1) / 5
    assert (high - low) / 2 == pytest.approx(known, rel=0.1)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_no_spread_is_no_certainty(share: float, counted: bool) -> None:
    draws = np.full(100, share)
    told = effective_bounds(share, draws, 8, 16, LEVEL, counted=counted)
    assert told == pytest.approx(exact_bounds(share, 8, LEVEL))
    assert effective_bounds(share, draws, 1, 16, LEVEL) == exact_bounds(share, 1, LEVEL)


def test_resamples_may_reach_farther_than_the_exact_bound() -> None:
    """None found at this threshold, but in a third of the resamples many."""
    draws = np.repeat([0.0, 0.6, np.nan], [60, 30, 10])
    assert effective_bounds(0.0, draws, 40, 40, LEVEL) == (0.0, pytest.approx(0.6))
    assert effective_bounds(1.0, 1 - draws, 40, 40, LEVEL) == (pytest.approx(0.4), 1.0)
    few = np.zeros(50)
    assert effective_bounds(0.0, few, 40, 40, LEVEL) == exact_bounds(0.0, 40, LEVEL)
    assert percentile_bounds(few, 40, LEVEL) == (0, 0)
    assert effective_bounds(0.0, np.full(5, np.nan), 4, 4, LEVEL) == exact_bounds(0.0, 4, LEVEL)


@pytest.mark.parametrize(("counted", "trials"), [(True, 2.99), (False, 2.49)])
def test_few_patients_count_less_by_students_quantile(counted: bool, trials: float) -> None:
    """By hand: 0.25 / 0.2^2 = 6.25 trials, of 5 patients with 4 rows each."""
    told = effective_count(0.5, 0.2, 5, 20, LEVEL, counted=counted)
    assert told == pytest.approx(trials, abs=0.01)
