"""The patient bootstrap of large cohorts: patients who are alike are drawn together.

A resample of patients counts how often each is drawn, a multinomial. Women with the
same figures (one exam, not recalled, no cancer) need no draw of their own: how
often any of them is drawn is a multinomial over the kinds of women. That is the
very same distribution, and its cost is that of the kinds: a few tens for rates,
twice the number of cancers for an AUC, however many women there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from mammo.evaluation.bootstrap import Interval, logit_bounds, wilson_bounds
from monitoring.conformal import Floats

LEVEL = 0.95
CELLS = 5_000_000
"""Draws at most: of more kinds of women there are fewer resamples, but 200 at least."""


def sum_draws(sums: Floats, patients: ArrayLike, resamples: int, seed: int) -> Floats:
    """Return the totals of rows' counts over resamples of patients, (resamples, k).

    ``sums`` (n, k) are small whole numbers, ``patients`` (n,) whose rows they are.
    """
    code = np.unique(np.asarray(patients), return_inverse=True)[1].reshape(-1)
    each = np.stack([np.bincount(code, column) for column in sums.T], axis=1)
    kinds, count = np.unique(each.round().astype(np.int64), axis=0, return_counts=True)
    return _multinomial(count, resamples, seed) @ kinds


def ratio_interval(
    draws: Floats, above: float, below: float, patients: int, positive: float | None = None
) -> Interval | None:
    """Return ``above / below`` with Wilson's interval on as many rows as vary like patients do.

    ``draws`` (resamples, 2) are both in resamples; ``positive`` is what to tell as the
    number counted, ``above`` itself by default. Where nothing varies (none or all
    of them) the rows are ``below`` itself, at most ``patients``. None without ``below``.
    """
    if below <= 0:
        return None
    rate = min(float(above / below), 1.0)
    drawn = draws[draws[:, 1] > 0]
    variance = float(np.var(drawn[:, 0] / drawn[:, 1])) if len(drawn) else 0.0
    rows = rate * (1 - rate) / variance if variance > 0 else float(min(below, patients))
    low, high = wilson_bounds(rate, min(rows, below), LEVEL)
    return Interval(rate, low, high, patients, round(above if positive is None else positive))


def auc_by_patients(
    cancer: NDArray[np.bool_],
    logit: Floats,
    patients: ArrayLike,
    *,
    weight: Floats | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """Return the AUC with its interval, women with and without cancer drawn apart.

    ``cancer`` and ``logit`` are (n,), ``weight`` (n,) how many exams each stands for (few
    different values). None without two patients of each kind.
    """
    code = np.unique(np.asarray(patients), return_inverse=True)[1].reshape(-1)
    ill = np.bincount(code, cancer) > 0
    if min(ill.sum(), (~ill).sum()) < 2:
        return None
    stands = np.ones(len(logit)) if weight is None else weight
    scores = np.unique(logit[cancer])
    cell = np.searchsorted(scores, logit, "left") + np.searchsorted(scores, logit, "right")
    width = 2 * len(scores) + 1
    shape = (len(ill), 2 * width)
    table = sparse.csr_matrix((stands, (code, cell + width * cancer)), shape=shape)
    table.sum_duplicates()
    value = _auc(np.asarray(table.sum(axis=0)).reshape(1, -1), width)
    parts = [_drawn(table, ill, resamples, seed), _drawn(table, ~ill, resamples, seed + 1)]
    least = min(len(one) for one in parts)
    draws = _auc(parts[0][:least] + parts[1][:least], width)
    scarce = int(min(ill.sum(), (~ill).sum()))
    low, high = logit_bounds(float(value[0]), float(np.std(draws)), scarce, LEVEL)
    return Interval(float(value[0]), low, high, len(ill), int(ill.sum()))


def _drawn(
    table: sparse.csr_matrix, wanted: NDArray[np.bool_], resamples: int, seed: int
) -> Floats:
    """Return the table's totals over resamples of its ``wanted`` rows, (resamples, columns)."""
    rows = table[np.flatnonzero(wanted)]
    # equal rows have the same sum of random numbers, unequal ones hardly ever
    marks = rows @ np.random.default_rng(0).random(table.shape[1])
    _, first, count = np.unique(marks, return_index=True, return_counts=True)
    return np.asarray(_multinomial(count, resamples, seed) @ rows[first])


def _auc(totals: Floats, width: int) -> Floats:
    """Return AUCs of tables (m, 2 * width): others by cell, then cancers by cell."""
    others, cancers = totals[:, :width], totals[:, width:]
    below = np.cumsum(others, axis=1) - others / 2
    pairs = others.sum(axis=1) * cancers.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((cancers * below).sum(axis=1) / pairs)


def _multinomial(count: NDArray[np.int64], resamples: int, seed: int) -> Floats:
    """Return how often each kind of patient is drawn, (resamples, kinds)."""
    total = int(count.sum())
    draws = max(200, min(resamples, CELLS // max(len(count), 1)))
    rng = np.random.default_rng(seed)
    return rng.multinomial(total, count / total, size=draws).astype(float)
