"""A cancer's placement: the share of the exams around it that scored lower.

The mean placement of cancers is the AUC (Pepe & Cai 2004, *The analysis of placement
values for evaluating discriminatory measures*, Biometrics 60:528). Taken among the
exams of the same stratum scored just before and after, it does not move when a
scanner shifts all its scores, only when cancers lose their place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitoring.conformal import Floats


def placements(
    rows: NDArray[np.int64],
    logit: Floats,
    cancer: NDArray[np.bool_],
    stratum: ArrayLike | None = None,
    *,
    neighbours: int = 400,
    least: int = 20,
) -> Floats:
    """Return the placement of each exam of ``rows``, in [0, 1]; NaN where too few are around.

    Parameters
    ----------
    rows
        Places of the exams asked for, (k,).
    logit, cancer
        Of all exams in the order in which they were scored, (n,). Exams known to
        carry a cancer are no neighbours, or prevalence would move placements.
    stratum
        What each exam's neighbours share with it, (n,); without it all are one.
    neighbours
        How many are looked at, half of them later, or the nearest where there are fewer.
    least
        Fewer than these give no placement.
    """
    placed = np.full(len(rows), np.nan)
    groups = np.zeros(len(logit), dtype=np.int64)
    if stratum is not None:
        groups = np.unique(np.asarray(stratum), return_inverse=True)[1].reshape(-1)
    for group in np.unique(groups[rows]):
        wanted = np.flatnonzero(groups[rows] == group)
        around = np.flatnonzero((groups == group) & ~cancer & np.isfinite(logit))
        if len(around) >= least:
            placed[wanted] = _among(rows[wanted], around, logit, neighbours)
    return placed


def _among(
    rows: NDArray[np.int64], around: NDArray[np.int64], logit: Floats, neighbours: int
) -> Floats:
    """Return placements of ``rows`` among the nearest of ``around`` (sorted places)."""
    size = min(neighbours, len(around))
    first = np.clip(np.searchsorted(around, rows) - size // 2, 0, len(around) - size)
    near = logit[around[first[:, None] + np.arange(size)]]
    own = logit[rows][:, None]
    return np.asarray(((near < own).mean(axis=1) + (near <= own).mean(axis=1)) / 2)
