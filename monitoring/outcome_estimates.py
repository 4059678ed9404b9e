"""How far ranks and rates of cancers are from the reference's, and which cause fits better."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats

from monitoring.conformal import Floats
from monitoring.outcome_arm import concept_curve

Ratio = tuple[float, float, float]
LEVEL = 0.95
NO_RATIO: Ratio = (1.0, 0.0, float("inf"))
"""A ratio of which nothing is known."""


def rank_estimate(ranked: float, total: float, reference: float) -> Ratio | None:
    """Return the mean z of ``ranked`` cancers with its interval; None without any.

    ``reference`` is how many cancers they are ranked among: its error counts too.
    """
    if ranked < 1:
        return None
    error = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(1 / ranked + 1 / max(reference, 1.0))
    mean = total / ranked
    return float(mean), float(mean - error), float(mean + error)


def rate_estimate(count: float, among: float, before: float, before_among: float) -> Ratio | None:
    """Return the ratio of two rates with its exact interval; None where there is no rate before.

    Both counts are taken as Poisson; given their sum the one is binomial (Clopper &
    Pearson 1934). Infinite bounds come from a count of zero before.
    """
    if min(among, before_among) <= 0 or before <= 0:
        return None
    count, scale = round(count), before_among / among
    tail = (1 - LEVEL) / 2
    low = stats.beta.ppf(tail, count, before + 1) if count else 0.0
    high = stats.beta.ppf(1 - tail, count + 1, before)
    low, value, high = (_odds(one) * scale for one in (low, count / (count + before), high))
    return float(value), float(low), float(high)


def concept_log_odds(sums: Floats, before: float, before_exams: float, sensitivity: float) -> float:
    """Return the log likelihood of "cancers lost ground" over "prevalence moved".

    ``sums`` are exams, cancers, recalled, ranked and the sum of z (`SUMS`). Either cause
    may explain the rate as it is; a loss of ground says by `concept_curve` how far
    ranks then fell, prevalence that they did not. More cancers than before speak for
    prevalence: a loss of ground does not find more.
    """
    exams, cancers, _, ranked, total = (float(one) for one in sums)
    if min(exams, before_exams, before) <= 0 or ranked < 1:
        return 0.0
    ratio = max(cancers, 0.5) / exams * before_exams / before
    ratios, falls = _curve(round(sensitivity, 2))
    fall = float(np.interp(-ratio, -ratios, falls))
    if ratio >= 1:
        fall = -0.25  # the improvement that would find as many more
    return float(-total * fall - ranked * fall**2 / 2)


@lru_cache(maxsize=64)
def _curve(sensitivity: float) -> tuple[Floats, Floats]:
    return concept_curve(sensitivity)


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else float("inf")
