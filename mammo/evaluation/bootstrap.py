"""Intervals that resample patients.

A patient is drawn with all of her rows, because two breasts or two exams of one
woman are not independent. A resample is a vector of integer weights, so that
thousands of weighted statistics come out of one pass over the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

Statistic = Callable[[np.ndarray], np.ndarray]
"""Row weights (resamples, rows) to one value per resample (resamples,); NaN where undefined."""

CHUNK_CELLS = 2_000_000  # weights held at once: 16 MB of float64
DEFAULT_RESAMPLES = 2000
EDGE = 1e-9
"""An area nearer to 0 or 1 is there: its steps are added up, and sums round."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval, and how many patients it rests on.

    ``n_positive`` counts patients with a positive row: a cancer, or for a
    recall rate a recalled exam.
    """

    value: float
    low: float
    high: float
    n_patients: int
    n_positive: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def patient_bootstrap(
    patients: ArrayLike,
    statistic: Statistic,
    *,
    labels: np.ndarray | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the statistic with its expanded percentile interval.

    Parameters
    ----------
    patients : array (rows,)
        Whose row it is; patients are resampled, never rows.
    statistic : Statistic
        Vectorised over resamples.
    labels : bool (rows,), optional
        Resample patients with and without a positive row apart.

    Notes
    -----
    A plain percentile interval is too short by about ``sqrt(n / (n - 1))`` and
    by normal for Student quantiles; the level is widened for both, with n the
    patients of the scarcer class (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
    """
    draws = bootstrap_draws(patients, statistic, labels=labels, resamples=resamples, seed=seed)
    value = float(statistic(np.ones((1, np.asarray(patients).shape[0])))[0])
    n_patients, n_positive = patient_counts(patients, labels)
    scarce = min(n_positive, n_patients - n_positive) if labels is not None else n_patients
    low, high = percentile_bounds(draws, scarce, level)
    return Interval(value, low, high, n_patients, n_positive)


def bootstrap_draws(
    patients: ArrayLike,
    statistic: Statistic,
    *,
    labels: np.ndarray | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Return the statistic of every resample of patients, float64 (resamples,).

    With ``labels``, patients with and without a positive row are drawn apart:
    the interval is then conditional on the number of positives, as that of an
    AUC should be, and no resample lacks a class.
    """
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    counts = resampled_counts(patient, labels, resamples, seed)
    return np.concatenate([statistic(chunk[:, patient]) for chunk in counts])


def percentile_bounds(draws: np.ndarray, units: int, level: float) -> tuple[float, float]:
    """Return the expanded percentile bounds of bootstrap draws on ``units`` patients."""
    tail = expanded_tail((1 - level) / 2, units)
    low, high = np.nanquantile(draws, (tail, 1 - tail))
    return float(low), float(high)


def expanded_tail(tail: float, units: int) -> float:
    """Return the percentile to read so that the true tail is about ``tail``."""
    n = max(units, 2)
    return float(stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1)))


def patient_counts(patients: ArrayLike, labels: np.ndarray | None) -> tuple[int, int]:
    """Return the number of patients, and of those with a positive row."""
    ids = np.asarray(patients)
    positive = 0 if labels is None else len(np.unique(ids[labels]))
    return len(np.unique(ids)), positive


def logit_bounds(value: float, error: float, units: int, level: float) -> tuple[float, float]:
    """Return bounds of an AUC by Student's quantile on the logit scale.

    ``error`` is the bootstrap's standard error, ``units`` the patients of the
    scarcer class. An AUC of 1 has no spread to resample: it comes about with
    probability ``auc ** units`` at most, which bounds it from below.
    """
    tail = (1 - level) / 2
    if min(value, 1 - value) < EDGE:
        edge = float(tail ** (1 / units))
        return (edge, 1.0) if value > 0.5 else (0.0, 1.0 - edge)
    n = max(units, 2)
    width = stats.t.ppf(1 - tail, n - 1) * error * np.sqrt(n / (n - 1)) / (value * (1 - value))
    low, high = special.expit(special.logit(value) + np.array([-width, width]))
    return float(low), float(high)


def wilson_bounds(rate: float, n: float, level: float) -> tuple[float, float]:
    """Return Wilson's bounds of a rate on ``n`` independent rows (n may be fractional)."""
    z = float(stats.norm.ppf((1 + level) / 2))
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def resampled_counts(
    patient: np.ndarray, labels: np.ndarray | None, resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """Yield how often each patient is drawn, float64 (chunk, patients), a chunk at a time.

    ``patient`` (int, rows) is each row's patient, from 0; with ``labels`` (bool,
    rows) those with a positive row are drawn apart from the others.
    """
    rng = np.random.default_rng(seed)
    total = int(patient.max()) + 1
    flagged = np.zeros(total, dtype=bool)
    if labels is not None:
        flagged[patient[labels]] = True
    strata = (np.flatnonzero(flagged), np.flatnonzero(~flagged))
    size = max(1, CHUNK_CELLS // max(total, len(patient)))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        counts = np.zeros((rows, total))
        for members in strata:
            if len(members):
                counts[:, members] = _draw(rng, rows, len(members))
        yield counts


def _draw(rng: np.random.Generator, rows: int, n: int) -> np.ndarray:
    """Draw n of n with replacement, ``rows`` times, as counts (rows, n)."""
    drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)
