"""What a release's reference says of outcomes: counts, placements of its cancers, the cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from monitoring.conformal import Floats
from monitoring.outcome_arm import OutcomeArm, concept_curve
from monitoring.outcome_bets import RankBook, RateBook
from monitoring.outcome_findings import Flags, OutcomeConfig
from monitoring.placement import placements

RECALLED, EVERYONE = "recalled", "everyone"
USUAL_SENSITIVITY = 0.7
"""Taken where the reference holds no cancer: a choice, near what double reading finds."""


@dataclass(frozen=True)
class OutcomeReference:
    """Counts of exams, and placements (NaN: not a cancer) with who is ranked at screening.

    ``counts``: exams with an outcome, cancers recalled, found (those of them above the
    cut), exams recalled, cancers missed, cancers ranked. ``cut`` is the placement of the
    recall threshold.
    """

    counts: dict[str, float]
    placed: Floats
    ranked: Flags
    cut: float

    @classmethod
    def of(
        cls,
        logit: ArrayLike,
        cancer: ArrayLike,
        recall: ArrayLike,
        stratum: ArrayLike | None,
        config: OutcomeConfig,
    ) -> Self:
        """Take arrays (n,); ``cancer`` may hold NaN, None or NA for unknown."""
        label = pd.Series(cancer).astype("Float64").to_numpy(float, na_value=np.nan)
        logits, found = np.asarray(logit, dtype=float), label == 1
        recalled = np.asarray(recall, dtype=bool)
        placed = np.full(len(logits), np.nan)
        placed[found] = placed_among(np.flatnonzero(found), logits, found, stratum, config)
        known = ~np.isnan(label)
        others = known & ~found if (known & ~found).any() else ~found
        cut = float(1 - recalled[others].mean()) if others.any() else 1.0
        ranked = recalled & (placed >= cut)
        counts = {
            "exams": known.sum(),
            "cancers": (found & recalled).sum(),
            "found": (found & recalled & ~(placed < cut)).sum(),
            "recalled": (known & recalled).sum(),
            "missed": (found & ~recalled).sum(),
            "ranked": ranked.sum(),
        }
        return cls({name: float(one) for name, one in counts.items()}, placed, ranked, cut)

    def arms(self, config: OutcomeConfig) -> dict[str, OutcomeArm]:
        """Return both arms with the books of the reference."""
        falls, ratios, none = np.array(config.falls), np.array(config.ratios), np.zeros(0)
        curve = concept_curve(sensitivity_of(self.counts))
        pairs = np.column_stack([falls, np.interp(falls, curve[1], curve[0])])
        cancers = self.counts["cancers"] + self.counts["missed"]
        screened = self._books(self.placed[self.ranked], self.counts["found"], config)
        every = self._books(self.placed, cancers, config)
        ring = config.ring_blocks
        return {
            RECALLED: OutcomeArm.start(falls, ratios, pairs, screened, ring),
            EVERYONE: OutcomeArm.start(falls, none, none.reshape(0, 2), every, ring),
        }

    def _books(
        self, placed: Floats, cancers: float, config: OutcomeConfig
    ) -> tuple[RankBook, RateBook]:
        exams = self.counts["exams"]
        kept = min(1.0, config.rate_cap / max(exams, 1.0))
        if config.reference_enriched:
            kept = 0.0
        rates = RateBook(kept * cancers, kept * (exams - cancers), config.rate_cap)
        return RankBook.start(placed, config.book_cap), rates


def sensitivity_of(counts: dict[str, float]) -> float:
    """Return the share of the reference's cancers that were found above the cut."""
    cancers = counts["cancers"] + counts["missed"]
    return counts["found"] / cancers if cancers else USUAL_SENSITIVITY


def placed_among(
    rows: NDArray[np.int64],
    logit: Floats,
    cancer: Flags,
    stratum: ArrayLike | None,
    config: OutcomeConfig,
) -> Floats:
    """Return `placements` with the settings' neighbours."""
    return placements(
        rows,
        logit,
        cancer,
        stratum,
        neighbours=config.neighbours,
        least=config.least_neighbours,
    )
