"""FROC: of the findings, how many are marked at so many false marks an image.

Source: Chakraborty & Winter 1990, doi:10.1148/radiology.174.3.2305073. A second mark on a
finding that has one is neither a hit nor false, as is usual for CAD: it costs a
reader nothing. Marks are counted on all images, those without a finding as well.
"""

from __future__ import annotations

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
    false, hits = _counts(matches, weights)
    total = weights @ matches.findings
    allowed = false_marks * weights.sum(axis=1) + 1e-9
    shown = (false <= allowed[:, None]).sum(axis=1)
    marked = np.concatenate([np.zeros((len(hits), 1)), hits], axis=1)
    found = marked[np.arange(len(hits)), shown]
    return np.divide(found, total, out=np.full(len(total), np.nan), where=total > 0)


def froc_curve(matches: Matches) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false marks an image and sensitivity at each threshold, from (0, 0) on."""
    ones = np.ones((1, len(matches.findings)))
    false, hits = _counts(matches, ones)
    total = max(int(matches.findings.sum()), 1)
    images = max(len(matches.findings), 1)
    start = np.zeros(1)
    return np.concatenate([start, false[0] / images]), np.concatenate([start, hits[0] / total])


def _counts(
    matches: Matches, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (R, T) false marks and hits down to each of T different scores."""
    ends = np.flatnonzero(np.diff(matches.score, append=-1.0))
    each = weights[:, matches.image]
    false = np.cumsum(each * ~(matches.hit | matches.again), axis=1)
    hits = np.cumsum(each * matches.hit, axis=1)
    return false[:, ends], hits[:, ends]
