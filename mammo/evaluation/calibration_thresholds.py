"""From probabilities to the decision to recall, on a known scanner and on a new one.

Thresholds are found among the logits of exams and stored as the probability at
the cut: a calibration is strictly increasing, so both recall the same exams.
A new scanner gets its own line without any outcome: its logits are laid onto
those of the reference by their quantiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from mammo.errors import TooFewLabels
from mammo.evaluation.alignment import match_quantiles, settle_cut
from mammo.evaluation.calibration import Calibration
from mammo.evaluation.metrics import as_labels, as_scores
from mammo.exam import OperatingPoint

MIN_EXAMS = 20
"""Exams below which a scanner's quantiles say too little to set a threshold."""

LogitsByExam = Mapping[str, ArrayLike] | Iterable[ArrayLike]

RECALL_RATE = "recall_rate"
SPECIFICITY = "specificity"
SENSITIVITY = "sensitivity"


@dataclass(frozen=True)
class Target:
    """What a threshold is set to reach: a rate, inside (0, 1), among exams of one kind.

    ``recall_rate`` counts recalled exams among all, ``sensitivity`` among those
    with cancer, ``specificity`` exams not recalled among those without.
    """

    name: str = RECALL_RATE
    value: float = 0.3

    def __post_init__(self) -> None:
        allowed = (RECALL_RATE, SPECIFICITY, SENSITIVITY)
        if self.name not in allowed:
            raise ValueError(f"unknown target {self.name!r}; allowed: {', '.join(allowed)}")
        if not 0 < self.value < 1:
            text = self.name.replace("_", " ")
            raise ValueError(f"target {text} must be inside (0, 1), found {self.value}")

    @property
    def recalled(self) -> float:
        """The share to recall among the exams that the target is of."""
        return 1 - self.value if self.name == SPECIFICITY else self.value

    def exams(self, cancer: np.ndarray) -> np.ndarray:
        """Return which exams (exams,) bool the target is of."""
        if self.name == RECALL_RATE:
            return np.ones(len(cancer), bool)
        return cancer if self.name == SENSITIVITY else ~cancer


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
    target: Target | float,
    *,
    cancer: ArrayLike | None = None,
    weights: np.ndarray | None = None,
    min_exams: int = MIN_EXAMS,
) -> OperatingPoint:
    """Return the threshold that comes nearest to the target on these exams.

    An exam is recalled when its highest breast is. The threshold lies midway
    between two exams, in logits. ``cancer`` (exams,) is needed for a target of
    specificity or sensitivity, which is met on the exams without or with it; a
    number alone is a target recall rate. ``weights`` (exams,) count an exam more
    or less often, for another prevalence (`exam_weights`). Raises TooFewLabels
    below ``min_exams`` exams of the kind that the target is of.
    """
    aim = target if isinstance(target, Target) else Target(value=target)
    logits = exam_logits(logits_by_exam)
    one = np.ones(len(logits)) if weights is None else weights
    of = _counted(aim, len(logits), cancer)
    _require_exams(scanner, int(of.sum()), min_exams, aim)
    cut = threshold_logit(logits[of], aim.recalled, weights=one[of])
    return OperatingPoint(
        scanner=scanner,
        scale=calibration.scale,
        offset=calibration.offset,
        threshold=float(calibration.apply(cut)),
        target_recall_rate=_held_rate(aim, float(np.average(logits >= cut, weights=one))),
        curve=calibration.curve,
        target_specificity=aim.value if aim.name == SPECIFICITY else None,
        target_sensitivity=aim.value if aim.name == SENSITIVITY else None,
    )


def _counted(aim: Target, rows: int, cancer: ArrayLike | None) -> np.ndarray:
    if cancer is None and aim.name != RECALL_RATE:
        raise ValueError(f"a target {aim.name} needs the outcome of every exam; found none")
    return aim.exams(np.zeros(rows, bool) if cancer is None else as_labels(cancer))


