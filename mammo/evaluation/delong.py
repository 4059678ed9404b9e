"""Variance and comparison of AUCs in closed form: DeLong, and Obuchowski for patients with
several rows.

DeLong, DeLong and Clarke-Pearson (1988, doi:10.2307/2531595) give the covariance of AUCs of
several scores of the same rows; midranks (Sun and Xu 2014, doi:10.1109/LSP.2014.2337313) make
it O(n log n). It holds where rows are independent: **one row a patient**. Obuchowski (1997,
doi:10.2307/2533958) adds the placements up within patients, which holds with several rows a
patient and equals DeLong's with one; it is what these functions compute.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mammo.errors import TooFewLabels
from mammo.evaluation.metrics import as_labels, as_scores, require_classes


@dataclass(frozen=True)
class AucComparison:
    """AUC of two scores of the same rows, and their difference b - a.

    ``p_value`` is two-sided, of no difference; ``standard_error`` that of the
    difference. ``clustered`` says whether a patient had several rows.
    """

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float
    clustered: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def delong_test(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    patients: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> AucComparison:
    """Compare two scores of the same rows; without ``patients`` every row is its own.

    Raises TooFewLabels when a class is missing, or all rows of one are of one patient.
    """
    y = as_labels(labels)
    scores = np.stack([as_scores(one, len(y)) for one in (scores_a, scores_b)])
    clusters = np.arange(len(y)) if patients is None else np.asarray(patients)
    aucs, covariance = auc_covariance(y, scores, clusters)
    difference = float(aucs[1] - aucs[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(max(variance, 0.0)))
    half = float(stats.norm.ppf((1 + level) / 2)) * error
    p_value = float(2 * stats.norm.sf(abs(difference) / error)) if error > 1e-12 else 1.0
    clustered = len(np.unique(clusters)) < len(y)
    low, high = difference - half, difference + half
    return AucComparison(
        float(aucs[0]), float(aucs[1]), difference, error, low, high, p_value, clustered
    )


def auc_covariance(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUCs (k,) of k scores and their covariance (k, k).

    Parameters
    ----------
    labels : bool (rows,)
    scores : float (k, rows)
    patients : array (rows,)
        Whose row it is; rows of one patient may depend on each other.
    """
    require_classes(labels)
    positive, negative = scores[:, labels], scores[:, ~labels]
    above, below = placements(positive, negative)
    aucs = above.mean(axis=1)
    code = np.unique(patients, return_inverse=True)[1]
    of_positive = _by_patient(above - aucs[:, np.newaxis], code[labels], code)
    of_negative = _by_patient(below - aucs[:, np.newaxis], code[~labels], code)
    clusters = [len(np.unique(one)) for one in (code[labels], code[~labels], code)]
    if min(clusters[:2]) < 2:
        raise TooFewLabels(
            f"found positive rows of {clusters[0]} and negative rows of {clusters[1]} patients; "
            "a variance needs 2 of each: wait for more outcomes"
        )
    m, n = positive.shape[1], negative.shape[1]
    first, second, both = (count / (count - 1) for count in clusters)
    mixed = of_positive @ of_negative.T
    covariance = (
        first * of_positive @ of_positive.T / m**2
        + second * of_negative @ of_negative.T / n**2
        + both * (mixed + mixed.T) / (m * n)
    )
    return aucs, covariance


def placements(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each positive the share of negatives below it, and of each negative the share
    of positives above it (a tie counts one half): (k, m) and (k, n)."""
    m, n = positive.shape[1], negative.shape[1]
    ranks = stats.rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    above = (ranks[:, :m] - stats.rankdata(positive, axis=1)) / n
    below = 1 - (ranks[:, m:] - stats.rankdata(negative, axis=1)) / m
    return above, below


def _by_patient(values: np.ndarray, code: np.ndarray, every: np.ndarray) -> np.ndarray:
    """Add up values (k, rows) by patient: (k, patients)."""
    total = int(every.max()) + 1
    return np.stack([np.bincount(code, weights=one, minlength=total) for one in values])
