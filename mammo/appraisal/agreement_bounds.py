"""Ratios over breasts with intervals that resample patients, and are never without a width.

A percentile interval of three of three is 1 to 1: every resample is the same. Shares have
the exact bounds of as many trials as their patients are worth
(`mammo.evaluation.effective_count`), as the measures of a detector do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mammo.evaluation.bootstrap import EDGE, Interval, bootstrap_draws, percentile_bounds
from mammo.evaluation.effective_count import effective_bounds

LEVEL = 0.95
Bounds = Callable[[float, NDArray[np.float64], int, int], tuple[float, float]]
"""Value, its resamples, patients and rows that it rests on, to its lower and upper bound."""


@dataclass(frozen=True, eq=False)
class Ratio:
    """The sum of ``above`` (B,) over that of ``below`` (B,), of breasts of ``patients`` (B,)."""

    patients: NDArray[np.str_]
    above: NDArray[np.float64]
    below: NDArray[np.float64]

    @classmethod
    def of(
        cls, patients: NDArray[np.str_], above: Sequence[float | None], below: Sequence[float]
    ) -> Ratio | None:
        """Return the ratio of the breasts that have something below; None where none has."""
        under = np.array(below, np.float64)
        if not under.sum():
            return None
        over, own = np.array([float(one or 0) for one in above]), under > 0
        return cls(patients[own], over[own], under[own])

    def interval(self, bounds: Bounds, resamples: int, seed: int) -> Interval:
        """Return it with its bounds; ``n_positive`` counts patients with something above."""
        value = float(self.above.sum() / self.below.sum())
        draws = bootstrap_draws(self.patients, self._drawn, resamples=resamples, seed=seed)
        women, found = (len(set(one)) for one in (self.patients, self.patients[self.above > 0]))
        low, high = bounds(value, draws, women, round(float(self.below.sum())))
        return Interval(value, low, high, women, found)

    def _drawn(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((weights @ self.above) / (weights @ self.below))


def bounds_of_counts(
    value: float, draws: NDArray[np.float64], patients: int, rows: int
) -> tuple[float, float]:
    """Return the bounds of a share of ``rows``, each of which is one or is not."""
    return effective_bounds(value, draws, patients, rows, LEVEL)


def bounds_of_parts(
    value: float, draws: NDArray[np.float64], patients: int, rows: int
) -> tuple[float, float]:
    """Return the bounds of a mean of parts of 1."""
    return effective_bounds(value, draws, patients, rows, LEVEL, counted=False)


def bounds_of_mean(
    value: float, draws: NDArray[np.float64], patients: int, rows: int
) -> tuple[float, float]:
    """Return the bounds of a mean number of a breast.

    Of resamples, where they differ; else Garwood's of a Poisson count, as if each patient
    were one breast (Garwood 1936, doi:10.1093/biomet/28.3-4.437).
    """
    if draws.std() >= EDGE:
        return percentile_bounds(draws, patients, LEVEL)
    tail, found = (1 - LEVEL) / 2, value * patients
    low = float(stats.chi2.ppf(tail, 2 * found)) / 2 if found else 0.0
    return low / patients, float(stats.chi2.ppf(1 - tail, 2 * found + 2)) / 2 / patients
