"""From logits to probabilities, and from probabilities to the decision to recall.

A calibration is one monotone line on the logit scale, so it never changes the
order of exams read on one scanner. A new scanner gets its own line without any
outcome: its logits are laid onto those of the reference by their quantiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from mammo.errors import TooFewLabels
from mammo.evaluation.metrics import as_labels, as_scores, require_classes
from mammo.exam import OperatingPoint

MIN_EXAMS = 20
"""Exams below which a scanner's quantiles say too little to set a threshold."""

MIN_SLOPE = 0.01
"""Smallest fitted slope, per standard deviation of the logits: never zero or falling."""

SCALE_RANGE = (0.2, 5.0)
"""Slopes that a change of scanner can explain; beyond them something else is wrong."""

MATCHED_QUANTILES = np.linspace(0.10, 0.90, 33)

LogitsByExam = Mapping[str, ArrayLike] | Iterable[ArrayLike]


@dataclass(frozen=True)
class Calibration:
    """Probability = sigmoid(scale * logit + offset), scale > 0."""

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite([self.scale, self.offset]).all() and self.scale > 0):
            raise ValueError(
                f"scale must be positive and both finite, "
                f"found scale {self.scale!r}, offset {self.offset!r}"
            )

    def apply(self, logit: ArrayLike) -> np.ndarray:
        """Return probabilities in [0, 1], float64, the shape of ``logit``."""
        return np.asarray(special.expit(self.scale * np.asarray(logit, float) + self.offset))

    def to_dict(self) -> dict[str, float]:
        """Return scale and offset."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Build from ``to_dict``; ValueError on unknown keys."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown keys {sorted(unknown)}; allowed: scale, offset")
        return cls(**{key: float(value) for key, value in values.items()})


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
    positive, negative = y.sum(), (~y).sum()
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))
    centre, spread = float(np.median(x)), float(x.std()) or 1.0
    z = (x - centre) / spread  # so that the optimiser meets the same problem at any scale
    start = np.array([1.0, special.logit(target.mean())])
    fit = optimize.minimize(
        _platt_loss, start, (z, target), jac=True, method="L-BFGS-B",
        bounds=[(MIN_SLOPE, None), (None, None)],
    )  # fmt: skip
    scale = float(fit.x[0]) / spread
    return Calibration(scale, float(fit.x[1]) - scale * centre)


def _platt_loss(line: np.ndarray, z: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean cross-entropy and its gradient in (scale, offset)."""
    logit = line[0] * z + line[1]
    residual = special.expit(logit) - target
    loss = np.mean(np.logaddexp(0.0, logit) - target * logit)
    return float(loss), np.array([np.mean(residual * z), np.mean(residual)])


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared distance of probability and outcome, in [0, 1]."""
    y = as_labels(labels)
    return float(np.mean((as_scores(probabilities, len(y)) - y) ** 2))


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean probability, observed rate and rows of each of ``bins`` equal-mass bins.

    Bins hold equally many rows (of 50 exams in ten equal steps most would be
    empty); fewer bins than asked for come back when there are fewer rows.
    """
    y = as_labels(labels)
    p = as_scores(probabilities, len(y))
    if not len(y):
        raise TooFewLabels("found no row; calibration needs at least one")
    parts = np.array_split(np.argsort(p, kind="stable"), min(bins, len(y)))
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
    parts = np.array_split(np.arange(len(p)), min(bins, len(p)))
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


def exam_logits(logits_by_exam: LogitsByExam) -> np.ndarray:
    """Return the largest logit of each exam (exams,).

    Takes exam id -> logits of its breasts, a sequence of such, or one logit per exam.
    """
    values = logits_by_exam.values() if isinstance(logits_by_exam, Mapping) else logits_by_exam
    highest = np.array([np.max(np.asarray(value, float)) for value in values], dtype=float)
    return as_scores(highest, len(highest))


def fit_operating_point(
    scanner: str,
    logits_by_exam: LogitsByExam,
    calibration: Calibration,
    target_recall_rate: float,
    *,
    min_exams: int = MIN_EXAMS,
) -> OperatingPoint:
    """Return the threshold at which the target share of exams is recalled.

    An exam is recalled when its highest breast is. The threshold lies midway
    between two exams, in logits. Raises TooFewLabels below ``min_exams``.
    """
    logits = exam_logits(logits_by_exam)
    _require_exams(scanner, len(logits), min_exams)
    cut = threshold_logit(logits, target_recall_rate)
    return _operating_point(scanner, calibration, cut, target_recall_rate)


