"""What follows from decisions and probabilities: sums over rows, so over patients.

A rate is a ratio of two sums. The sums of each patient are taken once; those of
all resamples are then one matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mammo.evaluation.draws import PatientDraws, Table

SUMS = ("tp", "fp", "fn", "tn", "probability", "hit_probability", "squared_error")
"""Columns of `decision_sums`: the confusion matrix; the probabilities of all and of positives;
the squared distance of probability and outcome."""

RATES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "accuracy": (("tp", "tn"), ("tp", "fp", "fn", "tn")),
    "sensitivity": (("tp",), ("tp", "fn")),
    "specificity": (("tn",), ("tn", "fp")),
    "ppv": (("tp",), ("tp", "fp")),
    "npv": (("tn",), ("tn", "fn")),
    "recall_rate": (("tp", "fp"), ("tp", "fp", "fn", "tn")),
    "cancer_detection": (("tp",), ("tp", "fp", "fn", "tn")),
}
"""Name -> sums above and below the line."""


@dataclass(frozen=True, eq=False)
class Decisions:
    """Rows with their outcome, probability and decision.

    ``labels`` and ``recalled`` bool, ``probability`` float in [0, 1], ``patient``
    int (the place among drawn patients), ``weight`` float or None; all (rows,).
    """

    labels: np.ndarray
    probability: np.ndarray
    recalled: np.ndarray
    patient: np.ndarray
    weight: np.ndarray | None = None

    def sums(self) -> np.ndarray:
        """Return each row's share in `SUMS`, float64 (rows, sums)."""
        y, r, p = self.labels, self.recalled, self.probability
        columns = (y & r, ~y & r, y & ~r, ~y & ~r, p, p * y, (p - y) ** 2)
        rows = np.column_stack(columns).astype(float)
        return rows if self.weight is None else rows * self.weight[:, np.newaxis]

    def table(self, draws: PatientDraws) -> Table:
        """Return the sums as a statistic of patients' weights: (resamples, sums)."""
        each = sum_by_patient(self.sums(), self.patient, len(draws.patients))
        return lambda weights: weights @ each


def sum_by_patient(rows: np.ndarray, patient: np.ndarray, patients: int) -> np.ndarray:
    """Add up columns (rows, k) of each patient: float64 (patients, k)."""
    columns = [np.bincount(patient, weights=one, minlength=patients) for one in rows.T]
    return np.column_stack(columns)


def named(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Return the last axis of sums by the names of `SUMS`."""
    return dict(zip(SUMS, np.moveaxis(sums, -1, 0), strict=True))


def rates(sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return `RATES`, F1, pF1, Brier score and mean probability; NaN where nothing is below.

    F1 is ``2 tp / (2 tp + fp + fn)``; the probabilistic F1 of the RSNA challenge
    (beta 1) is ``2 hit / (sum of probabilities + positives)``, the same with
    probabilities in place of decisions.
    """
    total = {name: _add(sums, below) for name, (_, below) in RATES.items()}
    found = {name: divide(_add(sums, above), total[name]) for name, (above, _) in RATES.items()}
    positives, every = sums["tp"] + sums["fn"], total["accuracy"]
    found["f1"] = divide(2 * sums["tp"], sums["tp"] + sums["fp"] + positives)
    found["pf1"] = divide(2 * sums["hit_probability"], sums["probability"] + positives)
    found["brier"] = divide(sums["squared_error"], every)
    found["mean_probability"] = divide(sums["probability"], every)
    found["prevalence"] = divide(positives, every)
    return found


def _add(sums: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    return np.sum([sums[name] for name in names], axis=0)


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide, NaN where ``below`` is not positive."""
    out = np.full(np.shape(above), np.nan)
    return np.divide(above, below, out=out, where=np.asarray(below) > 0)