def _held_rate(aim: Target, reached: float) -> float:
    """Return the recall rate that a scanner without outcomes is held to."""
    return aim.value if aim.name == RECALL_RATE else float(np.clip(reached, 0.001, 0.999))


def threshold_logit(
    logits: np.ndarray,
    target_recall_rate: float,
    *,
    weights: np.ndarray | None = None,
) -> float:
    """Return the cut whose recall rate (share of logits >= cut) is nearest to the target.

    Equal logits fall on one side together; of two equally near rates the higher
    is taken. All cuts between two neighbouring logits recall the same exams:
    the middle is returned.
    """
    if not 0 < target_recall_rate < 1:
        raise ValueError(f"target recall rate must be inside (0, 1), found {target_recall_rate}")
    values, place = np.unique(logits, return_inverse=True)
    counts = np.bincount(place, weights)
    steps, rates = values[::-1], np.r_[0.0, np.cumsum(counts[::-1]) / counts.sum()]
    distance = np.abs(rates - target_recall_rate).round(12)
    step = int(np.flatnonzero(distance == distance.min())[-1])
    edges = np.r_[steps[0] + 1.0, steps, steps[-1] - 1.0]  # edges[step] is the last one recalled
    return float((edges[step] + edges[step + 1]) / 2)


def recalibrate(
    reference_logits: LogitsByExam,
    scanner_logits: LogitsByExam,
    reference: OperatingPoint,
    scanner: str,
    *,
    min_exams: int = MIN_EXAMS,
) -> OperatingPoint:
    """Return an operating point for a scanner whose scores moved, without outcomes.

    The new scanner's exam logits are laid onto the reference's by
    ``match_quantiles``; the line goes into scale and offset, before any curve,
    so that a probability means the same on either scanner. The threshold is the
    reference's, carried over by that line and drawn to the one that recalls
    ``reference``'s target share of the new exams as these contradict it
    (``settle_cut``): with few exams they say less than the reference.

    Assumption: the same women come to both scanners (prevalence and case mix
    unchanged). Where they do not, a real difference is calibrated away; outcomes
    must confirm the point later. Raises TooFewLabels below ``min_exams`` exams.
    """
    before, new = exam_logits(reference_logits), exam_logits(scanner_logits)
    _require_exams(scanner, len(new), min_exams)
    _require_exams("the reference", len(before), min_exams)
    slope, shift = match_quantiles(before, new)
    moved = Calibration(reference.scale, reference.offset, reference.curve).after(slope, shift)
    carried = invert(moved, reference.threshold, new)
    cut = settle_cut(carried, new, reference.target_recall_rate)
    return replace(
        reference,
        scanner=scanner,
        scale=moved.scale,
        offset=moved.offset,
        threshold=float(moved.apply(cut)),
    )


def invert(calibration: Calibration, probability: float, near: np.ndarray) -> float:
    """Return the raw logit of a calibrated probability, searched around the logits ``near``.

    Outside their range, widened by their span on either side, its end comes back.
    """
    wanted = float(special.logit(np.clip(probability, 1e-12, 1 - 1e-12)))
    span = float(np.ptp(near)) + 1.0
    low, high = float(near.min()) - span, float(near.max()) + span

    def distance(x: float) -> float:
        return float(calibration.logit(x)) - wanted

    if distance(low) >= 0 or distance(high) <= 0:
        return low if distance(low) >= 0 else high
    return float(optimize.brentq(distance, low, high, xtol=1e-12))


def _require_exams(scanner: str, found: int, minimum: int, aim: Target | None = None) -> None:
    kind = {SENSITIVITY: " with cancer", SPECIFICITY: " without cancer"}
    if found < max(minimum, 1):
        raise TooFewLabels(
            f"found {found} exams{kind.get(aim.name, '') if aim else ''} of {scanner}; "
            f"at least {minimum} are needed to "
            f"set its threshold: wait for more exams and use the default point until then"
        )
