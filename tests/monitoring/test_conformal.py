from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitoring.conformal import bootstrap_scores, normal_scores, random_ranks, smoothing_draws

STREAMS = 4000


@pytest.mark.parametrize("reference", [1, 5, 20, 60])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, shape: rng.standard_normal(shape),
        lambda rng, shape: rng.lognormal(sigma=2, size=shape),
        lambda rng, shape: (rng.random(shape) < 0.1).astype(float),
        lambda rng, shape: np.zeros(shape),
    ],
    ids=["normal", "heavy tail", "rare event", "constant"],
)
def test_scores_are_normal_for_any_reference_and_any_distribution(reference, draw):
    rng = np.random.default_rng(reference)
    values = draw(rng, (reference + 1, STREAMS))
    scores = normal_scores(values[:-1], values[-1], rng.random(STREAMS))
    assert stats.kstest(scores, "norm").pvalue > 0.001


def test_scores_of_following_exams_are_independent():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((22, STREAMS))
    first = normal_scores(values[:20], values[20], rng.random(STREAMS))
    second = normal_scores(values[:21], values[21], rng.random(STREAMS))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(STREAMS)


def test_a_high_value_scores_high_and_is_bounded():
    reference = np.arange(100.0)[:, None]
    draws = np.array([1e-12])
    assert normal_scores(reference, np.array([1e9]), draws, clip=4.0)[0] == 4.0
    assert normal_scores(reference, np.array([-1e9]), 1 - draws, clip=4.0)[0] == -4.0


def test_a_missing_value_says_nothing():
    reference = np.array([[1.0], [np.nan], [3.0]])
    assert normal_scores(reference, np.array([np.nan]), np.array([0.5]))[0] == 0.0
    middle = normal_scores(reference, np.array([2.0]), np.array([0.5]))[0]
    assert middle == pytest.approx(0.0)


def test_draws_repeat_with_the_exam_and_differ_between_exams():
    draws = smoothing_draws("E-1", 7, 5000)
    assert np.array_equal(draws, smoothing_draws("E-1", 7, 5000))
    assert not np.array_equal(draws, smoothing_draws("E-2", 7, 5000))
    assert stats.kstest(draws, "uniform").pvalue > 0.001


def test_ranks_are_whole_whatever_is_tied_or_missing():
    reference = np.column_stack([np.zeros(9), [np.nan] * 9, [1.0, np.nan, 3, 3, 3, 2, 2, 1, 0]])
    ranks = random_ranks(reference, np.random.default_rng(0))
    assert all(sorted(column) == list(range(9)) for column in ranks.T)


@pytest.mark.parametrize("block", [1, 5])
def test_bootstrapped_streams_are_normal_and_keep_dependence(block):
    rng = np.random.default_rng(1)
    common = rng.standard_normal((60, 1))
    reference = common + 0.3 * rng.standard_normal((60, 2))
    scores = bootstrap_scores(random_ranks(reference, rng), 200, 50, block, rng)
    assert scores.shape == (50, 200, 2)
    assert stats.kstest(scores[:, :, 0].ravel()[::block], "norm").pvalue > 0.001
    assert np.corrcoef(scores.reshape(-1, 2).T)[0, 1] > 0.7
