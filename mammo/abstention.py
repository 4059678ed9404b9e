"""When a score should not be relied on: codes that are told beside it.

The exam is scored and logged all the same; who reads the answer is told not to
go by it. Most codes come from what is known of the exam and its images.
OUT_OF_DISTRIBUTION comes from the release: the exam's embedding lies farther
from those of the reference exams than they lie from each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mammo.exam_report import Refused, ViewScore

ABSTENTION_CODES: dict[str, str] = {
    "OUT_OF_DISTRIBUTION": "The images look unlike the exams that the release was tried on.",
    "UNKNOWN_SCANNER": "The release has no operating point for this scanner.",
    "MISSING_VIEW": "The exam lacks a CC or MLO of either breast.",
    "NO_BREAST_FOUND": "In an image no breast stood out from the background.",
    "SATURATED": "Over a quarter of a breast is at either end of the window.",
    "LOW_CONTRAST": "A breast spans less than a twentieth of the window.",
    "CONTRAST_ENHANCED": "An image was taken with contrast medium: no screening mammogram.",
}
"""Code -> why the score should not be relied on."""

OF_VIEWS = {"WHOLE_IMAGE": "NO_BREAST_FOUND"} | {
    code: code for code in ("SATURATED", "LOW_CONTRAST", "CONTRAST_ENHANCED")
}
"""Quality code of a view that was pooled -> abstention code."""
OF_EXAM = frozenset(("MISSING_VIEW", "UNKNOWN_SCANNER"))

FALSE_RATE = 0.01
"""Part of exams like the reference that are called foreign."""
NEIGHBOURS = 5
MIN_EXAMS = 100
"""With fewer than 1 / `FALSE_RATE` the threshold would be a guess."""


@dataclass(frozen=True, eq=False)
class Familiarity:
    """How near an exam is to the reference: the mean distance to its nearest ones.

    ``points`` (N, 32) are the reference embeddings, each dimension divided by its
    ``spread`` (32,); ``threshold`` is the distance beyond which an exam is foreign.
    """

    points: NDArray[np.float64]
    spread: NDArray[np.float64]
    threshold: float

    @classmethod
    def fit(cls, embeddings: NDArray[np.floating]) -> Self | None:
        """Learn from reference embeddings (N, 32); None for fewer than `MIN_EXAMS`.

        The threshold is the conformal quantile of the distances that each reference
        exam has from the others (leave one out): of new exams like them,
        `FALSE_RATE` lie beyond it.
        """
        known = np.asarray(embeddings, np.float64)
        known = known[np.isfinite(known).all(axis=1)]
        if len(known) < MIN_EXAMS:
            return None
        spread = np.maximum(known.std(axis=0), 1e-9)
        points = known / spread
        apart = np.linalg.norm(points[:, None] - points[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        own = np.sort(apart, axis=1)[:, :NEIGHBOURS].mean(axis=1)
        place = min(len(own), int(np.ceil((len(own) + 1) * (1 - FALSE_RATE))))
        return cls(points, spread, float(np.sort(own)[place - 1]))

    def distance(self, embedding: NDArray[np.floating]) -> float:
        """Return how far an exam's embedding (32,) is from the reference, at least 0."""
        apart = np.linalg.norm(self.points - np.asarray(embedding) / self.spread, axis=1)
        return float(np.partition(apart, NEIGHBOURS)[:NEIGHBOURS].mean())

    def is_foreign(self, embedding: NDArray[np.floating]) -> bool:
        """True for an exam beyond the threshold."""
        return self.distance(embedding) > self.threshold


def abstention_codes(
    views: Sequence[ViewScore],
    refused: Iterable[Refused],
    quality: Iterable[str],
    *,
    foreign: bool,
) -> tuple[str, ...]:
    """Return why an exam's score should not be relied on, sorted; empty when nothing says so.

    ``quality`` are the exam's codes. Of a view that was not pooled nothing counts:
    the score does not rest on it.
    """
    codes = set(quality) & OF_EXAM
    codes |= {
        OF_VIEWS[code] for view in views if view.pooled for code in view.quality if code in OF_VIEWS
    }
    codes |= {one.code for one in refused if one.code == "NO_BREAST_FOUND"}
    if foreign:
        codes.add("OUT_OF_DISTRIBUTION")
    return tuple(sorted(codes))
