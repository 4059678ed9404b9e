"""The scale from 1 to 10 that is told beside a probability.

A probability of cancer in screening is a small number that few people can judge.
The scale says where it stands among exams that the release knows: class k holds
the k-th tenth of the release's reference exams, by calibrated probability, so
that 10 is the highest tenth. It is a rank and no risk: what a class means in
cancers depends on where the reference comes from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
MIN_EXAMS = 50
"""Fewer exams than five a class say nothing about tenths."""


@dataclass(frozen=True, eq=False)
class DecileScale:
    """``edges`` are the 9 probabilities between the classes, ascending, in [0, 1]."""

    edges: NDArray[np.float64]

    @classmethod
    def fit(cls, probabilities: Iterable[float]) -> Self | None:
        """Return the scale of these reference exams; None for fewer than `MIN_EXAMS`.

        What is not finite is left out. Where many exams have the same probability (a
        stepped calibration), they are all of the highest class that they reach, and
        the classes below hold less than a tenth.
        """
        known = np.asarray(list(probabilities), dtype=np.float64)
        known = known[np.isfinite(known)]
        if len(known) < MIN_EXAMS:
            return None
        return cls(np.quantile(known, np.arange(1, CLASSES) / CLASSES))

    def of(self, probability: float) -> int:
        """Return the class of a calibrated probability, 1 to 10."""
        return 1 + int(np.searchsorted(self.edges, probability, side="right"))
