"""Curves to draw, with bands that resample patients: ROC, precision-recall, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mammo.evaluation import ranking as rk
from mammo.evaluation.battery import LEVEL, Rows, rate_interval, scarce_patients
from mammo.evaluation.bootstrap import percentile_bounds
from mammo.evaluation.calibration import equal_mass_bins
from mammo.evaluation.decisions import divide, sum_by_patient
from mammo.evaluation.draws import PatientDraws

GRID = np.unique(np.r_[np.linspace(0, 0.1, 11), np.linspace(0.1, 1, 31)])
"""False positive rates of the ROC band: denser where screening works."""
RECALLS = np.linspace(0.02, 1, 50)
MOST_POINTS = 400


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve and, on a grid, its pointwise 95% band; all float64 in [0, 1].

    ``x, y`` are the curve's own points, at most `MOST_POINTS`; ``at, low, high``
    the band's.
    """

    x: np.ndarray
    y: np.ndarray
    at: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def to_dict(self) -> dict[str, list[float]]:
        """Return the points as plain lists."""
        return {name: np.round(points, 6).tolist() for name, points in vars(self).items()}


@dataclass(frozen=True)
class CalibrationBin:
    """One bin: mean probability, observed rate with its interval, how many rows."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return dict(vars(self))


def roc_curve(rows: Rows, draws: PatientDraws) -> Curve:
    """Return sensitivity over 1 - specificity; the band is of sensitivity."""
    ranking = rk.rank_rows(rows.labels, rows.scores, draws.codes(rows.patients))
    band = draws.draw(
        ranking.table(lambda s: np.column_stack([rk.sensitivity_at(s, 1 - x) for x in GRID]))
    )
    steps = ranking.steps(np.ones((1, len(draws.patients))))
    x = np.r_[0.0, np.column_stack([steps.x0[0], steps.x1[0]]).ravel(), 1.0]
    y = np.r_[0.0, np.column_stack([steps.y0[0], steps.y1[0]]).ravel(), 1.0]
    return Curve(*_thinned(x, y), GRID, *_band(band, rows))


def precision_recall_curve(
    rows: Rows, draws: PatientDraws, weights: np.ndarray | None = None
) -> Curve:
    """Return precision over sensitivity, at a stated prevalence with ``weights`` (patients,)."""
    patient = draws.codes(rows.patients)
    weight = None if weights is None else weights[patient]
    ranking = rk.rank_rows(rows.labels, rows.scores, patient, weight)
    band = draws.draw(
        ranking.table(lambda s: np.column_stack([rk.precision_at(s, y) for y in RECALLS]))
    )
    steps = ranking.steps(np.ones((1, len(draws.patients))))
    true = steps.y1[0] * steps.positives[0]
    precision = divide(true, true + steps.x1[0] * steps.negatives[0])
    return Curve(*_thinned(steps.y1[0], precision), RECALLS, *_band(band, rows))


def calibration_bins(
    rows: Rows, draws: PatientDraws, weights: np.ndarray | None = None, bins: int = 10
) -> tuple[CalibrationBin, ...]:
    """Return equal-mass bins of probability, ascending, the bins fixed over resamples.

    A bin's interval is Wilson's on the effective number of its rows. With
    ``weights`` (patients,) rate and bounds are carried to the stated prevalence.
    """
    patient = draws.codes(rows.patients)
    weight = None if weights is None else weights[patient]
    parts = equal_mass_bins(rows.probability, bins)
    return tuple(_bin(rows, part, patient, weight, draws) for part in parts)


def _bin(
    rows: Rows,
    part: np.ndarray,
    patient: np.ndarray,
    weight: np.ndarray | None,
    draws: PatientDraws,
) -> CalibrationBin:
    inside, code = rows.at(part), patient[part]
    columns = np.column_stack([inside.labels, np.ones(len(part))]).astype(float)
    each = sum_by_patient(columns, code, len(draws.patients))

    def table(resampled: np.ndarray) -> np.ndarray:
        sums = resampled @ each
        return divide(sums[:, :1], sums[:, 1:])

    drawn = draws.draw(table, by_class=False)[:, 0]
    found = rate_interval(float(inside.labels.mean()), drawn, inside)
    predicted = float(np.average(inside.probability, weights=_weights_of(weight, part)))
    observed, low, high = (
        _carried(rate, rows.labels, weight, part) for rate in (found.value, found.low, found.high)
    )
    return CalibrationBin(predicted, observed, low, high, len(part))


def _weights_of(weight: np.ndarray | None, part: np.ndarray) -> np.ndarray | None:
    return None if weight is None else weight[part]


def _carried(rate: float, labels: np.ndarray, weight: np.ndarray | None, part: np.ndarray) -> float:
    """Return a bin's rate under row weights: positives weigh as everywhere, negatives as here."""
    if weight is None:
        return rate
    negative = part[~labels[part]]
    of_negative = float(weight[negative].mean()) if len(negative) else 1.0
    positive = rate * float(weight[labels].mean())
    return positive / (positive + (1 - rate) * of_negative)


def _band(drawn: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    units = max(2, scarce_patients(rows))
    bounds = [percentile_bounds(column, units, LEVEL) for column in drawn.T]
    low, high = np.array(bounds).T
    return low, high


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `MOST_POINTS` of the points, the ends among them."""
    if len(x) <= MOST_POINTS:
        return x, y
    kept = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int))
    return x[kept], y[kept]
