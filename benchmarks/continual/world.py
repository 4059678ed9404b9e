"""The simulated programme: one fixed truth, from which a reference and years are drawn.

    world = World()
    reference = world.reference(np.random.default_rng(1))
    year = world.year(np.random.default_rng(2), "software_upgrade")

The same generator state gives the same women, scores and outcomes in every scenario up to
the day of its event, so that scenarios can be compared year by year. What is measured
and what is a choice stands at each number (`volumes`, `women`, `images`, `scores`,
`outcomes_delay`, `scenarios`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.continual.events import (
    Change,
    Effects,
    InjectedEvent,
    delay_outcomes,
    list_truth,
    rename_strata,
)
from benchmarks.continual.images import (
    Appearance,
    draw_channels,
    draw_detector,
    draw_flags,
)
from benchmarks.continual.outcomes_delay import Flags, draw_outcome_days
from benchmarks.continual.scenarios import plan_changes
from benchmarks.continual.scores import (
    draw_embedding,
    draw_scores,
    mix_embedding,
    stack_factors,
    to_logit,
    tune_operating_points,
)
from benchmarks.continual.volumes import (
    DAYS_IN_YEAR,
    EXAMS_PER_OPEN_DAY,
    REFERENCE_EXAMS,
    Floats,
    Ints,
    draw_schedule,
    list_strata,
    mean_volume,
)
from benchmarks.continual.women import draw_women
from monitoring.strata import Stratum


@dataclass(frozen=True)
class SimExams:
    """Exams in order of scoring.

    ``day`` (n,) is 0 on the year's first Monday and negative in the reference; ``stratum``
    (n,) indexes ``strata``; ``columns`` holds the scalar channels, each (n,) float64, NaN
    where a header lacks a value; ``embedding`` (n, 32) float32; ``cancer`` (n,) the truth
    within 24 months; ``recall`` (n,) is ``logit`` >= ``threshold``; ``outcome_day`` (n,)
    is when the outcome becomes known, inf where that is not within the time simulated;
    ``outcome_known_cancer`` (n,) is what is then known. ``patient`` (n,) tells women.
    """

    day: Ints
    stratum: Ints
    strata: list[Stratum]
    columns: dict[str, Floats]
    embedding: NDArray[np.float32]
    cancer: Flags
    recall: Flags
    logit: Floats
    threshold: Floats
    outcome_day: Floats
    outcome_known_cancer: Flags
    patient: Ints

    def __len__(self) -> int:
        """Return the number of exams."""
        return len(self.day)


@dataclass(frozen=True)
class SimYear(SimExams):
    """A year in service and the truth of what was injected, in order of day."""

    scenario: str
    days: int
    truth: list[InjectedEvent]


class World:
    """The programme's fixed truth: its fleet, how each scanner looks, the release's operating
    points. ``seed`` draws the fleet's looks; ``exams_per_open_day`` is the mean volume."""

    def __init__(self, seed: int = 2026, exams_per_open_day: float = EXAMS_PER_OPEN_DAY) -> None:
        rng = np.random.default_rng(seed)
        self.exams_per_open_day = exams_per_open_day
        self.strata = list_strata()
        self.appearance = Appearance.draw(rng)
        self.mixing = mix_embedding(rng)
        self.thresholds, self.programme_threshold = tune_operating_points(self.appearance)
        names = sorted({stratum.site for stratum in self.strata})
        self._site = np.array([names.index(stratum.site) for stratum in self.strata])

    def reference(self, rng: np.random.Generator) -> SimExams:
        """Draw the release's reference: about 12,000 exams of the year before, all matured."""
        days = np.arange(-7 * 52, 0)
        volume = REFERENCE_EXAMS / mean_volume(days).sum()
        return SimExams(**self._draw(rng, days, volume, [], np.inf, rng))

    def year(
        self, rng: np.random.Generator, scenario: str = "none", days: int = DAYS_IN_YEAR
    ) -> SimYear:
        """Draw a year in service with the scenario's events.

        Raises ValueError for an unknown scenario (the known ones are named).
        """
        rng, rng_events = rng.spawn(2)
        changes = plan_changes(self.strata, rng_events, scenario)
        changes = [change for change in changes if change.day < days]
        parts = self._draw(rng, np.arange(days), self.exams_per_open_day, changes, days, rng_events)
        truth = list_truth(changes, parts["strata"], parts["day"], parts["stratum"])
        return SimYear(**parts, scenario=scenario, days=days, truth=truth)

    def _draw(
        self,
        rng: np.random.Generator,
        days: Ints,
        volume: float,
        changes: Sequence[Change],
        horizon: float,
        rng_events: np.random.Generator,
    ) -> dict[str, Any]:
        """Return the fields of `SimExams`; draws of ``rng`` do not depend on ``changes``."""
        day, stratum = draw_schedule(rng, days, volume)
        effects = Effects.of(changes, day, stratum, rng_events)
        women = draw_women(rng, day, stratum, self._site[stratum], effects)
        detector = draw_detector(rng, day, stratum, len(self.strata))
        columns = draw_channels(rng, women, detector, stratum, self.appearance, effects)
        columns |= draw_flags(rng, stratum, self.appearance, effects)
        score = draw_scores(rng, women, detector, effects)
        # a change of the score alone (a fault behind the encoder) does not show in the embedding
        factors = stack_factors(women, detector, score - effects.score)
        embedding = draw_embedding(
            rng, factors, stratum, self.appearance.embedding, self.mixing, effects
        )
        logit = to_logit(score, self.appearance.score[stratum])
        decided = self._decide(logit, day, stratum, changes)
        outcome_day = draw_outcome_days(rng, day, decided["recall"], women.cancer)
        outcome_day = delay_outcomes(changes, outcome_day)
        outcome_day[outcome_day > horizon] = np.inf
        columns |= {"score": logit, "recall": decided["recall"].astype(float)}
        columns |= {"age_years": women.age_years}
        return decided | {
            "day": day,
            "columns": columns,
            "embedding": embedding,
            "cancer": women.cancer,
            "logit": logit,
            "outcome_day": outcome_day,
            "outcome_known_cancer": women.cancer & np.isfinite(outcome_day),
            "patient": women.first,
        }

    def _decide(
        self, logit: Floats, day: Ints, stratum: Ints, changes: Sequence[Change]
    ) -> dict[str, Any]:
        logged, strata, untuned = rename_strata(changes, day, stratum, self.strata)
        threshold = self.thresholds[stratum]
        threshold[np.isin(logged, untuned)] = self.programme_threshold
        recall = logit >= threshold
        return {"stratum": logged, "strata": strata, "threshold": threshold, "recall": recall}
