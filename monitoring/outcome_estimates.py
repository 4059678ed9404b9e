"""How far ranks and rates of cancers are from the reference's, and which cause fits better."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats

from monitoring.conformal import Floats
from monitoring.outcome_arm import concept_curve

Ratio = tuple[float, float, float]
LEVEL = 0.95
LEAST_RATIO, GRID = 1 / 4, 60
"""The strongest change that either cause is thought to make, and steps in between."""
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
    """Return the log Bayes factor of "cancers lost ground" over "prevalence moved".

    ``sums`` are exams, cancers, recalled, ranked and the sum of z (`SUMS`). Cancers now
    and ``before`` are Poisson counts, so that a reference of few cancers convinces of
    nothing. A loss of ground says by `concept_curve` how far ranks fall where so many
    fewer are found; prevalence, up or down, says that they do not. Each is averaged
    over how strong it may be, evenly on the log scale.
    """
    exams, cancers, _, ranked, total = (float(one) for one in sums)
    if min(exams, before_exams, before) <= 0 or ranked < 1:
        return 0.0
    ratios, falls = _curve(round(sensitivity, 2))
    even = np.exp(np.linspace(np.log(LEAST_RATIO), 0.0, GRID))
    lost = np.interp(-even, -ratios, falls)
    counts = (cancers, before, exams / before_exams)
    error = np.sqrt(1 / ranked + 1 / before)
    by_concept = _counted(even, *counts) + stats.norm.logpdf(total / ranked, -lost, error)
    both_ways = np.concatenate([even, 1 / even])
    by_prevalence = _counted(both_ways, *counts) + stats.norm.logpdf(total / ranked, 0.0, error)
    return float(_log_mean(by_concept) - _log_mean(by_prevalence))


def _counted(ratios: Floats, now: float, before: float, exams: float) -> Floats:
    """Return the log likelihood of so many cancers now, given all of both times, (m,)."""
    share = ratios * exams / (ratios * exams + 1)
    return np.asarray(now * np.log(share) + before * np.log1p(-share))


def _log_mean(logs: Floats) -> float:
    return float(np.logaddexp.reduce(logs) - np.log(len(logs)))


@lru_cache(maxsize=64)
def _curve(sensitivity: float) -> tuple[Floats, Floats]:
    return concept_curve(sensitivity)


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else float("inf")
