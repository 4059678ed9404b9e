"""Normal scores: the quantile, the KS tail, and z that are N(0, 1) whatever is ranked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from monitoring.config import MonitorConfig
from monitoring.normal import distance_p, quantile
from tests.monitoring.programmes import NEVER, Programme


def test_the_quantile_is_that_of_the_normal_distribution():
    tails = np.logspace(-9, -0.31, 400)
    for p in np.concatenate([tails, 1 - tails, [0.075, 0.0750001, 0.5, 0.925, 0.9250001]]):
        assert quantile(p) == pytest.approx(ndtri(p), abs=1e-7, rel=1e-9)
    assert quantile(0.5) == 0.0


@pytest.mark.parametrize("p", [0.0, 1e-300, 1e-13, 1.0])
def test_a_rank_beyond_any_calibration_is_finite(p):
    assert 6.5 < abs(quantile(p)) < 7.0


@pytest.mark.parametrize("size", [10, 50, 400])
def test_the_tail_of_the_ks_distance_is_near_the_exact_one(size):
    for distance in np.linspace(0.0, 1.0, 101):
        exact = stats.kstwo.sf(distance, size)
        assert distance_p(distance, size) == pytest.approx(exact, abs=0.025)


@pytest.mark.parametrize("size", [25, 50, 100])
def test_no_bet_on_the_ks_distance_wins_in_the_mean(size):
    """What makes the sums of evidence honest: E[exp(bet * z - bet² / 2)] <= 1."""
    distances = np.linspace(0.5 / size, 1.0, 2000)
    chance = -np.diff(stats.kstwo.sf(distances, size), prepend=1.0)
    tails = np.clip([distance_p(d, size) for d in distances], 1e-9, 1 - 1e-9)
    z = np.minimum(-ndtri(tails), 4.0)
    assert chance.sum() == pytest.approx(1.0, abs=1e-9)
    for bet in MonitorConfig().bets:
        assert np.sum(chance * np.exp(bet * z - bet**2 / 2)) <= 1.01


MADE = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy tails": lambda rng, n: rng.standard_cauchy(n),
    "skewed": lambda rng, n: rng.exponential(size=n) ** 3,
    "rare events": lambda rng, n: (rng.random(n) < 0.03).astype(float),
    "whole kV": lambda rng, n: np.round(28 + rng.standard_normal(n)),
    "one value": lambda rng, n: np.full(n, 7.0),
    "gaps": lambda rng, n: np.where(rng.random(n) < 0.4, np.nan, rng.standard_normal(n)),
}


@pytest.mark.parametrize("exams", [1, 5, 30, 400])
@pytest.mark.parametrize("kind", MADE)
def test_in_control_the_scores_are_standard_normal_and_independent(kind, exams):
    """Exact for any distribution and size of the reference; error of the test 1 in 10,000."""
    config = replace(MonitorConfig(), recent_exams=20, channel_groups_off=("embedding",))
    made = Programme({"s/A/1": exams}, config, channels=("score",))
    rng, scores = np.random.default_rng([exams, len(kind)]), []
    for _ in range(100):
        start = made.starts["s/A/1"]
        made.starts["s/A/1"] = replace(start, values=MADE[kind](rng, exams)[:, None])
        control, stream = made.control(NEVER), made.stream(20)
        stream.values[:, 0] = MADE[kind](rng, 20)
        control.take(stream.values, None, stream.strata, stream.draws)
        scores.append(control.since(0, -1)[:, 0])
    z = np.array(scores)
    known = z[np.isfinite(z)]
    assert len(known) > 500
    assert stats.kstest(known, "norm").pvalue > 1e-4
    pairs = np.isfinite(z[:, :-1]) & np.isfinite(z[:, 1:])
    r = np.corrcoef(z[:, :-1][pairs], z[:, 1:][pairs])[0, 1]
    assert abs(r) < 4 / np.sqrt(pairs.sum())
