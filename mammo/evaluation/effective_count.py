"""Bounds of a share or a mean in [0, 1] from its bootstrap, without a width of nothing.

A percentile interval of few successes is too narrow, and has no width where every
resample is equal: none found, all found, one hit. Here the resamples tell only how
many independent trials the set is worth, and the bounds are the exact ones of so many.

Source: Korn & Graubard 1998, Confidence intervals for proportions with small expected
number of positive counts estimated from survey data, Survey Methodology 24:193-201.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from mammo.evaluation.bootstrap import EDGE, percentile_bounds


def exact_bounds(share: float, trials: float, level: float) -> tuple[float, float]:
    """Return Clopper and Pearson's bounds of a share in [0, 1] of ``trials``, which may be broken.

    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    tail, found = (1 - level) / 2, share * trials
    low = stats.beta.ppf(tail, found, trials - found + 1) if share > EDGE else 0.0
    high = stats.beta.ppf(1 - tail, found + 1, trials - found) if share < 1 - EDGE else 1.0
    return float(low), float(high)


def effective_count(
    share: float, error: float, patients: int, rows: int, level: float, *, counted: bool = True
) -> float:
    """Return how many independent trials tell a share as well as ``rows`` of ``patients`` do.

    ``error`` is the share's standard error by resampling patients. A share that is
    ``counted``, each row found or not, is worth its patients where rows are patients, and
    ``rows`` at most; Student's quantile of the patients makes it less. A mean of parts of 1
    may be worth more; that its spread is estimated makes it less. Where nothing varies it
    is the number of patients, not infinite; of one patient it is 1.
    """
    spread = share * (1 - share)
    if patients < 2:
        return 1.0
    if error < EDGE or spread < EDGE:
        return float(patients)
    tail, alone = (1 - level) / 2, counted and rows > 1
    trials = spread / error**2 * (1 - 1 / patients) / (1 - 1 / rows if alone else 1)
    known = stats.t.ppf(tail, rows - 1) if alone else stats.norm.ppf(tail)
    trials *= min(known / stats.t.ppf(tail, patients - 1), 1.0) ** 2
    return float(min(trials, rows) if counted else trials)


def effective_bounds(
    share: float,
    draws: np.ndarray,
    patients: int,
    rows: int,
    level: float,
    *,
    counted: bool = True,
) -> tuple[float, float]:
    """Return the bounds of a share in [0, 1] that ``rows`` of ``patients`` tell.

    ``draws`` (resamples,) are its values where patients are resampled, NaN where it is
    not defined. A share of 0 or 1 keeps that bound; the other is the exact one of as many
    trials as there are patients, or that of the resamples where those reach farther.
    """
    told = draws[np.isfinite(draws)]
    error = float(told.std()) if len(told) else 0.0
    trials = effective_count(share, error, patients, rows, level, counted=counted)
    low, high = exact_bounds(share, trials, level)
    if EDGE < share < 1 - EDGE or not len(told):
        return low, high
    drawn = percentile_bounds(told, patients, level)
    return min(low, drawn[0]), max(high, drawn[1])
