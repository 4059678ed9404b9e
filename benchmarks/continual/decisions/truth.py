"""The truth of a programme, for every scanner and day.

It is computed, not measured on the years: one large sample of women stands for every
scanner, moved to where a scanner and a day put it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.continual.decisions.exams import ENRICHED, WIDTH, Exams, enrich, see_exams
from benchmarks.continual.events import EMBEDDING_WIDTH, Change, Effects
from benchmarks.continual.scores import SPECTRUM
from benchmarks.continual.volumes import DAYS_IN_YEAR, Floats, Ints, list_machines
from benchmarks.continual.women import AGE_MEAN_YEARS, AGE_SPREAD_YEARS
from benchmarks.continual.world import World

HEALTHY, CANCERS = 30_000, 4000
"""The truth's sample: the recall rate's own error is 1.7 % of it, an AUC's 0.003."""
Moves = list[tuple[Change, Floats]]
"""Changes, each with what it adds to cancers' embedding, (32,)."""


@dataclass(frozen=True)
class Truth:
    """Healthy women (n, 33) and cancers (m, 33) of no scanner, and where each domain puts them.

    ``levels`` (S, 33) is where each of the fleet's strata lies. Its women differ in age more or
    less than the sample's: ``age`` holds what one SD of age does to each woman of either group
    beyond her own, (n, 33) and (m, 33), ``age_more`` (S,) how often it is added. Each of
    ``moves`` is a change, what it adds to all exams and what to cancers, each (33,).
    """

    healthy: Floats
    cancers: Floats
    levels: Floats
    age: tuple[Floats, Floats]
    age_more: Floats
    moves: tuple[tuple[Change, Floats, Floats], ...]

    def score(self, line: Floats, stratum: int, weights: Sequence[float]) -> tuple[Floats, Floats]:
        """Return the logits of healthy women (n,) and cancers (m,) by a line (34,)."""
        everyone, cancers = self.levels[stratum].copy(), np.zeros(WIDTH)
        for weight, (_, moved, turn) in zip(weights, self.moves, strict=True):
            everyone += weight * moved
            cancers += weight * turn
        more, slope = self.age_more[stratum], line[:-1]
        base = float(everyone @ slope + line[-1])
        healthy = (self.healthy + more * self.age[0]) @ slope + base
        return healthy, (self.cancers + more * self.age[1] + cancers) @ slope + base

    def odds(self, weights: Sequence[float]) -> float:
        """Return by what the odds of cancer are multiplied."""
        odds = [move[0].odds for move in self.moves]
        return float(np.prod([one**w for one, w in zip(odds, weights, strict=True)]))

    def weights(self, stratum: int, days: Ints) -> Floats:
        """Return how far each change acts on a stratum on days, (days, changes) in quarters."""
        rng = np.random.default_rng(0)  # no change here acts on a part of the exams
        places = np.full(len(days), stratum)
        acts = [change.touches(days, places, rng) for change, _, _ in self.moves]
        return np.round(np.array(acts).T.reshape(len(days), -1) * 4) / 4


def draw_sample(rng: np.random.Generator, world: World) -> Exams:
    """Draw women of one scanner, whose level is then taken off: of no scanner."""
    n = int(max(1.05 * HEALTHY, 1.2 * CANCERS / ENRICHED))
    day, stratum = np.sort(np.arange(n) % DAYS_IN_YEAR), np.zeros(n, dtype=np.int64)
    usual = see_exams(rng, world, day, stratum, Effects())
    rich = see_exams(rng, world, day, stratum, enrich(ENRICHED))
    usual = usual.at(np.flatnonzero(~usual.cancer)[:HEALTHY])
    rich = rich.at(np.flatnonzero(rich.cancer)[:CANCERS])
    features = np.concatenate([usual.features, rich.features])
    features[:, :-1] -= (SPECTRUM * world.appearance.embedding)[0].astype(np.float32)
    return replace(usual, features=features, cancer=np.arange(len(features)) >= len(usual))


def make_truth(sample: Exams, world: World, moves: Moves) -> Truth:
    """Return the truth from a sample of no scanner, the fleet's looks and the changes."""
    features, machines = sample.features.astype(float), list_machines()
    age = np.array([(one.age_mean - machines[0].age_mean) / AGE_SPREAD_YEARS for one in machines])
    spread = np.array([one.age_sd for one in machines]) / machines[0].age_sd
    middle = (machines[0].age_mean - AGE_MEAN_YEARS) / AGE_SPREAD_YEARS
    own = np.zeros_like(features)
    own[:, -1] = features[:, -1] - middle
    return Truth(
        features[~sample.cancer],
        features[sample.cancer],
        np.column_stack([SPECTRUM * world.appearance.embedding, age]),
        (own[~sample.cancer], own[sample.cancer]),
        spread - 1,
        tuple((change, _pad(SPECTRUM * _shift(change)), _pad(turn)) for change, turn in moves),
    )


def _shift(change: Change) -> Floats:
    return np.zeros(EMBEDDING_WIDTH) if change.embedding is None else change.embedding


def _pad(vector: Floats) -> Floats:
    return np.append(vector, 0.0)
