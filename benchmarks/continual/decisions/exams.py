"""Exams as a release sees them, and how they are drawn.

Women, scanners and their looks are those of `benchmarks.continual.world`. A release sees
each exam's embedding (32 numbers) and the woman's age.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.continual.events import EMBEDDING_WIDTH, Effects
from benchmarks.continual.images import draw_detector
from benchmarks.continual.outcomes_delay import Flags, draw_outcome_days
from benchmarks.continual.scores import draw_embedding, draw_scores, stack_factors
from benchmarks.continual.volumes import Floats, Ints
from benchmarks.continual.women import AGE_MEAN_YEARS, AGE_SPREAD_YEARS, PREVALENCE, draw_women
from benchmarks.continual.world import World

SEALED, HELD = 0.15, 0.40
"""Of all women: sealed for the gate; up to here, kept from training for the newest window."""
ENRICHED = 0.1
"""Part of cancers where they are drawn for their own sake: not so many that the rise of the
risk with age, which ends at one half, would be lost."""
WIDTH = EMBEDDING_WIDTH + 1
"""What a release sees: the embedding and the age."""


@dataclass(frozen=True)
class Exams:
    """Exams in order of scoring: ``features`` (n, 33) float32, standardised; ``stratum`` (n,)
    as logged; ``part`` (n,) in [0, 1) is drawn by woman; ``outcome_day`` is known when she
    is recalled (first row) and when not (second), (2, n)."""

    day: Ints
    stratum: Ints
    features: NDArray[np.float32]
    cancer: Flags
    part: Floats
    outcome_day: Floats

    def __len__(self) -> int:
        """Return the number of exams."""
        return len(self.day)

    def at(self, rows: NDArray[np.generic]) -> Exams:
        """Return some of the exams."""
        return Exams(
            self.day[rows],
            self.stratum[rows],
            self.features[rows],
            self.cancer[rows],
            self.part[rows],
            self.outcome_day[:, rows],
        )


def see_exams(
    rng: np.random.Generator, world: World, day: Ints, stratum: Ints, effects: Effects
) -> Exams:
    """Draw women and what is seen of them; features are not yet standardised."""
    sites = np.array([one.site == "site 2" for one in world.strata], dtype=int)
    women = draw_women(rng, day, stratum, sites[stratum], effects)
    detector = draw_detector(rng, day, stratum, len(world.strata))
    score = draw_scores(rng, women, detector, effects)
    factors = stack_factors(women, detector, score)
    embedding = draw_embedding(
        rng, factors, stratum, world.appearance.embedding, world.mixing, effects
    )
    age = ((women.age_years - AGE_MEAN_YEARS) / AGE_SPREAD_YEARS).astype(np.float32)
    return Exams(
        day,
        stratum.copy(),
        np.column_stack([embedding, age]),
        women.cancer,
        rng.random(len(day))[women.first],
        _outcome_days(rng, day, women.cancer),
    )


def _outcome_days(rng: np.random.Generator, day: Ints, cancer: Flags) -> Floats:
    """Return when an outcome is known if recalled and if not, (2, n), by the same luck."""
    seed = int(rng.integers(2**63))
    everyone = np.ones(len(day), dtype=bool)
    return np.stack(
        [
            draw_outcome_days(np.random.default_rng(seed), day, recall, cancer)
            for recall in (everyone, ~everyone)
        ]
    )


def enrich(share: float) -> Effects:
    """Return the effect that makes about so many of the exams cancers."""
    return Effects(log_odds=float(np.log(share / PREVALENCE)))
