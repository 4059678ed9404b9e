"""What may happen to a programme, as numbers: one `Change` per event, added up per exam.

Sizes are in SD of the channel among one stratum's exams unless a name says otherwise.
A change acts on the strata named, from its day on, at once or over a ramp, on all of
their exams or on a random part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from benchmarks.continual.volumes import Floats, Ints
from monitoring.strata import Stratum

Cause = Literal["data_fault", "acquisition", "prevalence", "concept", "software_version"]
IMAGE_CHANNELS = ("mean_intensity", "contrast", "sharpness", "noise", "breast_fraction")
HEADER_CHANNELS = ("thickness_mm", "compression_n", "kvp", "exposure_mas")
CHANNELS = IMAGE_CHANNELS + HEADER_CHANNELS
EMBEDDING_WIDTH = 32


@dataclass(frozen=True)
class InjectedEvent:
    """The truth of one event: its first day, cause, strata concerned, and what it was.

    ``strata`` are indices into the year's strata, new ones among them; empty means all.
    """

    day: int
    cause: Cause
    strata: tuple[int, ...]
    what: str


@dataclass(frozen=True)
class Change:
    """One injected change.

    ``strata`` are indices of the fleet's strata (empty: all); with ``becomes`` their exams
    go on under that stratum. ``channels`` holds shifts of image and header channels,
    ``embedding`` (32,) a displacement in SD of each axis, ``separation`` what is added to
    the distance between cancers and others, ``age_years`` to the women's ages, ``odds``
    multiplies the odds of cancer, ``missing`` and ``quality`` are added rates in 0..1,
    ``outcome_days`` delay all outcomes that would arrive after the day. ``untuned`` says
    that the new stratum has no operating point of its own and works by the programme's.
    """

    day: int
    cause: Cause
    what: str
    strata: tuple[int, ...] = ()
    part: float = 1.0
    ramp_days: int = 0
    score: float = 0.0
    channels: Mapping[str, float] = field(default_factory=dict)
    embedding: Floats | None = None
    separation: float = 0.0
    age_years: float = 0.0
    odds: float = 1.0
    missing: float = 0.0
    quality: float = 0.0
    outcome_days: float = 0.0
    becomes: Stratum | None = None
    untuned: bool = False

    def touches(self, day: Ints, stratum: Ints, rng: np.random.Generator) -> Floats:
        """Return how far the change acts on each exam, (n,) in 0..1."""
        since = day - self.day
        weight = np.where(since >= 0, 1.0, 0.0)
        if self.ramp_days:
            weight *= np.clip((since + 1) / self.ramp_days, 0.0, 1.0)
        if self.strata:
            weight *= np.isin(stratum, self.strata)
        if self.part < 1:
            weight *= rng.random(len(day)) < self.part
        return weight


@dataclass
class Effects:
    """All changes of a year, added up per exam: each (n,), or a scalar where nothing acts."""

    score: Floats | float = 0.0
    separation: Floats | float = 0.0
    age_years: Floats | float = 0.0
    log_odds: Floats | float = 0.0
    missing: Floats | float = 0.0
    quality: Floats | float = 0.0
    channels: dict[str, Floats] = field(default_factory=dict)
    embedding: list[tuple[Floats, Floats]] = field(default_factory=list)
    """Pairs of weight (n,) and displacement (32,)."""

    @classmethod
    def of(
        cls, changes: Sequence[Change], day: Ints, stratum: Ints, rng: np.random.Generator
    ) -> Effects:
        """Add up ``changes`` for exams in order."""
        effects = cls()
        for change in changes:
            effects.add(change, change.touches(day, stratum, rng))
        return effects

    def add(self, change: Change, weight: Floats) -> None:
        """Add one change that acts on each exam by ``weight`` (n,)."""
        for name in ("score", "separation", "age_years", "missing", "quality"):
            if size := getattr(change, name):
                setattr(self, name, getattr(self, name) + size * weight)
        if change.odds != 1:
            self.log_odds = self.log_odds + np.log(change.odds) * weight
        for name, size in change.channels.items():
            self.channels[name] = self.channels.get(name, 0.0) + size * weight
        if change.embedding is not None:
            self.embedding.append((weight, change.embedding))


def rename_strata(
    changes: Sequence[Change], day: Ints, stratum: Ints, strata: Sequence[Stratum]
) -> tuple[Ints, list[Stratum], list[int]]:
    """Return strata as logged: indices (n,), all strata, and the untuned ones' indices."""
    logged, known, untuned = stratum.copy(), list(strata), []
    for change in changes:
        if change.becomes is None:
            continue
        logged[np.isin(stratum, change.strata) & (day >= change.day)] = len(known)
        untuned += [len(known)] if change.untuned else []
        known.append(change.becomes)
    return logged, known, untuned


def list_truth(
    changes: Sequence[Change], strata: Sequence[Stratum], day: Ints, stratum: Ints
) -> list[InjectedEvent]:
    """Return what was injected, in order of day; a mere delay of outcomes is no event.

    ``day`` and ``stratum`` (n,) are the exams as logged: an event's day is that of the first
    exam concerned (the smallest scanners have days without any); one without exams is none.
    """
    events = []
    for change in changes:
        new = (strata.index(change.becomes),) if change.becomes else ()
        places = change.strata + new
        concerned = day[(day >= change.day) & (np.isin(stratum, places) | (not places))]
        if len(concerned) and not change.outcome_days:
            events.append(InjectedEvent(int(concerned[0]), change.cause, places, change.what))
    return sorted(events, key=lambda event: event.day)


def delay_outcomes(changes: Sequence[Change], outcome_day: Floats) -> Floats:
    """Return outcome days, (n,), with those delayed that would arrive after a delay began."""
    for change in changes:
        if change.outcome_days:
            late = outcome_day >= change.day
            outcome_day = np.where(late, outcome_day + change.outcome_days, outcome_day)
    return outcome_day
