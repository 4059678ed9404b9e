from __future__ import annotations

import numpy as np
from scipy import stats

from monitoring.conformal import random_ranks, tie_breakers


def test_draws_repeat_with_the_exam_and_differ_between_exams():
    draws = tie_breakers(["E-1", "E-2"], 7, 5000)
    assert np.array_equal(draws[0], tie_breakers(["E-1"], 7, 5000)[0])
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws, tie_breakers(["E-1", "E-2"], 8, 5000))
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.001


def test_ranks_are_whole_whatever_is_tied_or_missing():
    reference = np.column_stack([np.zeros(9), [np.nan] * 9, [1.0, np.nan, 3, 3, 3, 2, 2, 1, 0]])
    ranks = random_ranks(reference, np.random.default_rng(0))
    assert all(sorted(column) == list(range(9)) for column in ranks.T)
