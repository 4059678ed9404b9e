"""Mean average precision and mean overlap, of many resamples at once.

``weights`` are (R, I): how often each image counts in each of R resamples; a row
of ones is the set itself. One class: where, not what. Source: COCO's evaluation
(Lin et al. 2014); tested equal to pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mammo.detection.matching import Matches

RECALLS = np.linspace(0.0, 1.0, 101)


def average_precision(matches: Matches, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the average precision of each resample, (R,); NaN where none has a finding.

    Precision is made falling and read at 101 recalls. A second box at a finding
    already taken is a false one.
    """
    return average_precisions([matches], weights)[:, 0]


def average_precisions(
    rules: Sequence[Matches], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the average precision of each resample by each of K rules, (R, K).

    ``rules`` are matchings of the same detections: what is marked down to each score
    is added up once. Precision is highest at a hit, so that it is read there only.
    """
    marks = np.cumsum(np.take(weights, rules[0].image, axis=1), axis=1)
    return np.stack([_of_rule(one, weights, marks) for one in rules], axis=1)


def _of_rule(
    matches: Matches, weights: NDArray[np.float64], marks: NDArray[np.float64]
) -> NDArray[np.float64]:
    at = np.flatnonzero(matches.hit)
    hits = np.cumsum(weights[:, matches.image[at]], axis=1)
    precision = np.divide(hits, marks[:, at], out=np.zeros_like(hits), where=hits > 0)
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = weights @ matches.findings
    return np.array([_area(*one) for one in zip(hits, falling, total, strict=True)], np.float64)


def _area(hits: NDArray[np.float64], falling: NDArray[np.float64], total: float) -> float:
    if not total:
        return float("nan")
    places = np.searchsorted(hits / total, RECALLS, side="left")
    reached = places[places < len(hits)]
    return float(falling[reached].sum() / len(RECALLS))


def mean_overlap(matches: Matches, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean intersection over union of the hits of each resample; NaN without one."""
    at = np.flatnonzero(matches.hit)
    each = weights[:, matches.image[at]]
    hits = each.sum(axis=1)
    summed = each @ matches.overlap[at]
    return np.divide(summed, hits, out=np.full(len(hits), np.nan), where=hits > 0)
