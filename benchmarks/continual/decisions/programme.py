"""A programme's years, drawn once and given to every policy.

    programme = draw_programme(number=0, years=5)

Outcomes come sooner for recalled women, so that they hang on what the policy recalls.
Features are standardised on the years before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.continual.decisions.exams import ENRICHED, Exams, enrich, see_exams
from benchmarks.continual.decisions.happenings import Happening, plan_happenings, turned
from benchmarks.continual.decisions.truth import Moves, Truth, draw_sample, make_truth
from benchmarks.continual.events import Effects, rename_strata
from benchmarks.continual.lot import Lot
from benchmarks.continual.volumes import DAYS_IN_YEAR, Floats, Ints, draw_schedule
from benchmarks.continual.world import World
from monitoring.strata import Stratum

YEARS_BEFORE = 2
"""Years of matured exams that the first release is trained on."""
GOLDEN_EXAMS, GOLDEN_CANCERS = 2000, 500
"""The sealed set at the start, cancers enriched: as many as the gate's defaults are made for,
with fewer healthy women, for time."""


@dataclass(frozen=True)
class Programme:
    """The years before (days below 0) and in service, the golden set at the start, the truth."""

    number: int
    days: int
    exams: Exams
    golden: Exams
    truth: Truth
    happenings: tuple[Happening, ...]
    strata: tuple[Stratum, ...]
    fleet: int

    def logged(self, stratum: int, day: int) -> int:
        """Return under which stratum a scanner of the fleet writes its exams on a day."""
        found = stratum
        changes = [one.change for one in self.happenings if one.change and one.change.becomes]
        for place, change in enumerate(changes):
            if stratum in change.strata and day >= change.day:
                found = self.fleet + place
        return found

    def concerned(self, happening: Happening) -> tuple[int, ...]:
        """Return the fleet's strata concerned, all of them for the whole programme."""
        return happening.strata or tuple(range(self.fleet))


def draw_programme(number: int, years: int, seed: int = 0, volume: float = 150.0) -> Programme:
    """Draw a programme of its own fleet; ``volume`` exams come on an open day.

    Raises ValueError below two years: the last one is quiet.
    """
    if years < 2:
        raise ValueError(f"a programme has at least 2 years, found {years}")
    rng, rng_lot, rng_truth = np.random.default_rng([seed, 3, number]).spawn(3)
    world = World(2026 + number)
    happenings = plan_happenings(Lot(rng_lot, world.strata), years)
    sample = draw_sample(rng_truth, world)
    moves = _moves(happenings, sample, rng_lot)
    days = np.arange(-YEARS_BEFORE * DAYS_IN_YEAR, years * DAYS_IN_YEAR)
    exams, strata = _draw_exams(rng, world, days, volume, moves)
    golden = _draw_golden(rng, world)
    truth = make_truth(sample, world, moves)
    scale = _standard(exams)
    return Programme(
        number, years * DAYS_IN_YEAR, scale.exams(exams), scale.exams(golden),
        scale.truth(truth), tuple(happenings), tuple(strata), len(world.strata),
    )  # fmt: skip


def _moves(happenings: Sequence[Happening], seen: Exams, rng: np.random.Generator) -> Moves:
    """Return each change with what it adds to cancers' embedding, (32,)."""
    healthy = seen.features[~seen.cancer, :-1].astype(float)
    direction = seen.features[seen.cancer, :-1].mean(axis=0) - healthy.mean(axis=0)
    covariance = np.cov(healthy.T)
    return [
        (one.change, turned(direction, one.turn, covariance, rng))
        for one in happenings
        if one.change is not None
    ]


def _draw_exams(
    rng: np.random.Generator, world: World, days: Ints, volume: float, moves: Moves
) -> tuple[Exams, list[Stratum]]:
    changes = [change for change, _ in moves]
    day, stratum = draw_schedule(rng, days, volume)
    effects = Effects.of(changes, day, stratum, rng)
    exams = see_exams(rng, world, day, stratum, effects)
    for change, turn in moves:
        weight = change.touches(day, stratum, rng) * exams.cancer
        rows = np.flatnonzero(weight)
        exams.features[rows, :-1] += np.outer(weight[rows], turn).astype(np.float32)
    logged, strata, _ = rename_strata(changes, day, stratum, world.strata)
    exams.stratum[:] = logged
    return exams, strata


def _draw_golden(rng: np.random.Generator, world: World) -> Exams:
    """Draw the sealed set: cancers of the years before, and others, of the fleet as it was."""
    n = int(1.3 * GOLDEN_CANCERS / ENRICHED)
    days = np.sort(rng.integers(-5 * DAYS_IN_YEAR, -2 * DAYS_IN_YEAR, n))
    _, stratum = draw_schedule(rng, np.arange(7), 1.0 * n)
    drawn = see_exams(rng, world, days, stratum[:n], enrich(ENRICHED))
    rows = np.concatenate(
        [
            np.flatnonzero(drawn.cancer)[:GOLDEN_CANCERS],
            np.flatnonzero(~drawn.cancer)[: GOLDEN_EXAMS - GOLDEN_CANCERS],
        ]
    )
    return drawn.at(np.sort(rows))


@dataclass(frozen=True)
class _Standard:
    """The middle (33,) and a triangle (33, 33) that make the features white in healthy women."""

    middle: Floats
    whiten: Floats

    def exams(self, exams: Exams) -> Exams:
        white = ((exams.features - self.middle) @ self.whiten).astype(np.float32)
        return Exams(exams.day, exams.stratum, white, exams.cancer, exams.part, exams.outcome_day)

    def truth(self, truth: Truth) -> Truth:
        return Truth(
            truth.healthy @ self.whiten,
            truth.cancers @ self.whiten,
            (truth.levels - self.middle) @ self.whiten,
            (truth.age[0] @ self.whiten, truth.age[1] @ self.whiten),
            truth.age_more,
            tuple((one, all_ @ self.whiten, turn @ self.whiten) for one, all_, turn in truth.moves),
        )


def _standard(exams: Exams) -> _Standard:
    """Learn the standard from the healthy women of the years before, within strata."""
    rows = (exams.day < 0) & ~exams.cancer
    features, stratum = exams.features[rows].astype(float), exams.stratum[rows]
    within = features.copy()
    for place in np.unique(stratum):
        within[stratum == place] -= features[stratum == place].mean(axis=0)
    triangle = np.linalg.cholesky(np.linalg.inv(np.cov(within.T)))
    return _Standard(features.mean(axis=0), np.asarray(triangle, dtype=float))
