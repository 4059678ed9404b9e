"""Which calibration: chosen by patient-grouped cross-validation, Platt's line when in doubt.

The rule of ``auto``: a set with fewer than `MIN_OF_CLASS` rows of either class,
or fewer than `FOLDS` patients with one, keeps Platt's line unseen; isotonic is
a candidate from `MIN_ISOTONIC_ROWS` rows on (Niculescu-Mizil and Caruana 2005,
doi:10.1145/1102351.1102430, find the plain, tied form to overfit below about a
thousand; the centred one loses to Platt's line below 500 where a line is right,
docs/calibration.md). A candidate displaces Platt's line when its out-of-fold
log loss is lower by more than one standard error of the difference, patients
being the unit, and its Brier score is not higher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import StratifiedGroupKFold

from mammo.evaluation.calibration import Calibration, row_log_loss
from mammo.evaluation.calibration_fit import FITS
from mammo.evaluation.metrics import as_labels, as_scores, require_classes

AUTO = "auto"
DEFAULT = "platt"
METHODS = (*FITS, AUTO)
MIN_OF_CLASS = 100
MIN_ISOTONIC_ROWS = 500
FOLDS = 5


@dataclass(frozen=True)
class CalibrationChoice:
    """The method, why, and what cross-validation saw (empty when nothing was compared).

    ``log_loss`` and ``brier`` are out-of-fold means per row by method;
    ``standard_error`` is of the log loss's difference to Platt's line.
    """

    method: str
    reason: str
    rows: int
    positives: int
    log_loss: dict[str, float]
    brier: dict[str, float]
    standard_error: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def fit_calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    patients: ArrayLike,
    method: str = AUTO,
    *,
    seed: int = 0,
) -> tuple[Calibration, CalibrationChoice]:
    """Return the calibration fitted on all rows by ``method``, and how it was chosen.

    Rows are breasts; ``patients`` (rows,) tells whose. Raises TooFewLabels when
    a class is missing, ValueError for an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown calibration {method!r}; allowed: {', '.join(METHODS)}")
    y = as_labels(labels)
    x = as_scores(logits, len(y))
    require_classes(y)
    choice = (
        choose_calibration(x, y, patients, seed=seed)
        if method == AUTO
        else _choice(method, "set by the configuration", y)
    )
    return FITS[choice.method](x, y), choice


def choose_calibration(
    logits: np.ndarray,
    labels: np.ndarray,
    patients: ArrayLike,
    *,
    candidates: tuple[str, ...] | None = None,
    seed: int = 0,
) -> CalibrationChoice:
    """Compare out of fold and choose; ``candidates`` beside Platt's override the sizes' rule."""
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    scarce = int(min(labels.sum(), (~labels).sum()))
    allowed = candidates if candidates is not None else _allowed(len(labels), scarce)
    holders = min(len(np.unique(patient[labels == kind])) for kind in (True, False))
    if not allowed or holders < FOLDS:
        text = f"{scarce} rows of the scarcer class, {MIN_OF_CLASS} are needed to compare"
        return _choice(DEFAULT, text, labels)
    names = (DEFAULT, *(name for name in allowed if name != DEFAULT))
    out = {name: _out_of_fold(name, logits, labels, patient, seed) for name in names}
    loss = {name: row_log_loss(labels, p) for name, p in out.items()}
    brier = {name: float(np.mean((p - labels) ** 2)) for name, p in out.items()}
    error = {name: _grouped_error(loss[name] - loss[DEFAULT], patient) for name in names[1:]}
    means = {name: float(rows.mean()) for name, rows in loss.items()}
    better = [
        name
        for name in names[1:]
        if means[DEFAULT] - means[name] > error[name] and brier[name] <= brier[DEFAULT]
    ]
    best = min(better, key=means.__getitem__, default=DEFAULT)
    text = "lower log loss out of fold" if better else "none was better by a standard error"
    return CalibrationChoice(best, text, len(labels), int(labels.sum()), means, brier, error)


def _allowed(rows: int, scarce: int) -> tuple[str, ...]:
    """Return the candidates beside Platt's line that a set of this size can support."""
    if scarce < MIN_OF_CLASS:
        return ()
    return ("temperature", "beta", "isotonic")[: 3 if rows >= MIN_ISOTONIC_ROWS else 2]


def _choice(method: str, reason: str, labels: np.ndarray) -> CalibrationChoice:
    return CalibrationChoice(method, reason, len(labels), int(labels.sum()), {}, {}, {})


def _out_of_fold(
    name: str, logits: np.ndarray, labels: np.ndarray, patient: np.ndarray, seed: int
) -> np.ndarray:
    """Return probabilities (rows,), each from a calibration that did not see the patient."""
    probabilities = np.full(len(labels), np.nan)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fitted, held in folds.split(logits, labels, patient):
        probabilities[held] = FITS[name](logits[fitted], labels[fitted]).apply(logits[held])
    return probabilities


def _grouped_error(rows: np.ndarray, patient: np.ndarray) -> float:
    """Return the standard error of the mean of ``rows``, independent between patients only."""
    total = np.bincount(patient, rows - rows.mean())
    groups = len(total)
    return float(np.sqrt(np.sum(total**2) * groups / max(groups - 1, 1)) / len(rows))
