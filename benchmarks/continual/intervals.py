"""Values with 95 % intervals: rates (Poisson), shares (Wilson), medians (bootstrap of years)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

from mammo.evaluation.bootstrap import wilson_bounds

LEVEL = 0.95
RESAMPLES = 2000
SEED = 7


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval and how many ``units`` it rests on.

    None stands for "never": the delay of a change that most years do not show.
    """

    value: float | None
    low: float | None
    high: float | None
    units: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data, to four digits."""
        return {name: _rounded(value) for name, value in vars(self).items()}


def rate(count: int, years: float) -> Measure:
    """Return events a year with the exact Poisson interval (Garwood 1936)."""
    if years <= 0:
        return Measure(None, None, None, 0)
    tail = (1 - LEVEL) / 2
    low = chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    high = chi2.isf(tail, 2 * count + 2) / 2
    return Measure(count / years, low / years, high / years, years)


def share(count: int, n: int) -> Measure:
    """Return a share with Wilson's interval."""
    if n == 0:
        return Measure(None, None, None, 0)
    return Measure(count / n, *wilson_bounds(count / n, n, LEVEL), units=n)


def median_delay(delays: Sequence[int | None]) -> Measure:
    """Return the median delay; None among ``delays`` is a change that was never seen."""
    if not delays:
        return Measure(None, None, None, 0)
    values = np.array([np.inf if one is None else one for one in delays], dtype=float)
    draws = _middle(_resampled(values))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return Measure(_finite(_middle(values[None])[0]), _finite(low), _finite(high), len(values))


def mean(values: Sequence[float]) -> Measure:
    """Return a mean with its percentile interval."""
    if not values:
        return Measure(None, None, None, 0)
    array = np.array(values, dtype=float)
    low, high = np.quantile(_resampled(array).mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measure(float(array.mean()), float(low), float(high), len(values))


def spread_beyond_chance(errors: Sequence[float], variances: Sequence[float]) -> Measure:
    """Return the root mean square of errors less what their own variances explain.

    0 where chance explains them all; interval by bootstrap.
    """
    if not errors:
        return Measure(None, None, None, 0)
    excess = np.array(errors, dtype=float) ** 2 - np.array(variances, dtype=float)
    draws = np.sqrt(np.maximum(_resampled(excess).mean(axis=1), 0.0))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measure(float(np.sqrt(max(excess.mean(), 0.0))), float(low), float(high), len(errors))


def _resampled(values: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    return values[rng.integers(0, len(values), (RESAMPLES, len(values)))]


def _middle(rows: np.ndarray) -> np.ndarray:
    """Return the upper median of each row: a delay that was measured, infinite or not."""
    return np.sort(rows, axis=1)[:, rows.shape[1] // 2]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{round(value, 9):.4g}")
