"""What follows from the order of the scores alone, for thousands of resamples at once.

Every curve and area is a function of how much weight lies above each positive
row. Rows are sorted once; a resample costs one cumulative sum over its rows and
arithmetic on the positives, which in screening are one row in a hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CELLS = 2_000_000
"""Weights held at once by a step: 16 MB of float64."""

EDGE = 1e-9
"""Rates that differ by less are the same rate: cumulative sums round."""


class Steps(NamedTuple):
    """The ROC curve's steps at groups of equal scores that hold a positive row, highest first.

    ``x0, y0`` is where a step begins and ``x1, y1`` where it ends: false and
    true positive rates, each (resamples, groups). ``positives, negatives`` are
    the weights of the classes, (resamples, 1). NaN where a class has no weight.
    """

    x0: np.ndarray
    x1: np.ndarray
    y0: np.ndarray
    y1: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rows in descending order of their scores, as `rank_rows` sorts them.

    ``patient`` (int, rows) is each row's place among the drawn patients,
    ``weight`` (float, rows) its inverse sampling probability or None;
    ``positive`` are the places of positive rows, ``group`` where each group of
    equal scores that holds one begins among these; ``first`` and ``last`` are
    the groups' first and last row.
    """

    patient: np.ndarray
    weight: np.ndarray | None
    positive: np.ndarray
    group: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def table(self, columns: Callable[[Steps], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        """Return ``columns`` of the steps as a statistic of patients' weights.

        Resamples are taken a few at a time, so that memory does not grow with them.
        """
        size = max(1, CELLS // max(len(self.patient), 1))

        def statistic(weights: np.ndarray) -> np.ndarray:
            parts = range(0, len(weights), size)
            return np.concatenate([columns(self.steps(weights[i : i + size])) for i in parts])

        return statistic

    def steps(self, weights: np.ndarray) -> Steps:
        """Return the ROC curve's steps under patients' weights (resamples, patients)."""
        rows = weights[:, self.patient]
        if self.weight is not None:
            rows *= self.weight
        hits = np.add.reduceat(rows[:, self.positive], self.group, axis=1)
        first = rows[:, self.first]
        above = np.cumsum(rows, axis=1, out=rows)
        hit1 = np.cumsum(hits, axis=1)
        hit0 = hit1 - hits
        positives = hit1[:, -1:]
        negatives = above[:, -1:] - positives
        with np.errstate(divide="ignore", invalid="ignore"):
            return Steps(
                (above[:, self.first] - first - hit0) / negatives,
                (above[:, self.last] - hit1) / negatives,
                hit0 / positives,
                hit1 / positives,
                positives,
                negatives,
            )


def rank_rows(
    labels: np.ndarray,
    scores: np.ndarray,
    patient: np.ndarray,
    weight: np.ndarray | None = None,
) -> Ranking:
    """Sort rows by score; ``labels`` bool, ``patient`` int, all (rows,), with a positive row."""
    order = np.argsort(-scores, kind="stable")
    ordered, positive = scores[order], np.flatnonzero(labels[order])
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(ordered)] - 1
    of_positive = np.searchsorted(starts, positive, side="right") - 1
    groups, group = np.unique(of_positive, return_index=True)
    sampled = None if weight is None else weight[order]
    return Ranking(patient[order], sampled, positive, group, starts[groups], ends[groups])


def auc(steps: Steps) -> np.ndarray:
    """Return the area under the ROC curve (resamples,); a tie counts one half."""
    return ((steps.y1 - steps.y0) * (1 - (steps.x0 + steps.x1) / 2)).sum(axis=1)


def partial_auc_specificity(steps: Steps, least: float) -> np.ndarray:
    """Return the standardised partial AUC where the specificity is at least ``least``.

    McClish (1989, doi:10.1177/0272989X8900900307): 0.5 is chance, 1 is perfect.
    """
    far = 1 - least
    width = steps.x1 - steps.x0
    within = np.clip(far - steps.x0, 0, width)
    tied = np.divide(within**2, 2 * width, out=np.zeros_like(width), where=width > 0)
    area = ((steps.y1 - steps.y0) * (np.maximum(far - steps.x1, 0) + tied)).sum(axis=1)
    return standardised(area, far)


def partial_auc_sensitivity(steps: Steps, least: float) -> np.ndarray:
    """Return the standardised partial AUC where the sensitivity is at least ``least``.

    The area of specificity over sensitivity (Jiang et al. 1996,
    doi:10.1148/radiology.201.3.8939225), standardised as McClish's.
    """
    height = steps.y1 - steps.y0
    low = np.clip(least, steps.y0, steps.y1)
    share = np.divide(low - steps.y0, height, out=np.zeros_like(height), where=height > 0)
    at = steps.x0 + share * (steps.x1 - steps.x0)
    area = ((steps.y1 - low) * (1 - (at + steps.x1) / 2)).sum(axis=1)
    return standardised(area, 1 - least)


def standardised(area: np.ndarray, width: float) -> np.ndarray:
    """Return an area over a share ``width`` of an axis so that chance is 0.5 and perfect 1."""
    chance = width**2 / 2
    return 0.5 * (1 + (area - chance) / (width - chance))


def average_precision(steps: Steps) -> np.ndarray:
    """Return the mean precision at the positives (resamples,); no interpolation."""
    true = steps.y1 * steps.positives
    every = true + steps.x1 * steps.negatives
    precision = np.divide(true, every, out=np.zeros_like(true), where=every > 0)
    found = ((steps.y1 - steps.y0) * precision).sum(axis=1)
    return np.where(np.isnan(steps.y1[:, -1]), np.nan, found)


def sensitivity_at(steps: Steps, specificity: float) -> np.ndarray:
    """Return the sensitivity where the ROC curve has this specificity (resamples,).

    Between two scores a tie is a straight line: the expectation of a lot.
    """
    far = 1 - specificity + EDGE
    width = steps.x1 - steps.x0
    share = np.divide(far - steps.x0, width, out=np.sign(far - steps.x0), where=width > EDGE)
    return ((steps.y1 - steps.y0) * np.clip(share, 0, 1)).sum(axis=1)


def sensitivity_at_recall(steps: Steps, recall_rate: float) -> np.ndarray:
    """Return the sensitivity when the highest ``recall_rate`` of rows is recalled (resamples,).

    Of a group of equal scores the share is recalled that is still within that number.
    """
    false, true = steps.negatives, steps.positives
    before = steps.x0 * false + steps.y0 * true
    size = steps.x1 * false + steps.y1 * true - before
    open_ = recall_rate * (false + true) - before
    share = np.divide(open_, size, out=np.zeros_like(size), where=size > EDGE)
    return ((steps.y1 - steps.y0) * np.clip(share, 0, 1)).sum(axis=1)


def specificity_at(steps: Steps, sensitivity: float) -> np.ndarray:
    """Return the specificity where the ROC curve first has this sensitivity (resamples,)."""
    reached = (steps.y1 < sensitivity - EDGE).sum(axis=1)[:, np.newaxis]
    at = np.minimum(reached, steps.y1.shape[1] - 1)
    x0, x1, y0, y1 = (np.take_along_axis(one, at, axis=1)[:, 0] for one in steps[:4])
    share = np.divide(sensitivity - y0, y1 - y0, out=np.zeros_like(y0), where=y1 > y0)
    return 1 - (x0 + np.clip(share, 0, 1) * (x1 - x0))


def precision_at(steps: Steps, sensitivity: float) -> np.ndarray:
    """Return the precision where the sensitivity is first reached, in (0, 1] (resamples,)."""
    true = sensitivity * steps.positives[:, 0]
    false = (1 - specificity_at(steps, sensitivity)) * steps.negatives[:, 0]
    with np.errstate(invalid="ignore"):
        return true / (true + false)
