"""Calibrations of other shapes than Platt's line: temperature, beta and isotonic.

Each is fitted on patients that the network was not trained on, takes raw logits
(rows,) and labels (rows,), and returns a strictly increasing `Calibration`. All
raise TooFewLabels when a class is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special
from sklearn.isotonic import IsotonicRegression

from mammo.evaluation.calibration import (
    MIN_SLOPE,
    Calibration,
    fit_platt,
    smoothed_targets,
    standard_line,
)
from mammo.evaluation.metrics import as_labels, as_scores, require_classes
from mammo.logit_curve import BetaCurve, KnotCurve, sigmoid

MIN_STEP = 1e-6
"""Blocks of isotonic regression nearer to each other than this, in logits, are one."""

RAISE_SPREAD = 1.0
"""How far, in logits, outcomes may move probabilities before they have to be many."""

RAISE_RANGE = (-10.0, 10.0)

PRIOR_ROWS = 1.0
"""Rows of the overall prevalence added to each isotonic block: 0 of 3 is not impossible."""


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Fit sigmoid(logit / T), T > 0, by maximum likelihood on Platt's smoothed targets.

    Guo et al. (2017, arXiv:1706.04599). A logit of 0 stays at one half: it
    mends confidence, not a wrong prevalence.
    """
    y, x = _rows(logits, labels)
    target, spread = smoothed_targets(y), float(x.std()) or 1.0

    def loss(log_slope: float) -> float:
        z = np.exp(log_slope) * x / spread
        return float(np.mean(np.logaddexp(0.0, z) - target * z))

    bounds = (np.log(MIN_SLOPE), np.log(1e4))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return Calibration(float(np.exp(found.x)) / spread)


def fit_beta(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Fit a beta calibration (Kull et al. 2017) by maximum likelihood on smoothed targets.

    The score in (0, 1) that the paper starts from is the sigmoid of the
    standardised logit: the fit does then not depend on the unit or the zero of
    the logits, and the bend lies where the exams are, not where a network
    trained on another prevalence has its one half. Both slopes stay at or above
    ``MIN_SLOPE``.
    """
    y, x = _rows(logits, labels)
    target = smoothed_targets(y)
    scale, offset = standard_line(x)
    z = scale * x + offset
    design = np.stack([-np.logaddexp(0.0, -z), np.logaddexp(0.0, z), np.ones_like(z)], 1)

    def loss(abc: np.ndarray) -> tuple[float, np.ndarray]:
        line = design @ abc
        residual = sigmoid(line) - target
        return float(np.mean(np.logaddexp(0.0, line) - target * line)), residual @ design / len(y)

    start = np.array([1.0, 1.0, special.logit(target.mean())])
    bounds = [(MIN_SLOPE, None), (MIN_SLOPE, None), (None, None)]
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    a, b, c = map(float, found.x)
    return Calibration(scale, offset, BetaCurve(a, b, c))


def fit_isotonic(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Fit a centred isotonic regression, drawn as straight lines between logits.

    Plain isotonic regression (Zadrozny and Elkan 2002) is flat over each of its
    blocks: it ties breasts that the network tells apart, and a threshold within
    a block would recall all of it or none. Here each block is one knot at its
    mean (Oron and Flournoy 2017, doi:10.1080/19466315.2017.1286256) and the
    curve rises between knots, so no tie is made and the order stays. The rate
    of a block counts ``PRIOR_ROWS`` rows of the overall prevalence besides its
    own, which keeps it off 0 and 1.
    """
    y, x = _rows(logits, labels)
    scale, offset = standard_line(x)
    z = scale * x + offset
    fitted = IsotonicRegression(increasing=True).fit(z, y.astype(float)).predict(z)
    at, rate, rows = _blocks(z, fitted)
    shrunk = (rate * rows + PRIOR_ROWS * y.mean()) / (rows + PRIOR_ROWS)
    # a small block moves more than a large one: pool again where that broke the order
    level = IsotonicRegression(increasing=True).fit(at, shrunk, sample_weight=rows).predict(at)
    knots, level, _ = _blocks(at, level, rows)
    return Calibration(scale, offset, _knot_curve(knots, special.logit(level)))


def _blocks(
    at: np.ndarray, level: np.ndarray, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centre, level and rows of each run of one level, in rising order."""
    weight = np.ones(len(at)) if rows is None else rows
    values, block = np.unique(level.round(12), return_inverse=True)
    count = np.bincount(block, weight)
    return np.bincount(block, weight * at) / count, values, count


def _knot_curve(at: np.ndarray, level: np.ndarray) -> KnotCurve:
    keep = np.r_[True, (np.diff(level) > MIN_STEP) & (np.diff(at) > MIN_STEP)]
    return KnotCurve(tuple(at[keep].tolist()), tuple(level[keep].tolist()), MIN_SLOPE)


def _rows(logits: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y = as_labels(labels)
    x = as_scores(logits, len(y))
    require_classes(y)
    return y, x


FITS: dict[str, Callable[[ArrayLike, ArrayLike], Calibration]] = {
    "platt": fit_platt,
    "temperature": fit_temperature,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}
"""Every calibration by its name in a configuration."""


def fit_raise(
    calibration: Calibration,
    logits: ArrayLike,
    exam: ArrayLike,
    cancer: ArrayLike,
    *,
    spread: float = RAISE_SPREAD,
) -> float:
    """Return by how much to raise calibrated logits so that outcomes are as often as said.

    Recalibration in the large (Steyerberg, 2019, ch. 20): the slope stays, one number is
    fitted by penalised maximum likelihood, under a normal prior of mean 0 and standard
    deviation ``spread``. Outcomes of one kind will do.

    ``logits`` (breasts,) are raw, ``exam`` (breasts,) int says whose each is, and
    ``cancer`` (exams,) bool is known of exams only: which breast had it need not be. An
    exam is free of cancer when both breasts are, taken as independent.
    """
    sick = as_labels(cancer)
    of = np.asarray(exam, dtype=np.int64)
    before = calibration.logit(as_scores(logits, len(of)))

    def loss(by: float) -> float:
        free = np.bincount(of, -np.logaddexp(0.0, before + by), minlength=len(sick))
        found = np.log(np.maximum(-np.expm1(free[sick]), 1e-300))
        return float(by**2 / (2 * spread**2) - free[~sick].sum() - found.sum())

    return float(optimize.minimize_scalar(loss, bounds=RAISE_RANGE, method="bounded").x)
