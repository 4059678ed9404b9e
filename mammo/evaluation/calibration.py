"""From logits to probabilities by Platt's line, and how far probabilities are off.

A calibration is strictly increasing on the logit scale, so it never changes the
order of exams read on one scanner. Other shapes than a line are fitted in
`calibration_fit`, chosen between in `calibration_choice`; thresholds, and new
scanners without outcomes, are in `calibration_thresholds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from mammo.errors import TooFewLabels
from mammo.evaluation.metrics import as_labels, as_scores, require_classes
from mammo.logit_curve import Curve, calibrated_logit, curve_from_dict, curve_to_dict, sigmoid

MIN_SLOPE = 0.01
"""Smallest fitted slope, per standard deviation of the logits: never zero or falling."""


@dataclass(frozen=True)
class Calibration:
    """Probability = sigmoid(curve(scale * logit + offset)), scale > 0; no curve is a line."""

    scale: float = 1.0
    offset: float = 0.0
    curve: Curve | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite([self.scale, self.offset]).all() and self.scale > 0):
            raise ValueError(
                f"scale must be positive and both finite, "
                f"found scale {self.scale!r}, offset {self.offset!r}"
            )

    def logit(self, logit: ArrayLike) -> np.ndarray:
        """Return the calibrated logits, float64, the shape of ``logit``."""
        return calibrated_logit(logit, self.scale, self.offset, self.curve)

    def apply(self, logit: ArrayLike) -> np.ndarray:
        """Return probabilities in [0, 1], float64, the shape of ``logit``."""
        return sigmoid(self.logit(logit))

    def raised(self, by: float) -> Calibration:
        """Return the calibration whose calibrated logits all lie ``by`` higher."""
        if self.curve is None:
            return replace(self, offset=self.offset + by)
        return replace(self, curve=self.curve.raised(by))

    def after(self, slope: float, shift: float) -> Calibration:
        """Return the calibration of logits that become this one's by ``slope * x + shift``."""
        return replace(self, scale=self.scale * slope, offset=self.offset + self.scale * shift)

    def to_dict(self) -> dict[str, Any]:
        """Return scale, offset and, where there is one, the curve."""
        line: dict[str, Any] = {"scale": self.scale, "offset": self.offset}
        return line if self.curve is None else line | {"curve": curve_to_dict(self.curve)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Build from ``to_dict``; ValueError on unknown keys."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown keys {sorted(unknown)}; allowed: scale, offset, curve")
        line = {key: float(values[key]) for key in ("scale", "offset") if key in values}
        return cls(**line, curve=curve_from_dict(values.get("curve")))


def fit_platt(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Fit scale and offset by maximum likelihood on smoothed labels.

    Platt (1999) aims at (n+ + 1) / (n+ + 2) and 1 / (n- + 2) in place of 1 and
    0, which keeps the slope finite when few exams happen to separate. Where the
    logits run against the labels, the slope is held at ``MIN_SLOPE`` and only
    the offset is fitted. Raises TooFewLabels when a class is missing.
    """
    y = as_labels(labels)
    x = as_scores(logits, len(y))
    require_classes(y)
    target = smoothed_targets(y)
    scale, offset = standard_line(x)
    z = scale * x + offset  # so that the optimiser meets the same problem at any scale
    start = np.array([1.0, special.logit(target.mean())])
    fit = optimize.minimize(
        _platt_loss, start, (z, target), jac=True, method="L-BFGS-B",
        bounds=[(MIN_SLOPE, None), (None, None)],
    )  # fmt: skip
    slope, intercept = map(float, fit.x)
    return Calibration(slope * scale, slope * offset + intercept)


def smoothed_targets(y: np.ndarray) -> np.ndarray:
    """Return Platt's targets in place of 1 and 0 for labels ``y`` bool (rows,)."""
    positive, negative = y.sum(), (~y).sum()
    return np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))


def standard_line(x: np.ndarray) -> tuple[float, float]:
    """Return scale and offset that give ``x`` the median 0 and the standard deviation 1."""
    scale = 1.0 / (float(x.std()) or 1.0)
    return scale, -scale * float(np.median(x))


