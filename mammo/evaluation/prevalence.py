"""Values at a stated prevalence, where sampling changed it.

A set with as many cancers as not says nothing of PPV as it stands. Each patient
gets the inverse of her chance to be in the set, up to a factor, as weight
(Horvitz and Thompson 1952): one weight for patients with a cancer, one for the
others, all rows of a patient alike. Every sum over rows then means what it would
in screening: PPV, NPV, recall rate, detection rate, accuracy, F1, pF1, Brier
score, calibration, average precision. Sensitivity, specificity, ROC curve and
AUC are taken within a class and need none of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mammo.errors import ScoresInvalid
from mammo.evaluation.bootstrap import Interval

CORRECTED = (
    "accuracy", "ppv", "npv", "recall_rate", "cancer_detection_per_1000", "f1", "pf1", "brier",
    "average_precision",
)  # fmt: skip
"""Metrics that depend on prevalence."""


def patient_weights(
    labels: np.ndarray, patient: np.ndarray, positive: np.ndarray, prevalence: float
) -> np.ndarray:
    """Return a weight for each patient so that ``prevalence`` of the rows' weight is positive.

    Parameters
    ----------
    labels : bool (rows,)
        Outcomes of the rows that the prevalence is stated of: exams.
    patient : int (rows,)
        The place of each row's patient in ``positive``.
    positive : bool (patients,)
        Who has a positive row.
    prevalence : float
        In (0, 1).

    Raises
    ------
    ScoresInvalid
        The prevalence is outside (0, 1), or more than patients with a cancer
        alone would give: they have negative exams too.
    """
    if not 0 < prevalence < 1:
        raise ScoresInvalid(f"a prevalence lies inside (0, 1), found {prevalence}")
    of_positive = positive[patient]
    cancers, with_cancer = int(labels.sum()), int(of_positive.sum())
    others = len(labels) - with_cancer
    spare = cancers - prevalence * with_cancer
    if spare <= 0 or not others:
        raise ScoresInvalid(
            f"a prevalence of {prevalence} cannot be made by weights: {cancers} of the "
            f"{with_cancer} exams of patients with a cancer are positive and {others} exams are of "
            f"others; state a prevalence below {cancers / max(with_cancer, 1):.3f}"
        )
    weight = np.where(positive, prevalence * others / spare, 1.0)
    return weight * (len(labels) / float(weight[patient].sum()))


def corrected_interval(
    value: float,
    function: Callable[[float, float], float],
    se: Interval,
    sp: Interval,
    counts: tuple[int, int],
) -> Interval:
    """Return the interval of a monotone function of sensitivity and specificity.

    ``counts`` are its patients, and those with a positive row: who has a cancer in one breast
    and none in the other is below both rates, and one patient.

    The bounds of both are carried over and their distances added in squares
    (MOVER: Zou and Donner 2008, doi:10.1002/sim.3095; for predictive values in
    the spirit of Mercaldo 2007, doi:10.1002/sim.2677): no false positive among
    200 exams does not make a PPV certain at one cancer in a hundred.
    """
    centre = function(se.value, sp.value)
    if np.isnan(value) or np.isnan(centre):
        return Interval(float("nan"), float("nan"), float("nan"), *counts)
    by_se = [function(s, sp.value) - centre for s in (se.low, se.high)]
    by_sp = [function(se.value, s) - centre for s in (sp.low, sp.high)]
    down = np.hypot(min(0.0, np.nanmin(by_se)), min(0.0, np.nanmin(by_sp)))
    up = np.hypot(max(0.0, np.nanmax(by_se)), max(0.0, np.nanmax(by_sp)))
    corners = [function(s, c) for s in (se.low, se.high) for c in (sp.low, sp.high)]
    low, high = max(value - down, np.nanmin(corners)), min(value + up, np.nanmax(corners))
    return Interval(value, float(low), float(high), *counts)


def at_prevalence(prevalence: float) -> dict[str, Callable[[float, float], float]]:
    """Return rates as functions of sensitivity and specificity at a prevalence."""
    pi = prevalence

    def recall(se: float, sp: float) -> float:
        return pi * se + (1 - pi) * (1 - sp)

    return {
        "accuracy": lambda se, sp: pi * se + (1 - pi) * sp,
        "ppv": lambda se, sp: pi * se / (recall(se, sp) or np.nan),
        "npv": lambda se, sp: (1 - pi) * sp / ((1 - recall(se, sp)) or np.nan),
        "recall_rate": recall,
        "cancer_detection": lambda se, sp: pi * se,
        "f1": lambda se, sp: 2 * pi * se / (recall(se, sp) + pi),
    }