def threshold_logit(
    logits: np.ndarray, target_recall_rate: float, prefer: float | None = None
) -> float:
    """Return the cut whose recall rate (share of logits >= cut) is nearest to the target.

    Equal logits fall on one side together; of two equally near rates the higher
    is taken. All cuts between two neighbouring logits recall the same exams:
    ``prefer`` picks the nearest to itself among them, the default is the middle.
    """
    if not 0 < target_recall_rate < 1:
        raise ValueError(f"target recall rate must be inside (0, 1), found {target_recall_rate}")
    values, counts = np.unique(logits, return_counts=True)
    steps, rates = values[::-1], np.r_[0.0, np.cumsum(counts[::-1]) / len(logits)]
    distance = np.abs(rates - target_recall_rate).round(12)
    step = int(np.flatnonzero(distance == distance.min())[-1])
    edges = np.r_[steps[0] + 1.0, steps, steps[-1] - 1.0]  # edges[step] is the last one recalled
    middle = (edges[step] + edges[step + 1]) / 2
    if prefer is None:
        return float(middle)
    lowest = edges[step + 1] + 1e-6 * (edges[step] - edges[step + 1])  # the next one stays out
    return float(np.clip(prefer, lowest, edges[step]))


def recalibrate(
    reference_logits: LogitsByExam,
    scanner_logits: LogitsByExam,
    calibration: Calibration,
    target_recall_rate: float,
    scanner: str,
    reference_threshold: float,
    *,
    min_exams: int = MIN_EXAMS,
) -> OperatingPoint:
    """Return an operating point for a scanner whose scores moved, without outcomes.

    The new scanner's exam logits are laid onto the reference's by
    ``match_quantiles``; the line goes into scale and offset, so that a
    probability means the same on either scanner. The threshold recalls the
    target share of the new exams; of all thresholds that do, it is the one
    nearest to ``reference_threshold`` (a calibrated probability).

    Assumption: the same women come to both scanners (prevalence and case mix
    unchanged). Where they do not, a real difference is calibrated away; outcomes
    must confirm the point later. Raises TooFewLabels below ``min_exams`` exams.
    """
    reference, new = exam_logits(reference_logits), exam_logits(scanner_logits)
    _require_exams(scanner, len(new), min_exams)
    _require_exams("the reference", len(reference), min_exams)
    slope, shift = match_quantiles(reference, new)
    moved = Calibration(calibration.scale * slope, calibration.offset + calibration.scale * shift)
    carried = (special.logit(np.clip(reference_threshold, 1e-9, 1 - 1e-9)) - moved.offset) / (
        moved.scale
    )
    cut = threshold_logit(new, target_recall_rate, prefer=float(carried))
    return _operating_point(scanner, moved, cut, target_recall_rate)


def match_quantiles(reference: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """Return (slope, shift) so that ``slope * new + shift`` is distributed like ``reference``.

    Fitted between the quantiles from 10% to 90%: outliers do not enter, and
    cancers, a part of both mixtures, need not be told apart. The logarithm of
    the slope has a variance near ``1 / n + 1 / n_reference`` (simulated); it is
    shrunk by as much (positive-part James-Stein), which leaves a mere shift a
    shift. It stays within ``SCALE_RANGE``.
    """
    q_ref = np.quantile(reference, MATCHED_QUANTILES)
    q_new = np.quantile(new, MATCHED_QUANTILES)
    log_slope = np.log(q_ref.std() / q_new.std()) if min(q_ref.std(), q_new.std()) > 0 else 0.0
    noise = 1 / len(new) + 1 / len(reference)
    log_slope *= max(0.0, 1 - noise / log_slope**2) if log_slope else 0.0
    slope = float(np.clip(np.exp(log_slope), *SCALE_RANGE))
    return slope, float(np.mean(q_ref) - slope * np.mean(q_new))


def _require_exams(scanner: str, found: int, minimum: int) -> None:
    if found < max(minimum, 1):
        raise TooFewLabels(
            f"found {found} exams of {scanner}; at least {minimum} are needed to "
            f"set its threshold: wait for more exams and use the default point until then"
        )


def _operating_point(
    scanner: str, calibration: Calibration, cut: float, target_recall_rate: float
) -> OperatingPoint:
    return OperatingPoint(
        scanner=scanner,
        scale=calibration.scale,
        offset=calibration.offset,
        threshold=float(calibration.apply(cut)),
        target_recall_rate=target_recall_rate,
    )