def _platt_loss(line: np.ndarray, z: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean cross-entropy and its gradient in (scale, offset)."""
    logit = line[0] * z + line[1]
    residual = special.expit(logit) - target
    loss = np.mean(np.logaddexp(0.0, logit) - target * logit)
    return float(loss), np.array([np.mean(residual * z), np.mean(residual)])


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the outcomes, in nats."""
    y = as_labels(labels)
    return float(np.mean(row_log_loss(y, as_scores(probabilities, len(y)))))


def row_log_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return each row's negative log-likelihood (rows,); certainty is cut at 1e-12."""
    return np.asarray(-np.log(np.clip(np.where(y, p, 1 - p), 1e-12, 1.0)))


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared distance of probability and outcome, in [0, 1]."""
    y = as_labels(labels)
    return float(np.mean((as_scores(probabilities, len(y)) - y) ** 2))


def equal_mass_bins(probabilities: np.ndarray, bins: int = 10) -> list[np.ndarray]:
    """Return the places of each bin's rows, ascending in probability; at least one row.

    Bins hold about equally many rows (of 50 exams in ten equal steps most would be
    empty). Rows of one probability share a bin: else their order in the file would
    tell bins apart. So fewer bins come back where rows are few or alike.
    """
    order = np.argsort(probabilities, kind="stable")
    ordered = probabilities[order]
    parts = np.array_split(np.arange(len(order)), min(bins, len(order)))
    begins = np.searchsorted(ordered, ordered[[part[0] for part in parts]], side="left")
    return np.split(order, np.unique(begins)[1:])


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean probability, observed rate and rows of each bin of `equal_mass_bins`."""
    y = as_labels(labels)
    p = as_scores(probabilities, len(y))
    if not len(y):
        raise TooFewLabels("found no row; calibration needs at least one")
    parts = equal_mass_bins(p, bins)
    means = [(p[part].mean(), y[part].mean(), len(part)) for part in parts]
    predicted, observed, rows = np.array(means).T
    return predicted, observed, rows


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 10
) -> float:
    """Return the mean distance of probability and observed rate over equal-mass bins."""
    predicted, observed, rows = reliability(labels, probabilities, bins)
    return float(np.average(np.abs(predicted - observed), weights=rows))


def chance_calibration_error(
    probabilities: ArrayLike, bins: int = 10, *, draws: int = 500, seed: int = 0
) -> float:
    """Return the calibration error that perfect probabilities show on so few rows.

    The mean over outcomes drawn from the probabilities themselves: 0.10 for 50
    exams in five bins, 0.03 for 1000 in ten. Only what lies above it speaks
    against a model.
    """
    p = np.sort(np.asarray(probabilities, float).ravel())
    outcomes = np.random.default_rng(seed).random((draws, len(p))) < p
    parts = equal_mass_bins(p, bins)
    gaps = [np.abs(outcomes[:, part].mean(axis=1) - p[part].mean()) * len(part) for part in parts]
    return float(np.mean(np.sum(gaps, axis=0)) / len(p))


def calibration_slope_intercept(labels: ArrayLike, probabilities: ArrayLike) -> tuple[float, float]:
    """Return slope and intercept of the outcome regressed on the logit of the probability.

    1 and 0 are perfect; a slope below 1 says that the probabilities are too
    extreme. Raises TooFewLabels when a class is missing.
    """
    y = as_labels(labels)
    require_classes(y)
    p = np.clip(as_scores(probabilities, len(y)), 1e-6, 1 - 1e-6)
    z = special.logit(p)
    fit = optimize.minimize(_platt_loss, np.array([1.0, 0.0]), (z, y.astype(float)), jac=True)
    return float(fit.x[0]), float(fit.x[1])


def overconfidence(labels: ArrayLike, probabilities: ArrayLike, slope: float) -> float:
    """Return the evidence, in standard deviations, that the calibration slope is below ``slope``.

    The signed root of the likelihood ratio (Cox, 1958, for slope and intercept): normal for
    many exams, and unlike the slope over its standard error finite where the exams happen to
    separate. Negative where the slope is above. Raises TooFewLabels when a class is missing.
    """
    y = as_labels(labels)
    fitted, intercept = calibration_slope_intercept(y, probabilities)
    z = special.logit(np.clip(as_scores(probabilities, len(y)), 1e-6, 1 - 1e-6))
    target = y.astype(float)

    def held(offset: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = _platt_loss(np.array([slope, offset[0]]), z, target)
        return loss, gradient[1:]

    best, _ = _platt_loss(np.array([fitted, intercept]), z, target)
    bound = optimize.minimize(held, np.array([intercept]), jac=True).fun
    root = np.sqrt(max(0.0, 2.0 * len(y) * (float(bound) - best)))
    return float(np.sign(slope - fitted) * root)
