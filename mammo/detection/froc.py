"""FROC: of the findings, how many are marked at so many false marks an image.

Source: Chakraborty & Winter 1990, doi:10.1148/radiology.174.3.2305073. A second mark on a
finding that has one is neither a hit nor false, as is usual for CAD: it costs a
reader nothing. Marks are counted on all images, those without a finding as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mammo.detection.matching import Matches

FALSE_MARKS = (0.1, 0.25, 0.5, 1.0)
"""Per image: where the sensitivity is told."""


def sensitivity_at(
    matches: Matches, weights: NDArray[np.float64], false_marks: float
) -> NDArray[np.float64]:
    """Return the share of findings marked at ``false_marks`` an image or fewer, (R,).

    ``weights`` (R, I) are how often each image counts in a resample. The threshold is
    set anew in each; marks of equal score are shown together or not at all. A detector
    that makes fewer false marks is told with all its marks. NaN without a finding.
    """
    return sensitivities(matches, weights, (false_marks,))[:, 0, 0]


def sensitivities(
    matches: Matches,
    weights: NDArray[np.float64],
    false_marks: Sequence[float],
    groups: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return `sensitivity_at` of K numbers of false marks by G groups of findings, (R, K, G).

    ``groups`` (G, findings) are which findings count in each, all without it. False marks
    are those of all images whatever the group: a detector has one threshold.
    """
    chosen = np.ones((1, len(matches.owner)), bool) if groups is None else groups
    shown = _hits_shown(matches, weights, false_marks)
    at = np.flatnonzero(matches.hit)
    each = weights[:, matches.image[at]]
    found = [_added_up(each * group[matches.finding[at]], shown) for group in chosen]
    told = np.stack(found, axis=2)
    total = weights[:, matches.owner] @ chosen.T.astype(np.float64)
    whole = np.broadcast_to(total[:, None, :], told.shape)
    return np.divide(told, whole, out=np.full(told.shape, np.nan), where=whole > 0)


def _hits_shown(
    matches: Matches, weights: NDArray[np.float64], false_marks: Sequence[float]
) -> NDArray[np.int64]:
    """Return how many of the hits are shown, the highest scores first, (R, K)."""
    false = np.flatnonzero(~(matches.hit | matches.again))
    made = np.cumsum(np.take(weights, matches.image[false], axis=1), axis=1)
    allowed = weights.sum(axis=1)[:, None] * np.asarray(false_marks) + 1e-9
    fit = np.stack([np.searchsorted(*one, side="right") for one in zip(made, allowed, strict=True)])
    false_to, hits_to = _down_to(matches)
    scores = np.searchsorted(false_to, fit, side="right")
    return np.asarray(np.concatenate([[0], hits_to])[scores])


def score_shown(matches: Matches, false_marks: float) -> float:
    """Return the lowest score at which there are ``false_marks`` an image or fewer.

    The threshold that `sensitivity_at` reads at; just above the highest score where even
    that shows more, 0 without a detection.
    """
    if not len(matches.score):
        return 0.0
    ends = np.flatnonzero(np.diff(matches.score, append=-1.0))
    allowed = false_marks * len(matches.findings) + 1e-9
    shown = int(np.searchsorted(_down_to(matches)[0], allowed, side="right"))
    if shown == 0:
        return float(np.nextafter(matches.score[0], 2.0))
    return float(matches.score[ends[shown - 1]])


def _added_up(each: NDArray[np.float64], shown: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of the first ``shown`` (R, K) of each row (R, H), (R, K)."""
    sums = np.cumsum(np.concatenate([np.zeros((len(each), 1)), each], axis=1), axis=1)
    return np.take_along_axis(sums, shown, axis=1)


def froc_curve(matches: Matches) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false marks an image and sensitivity at each threshold, from (0, 0) on."""
    false, hits = _down_to(matches)
    total = max(len(matches.owner), 1)
    images = max(len(matches.findings), 1)
    start = np.zeros(1)
    return np.concatenate([start, false / images]), np.concatenate([start, hits / total])


def _down_to(matches: Matches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (T,) false marks and hits down to each of T different scores."""
    ends = np.flatnonzero(np.diff(matches.score, append=-1.0))
    false = np.cumsum(~(matches.hit | matches.again), dtype=np.int64)
    return false[ends], np.cumsum(matches.hit, dtype=np.int64)[ends]
