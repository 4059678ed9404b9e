"""Where, when and how large an event is, drawn anew for each year.

Days are uniform over the open days of 90 to 180, so that a rule has a quiet quarter
before, and half a year after. What is changed on a closed day shows on the next
open one; counting from there keeps weekends out of the delay. A small
scanner is drawn more often than its share (square root), so that years test them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.continual.events import EMBEDDING_WIDTH
from benchmarks.continual.volumes import Floats, is_open, measure_shares
from monitoring.strata import Stratum

EVENT_DAYS = (90, 180)
SIZES = (0.7, 1.3)
"""A choice: an event's size relative to what its scenario says; upgrades are not all alike."""
WATCHABLE_SHARE = 0.01
"""Strata below this part of all exams (2 of the fleet's 12) have no event of their own."""


@dataclass(frozen=True)
class Lot:
    """Draws where and how large: ``strata`` are the fleet's."""

    rng: np.random.Generator
    strata: Sequence[Stratum]

    def day(self) -> int:
        """Draw an open day."""
        days = np.arange(*EVENT_DAYS)
        return int(self.rng.choice(days[is_open(days)]))

    def size(self) -> float:
        """Draw how large an event of one kind is."""
        return float(self.rng.uniform(*SIZES))

    def sign(self) -> float:
        """Draw up or down."""
        return float(self.rng.choice([-1.0, 1.0]))

    def scanner(self, other_than: Sequence[int] = ()) -> tuple[int, ...]:
        """Draw a scanner; return all of its strata."""
        one = self.strata[self.stratum(other_than)]
        same = [(s.site, s.scanner) == (one.site, one.scanner) for s in self.strata]
        return tuple(int(place) for place in np.flatnonzero(same))

    def stratum(self, other_than: Sequence[int] = ()) -> int:
        """Draw a stratum that is large enough, by the square root of its share."""
        shares = measure_shares()
        weights = np.sqrt(shares) * (shares >= WATCHABLE_SHARE)
        weights[list(other_than)] = 0.0
        return int(self.rng.choice(len(shares), p=weights / weights.sum()))

    def site(self) -> tuple[int, ...]:
        """Draw a site; return its strata."""
        names = sorted({stratum.site for stratum in self.strata})
        name = names[self.rng.integers(len(names))]
        return tuple(i for i, stratum in enumerate(self.strata) if stratum.site == name)

    def direction(self, length: float) -> Floats:
        """Draw a displacement of the embedding, (32,), so many SD long."""
        vector = self.rng.standard_normal(EMBEDDING_WIDTH)
        return np.asarray(length * vector / np.linalg.norm(vector))
