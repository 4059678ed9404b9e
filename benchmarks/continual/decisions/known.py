"""What a programme knows on a day: outcomes so far, and the exams that it may learn from.

A woman who was not recalled counts as healthy until her outcome says otherwise (a cancer
between two rounds, or at the next); from 60 days after her exam on, by when assessments
are done. So a release is trained, and the newest window judged, with the few missed
cancers among the healthy, as it is in a real programme. The golden set alone is of women
whose two years are over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.continual.decisions.exams import HELD, SEALED, Exams
from benchmarks.continual.decisions.learner import Labelled, for_training, thin
from benchmarks.continual.decisions.programme import Programme
from benchmarks.continual.outcomes_delay import Flags
from benchmarks.continual.volumes import DAYS_IN_YEAR, Floats, Ints

SETTLED_DAYS = 60
MATURE_DAYS = 2 * DAYS_IN_YEAR
REPLAY_EXAMS = 4000
SCHEDULED_DAYS = 2 * DAYS_IN_YEAR
"""Training by the calendar takes so many days of exams."""
GOLDEN_HEALTHY_PER_CANCER = 3
NEWEST_EXAMS = 4000


@dataclass
class Known:
    """A programme's exams under one policy: recalls and outcome days fill up week by week."""

    programme: Programme
    recall: Flags = field(init=False)
    outcome_day: Floats = field(init=False)
    since: Ints = field(init=False)
    """(strata,) first day from which on a stratum's exams are as now, so far as is known."""

    opened: int | None = None
    """First day of the sealed women where a person opened the set anew."""

    def __post_init__(self) -> None:
        exams = self.programme.exams
        self.recall = np.zeros(len(exams), dtype=bool)
        self.outcome_day = np.full(len(exams), np.inf)
        self.since = np.full(len(self.programme.strata), int(exams.day[0]))

    def rows(self, begin: int, end: int) -> slice:
        """Return the exams of the days ``begin`` to ``end``, the last one left out."""
        first, last = np.searchsorted(self.programme.exams.day, [begin, end])
        return slice(int(first), int(last))

    def take(self, rows: slice, recall: Flags) -> None:
        """Note whom the release recalled; her outcome comes the sooner."""
        sooner, later = self.programme.exams.outcome_day[:, rows]
        self.recall[rows] = recall
        self.outcome_day[rows] = np.where(recall, sooner, later)

    def cancers(self, rows: Ints | slice, day: int) -> Flags:
        """Return which of the exams are known to be cancers on the day."""
        return np.asarray(self.programme.exams.cancer[rows] & (self.outcome_day[rows] <= day))

    def focus_rows(self, strata: Sequence[int], since: int, day: int) -> Ints:
        """Return the settled exams of some strata since a day."""
        part = self.rows(since, day - SETTLED_DAYS)
        inside = np.isin(self.programme.exams.stratum[part], strata)
        return np.asarray(part.start + np.flatnonzero(inside))

    def training_cancers(self, strata: Sequence[int], since: int, day: int) -> int:
        """Return how many cancers of the strata are known that may be trained on."""
        rows = self.focus_rows(strata, since, day)
        usable = self.programme.exams.part[rows] >= HELD
        return int((self.cancers(rows, day) & usable).sum())

    def training(
        self, strata: Sequence[int], since: int, day: int, replay: bool, rng: np.random.Generator
    ) -> Labelled:
        """Return what a release is trained on: exams of the focus, and with ``replay`` others
        from when they were as they are now."""
        focus = self._labelled(self.focus_rows(strata, since, day), day)
        focus = thin(focus, rng)
        if not replay:
            return focus
        rows = self._current(day)
        exams = self.programme.exams
        old = rows[~(np.isin(exams.stratum[rows], strata) & (exams.day[rows] >= since))]
        if not len(old):
            return focus
        return focus.joined(thin(self._labelled(old, day), rng, REPLAY_EXAMS))

    def _current(self, day: int) -> Ints:
        """Return settled exams, as their strata are now so far as is known."""
        part = self.rows(int(self.programme.exams.day[0]), day - SETTLED_DAYS)
        exams = self.programme.exams
        inside = exams.day[part] >= self.since[exams.stratum[part]]
        return np.asarray(part.start + np.flatnonzero(inside))

    def scheduled(self, day: int, rng: np.random.Generator) -> Labelled:
        """Return all settled exams of the last two years, for a training by the calendar."""
        rows = self.focus_rows(range(len(self.programme.strata)), day - SCHEDULED_DAYS, day)
        return thin(self._labelled(rows, day), rng)

    def matured(self, day: int) -> Ints:
        """Return held-out exams whose two years are over, of strata that are still as they were.

        Falls back on all such exams where no stratum is as it was.
        """
        exams = self.programme.exams
        part = self.rows(day - MATURE_DAYS - SCHEDULED_DAYS, day - MATURE_DAYS)
        inside = (exams.part[part] >= SEALED) & (exams.part[part] < HELD)
        current = inside & (exams.day[part] >= self.since[exams.stratum[part]])
        return np.asarray(part.start + np.flatnonzero(current if current.any() else inside))

    def _labelled(self, rows: Ints, day: int) -> Labelled:
        rows = rows[for_training(self.programme.exams.at(rows))]
        exams = self.programme.exams.at(rows)
        return Labelled(exams, self.cancers(rows, day), np.ones(len(rows)))

    def newest(self, strata: Sequence[int], since: int, day: int) -> tuple[Exams, Flags]:
        """Return the newest exams of the focus that no release was trained on, and labels."""
        rows = self.focus_rows(strata, since, day)
        part = self.programme.exams.part[rows]
        rows = rows[(part >= SEALED) & (part < HELD)][-NEWEST_EXAMS:]
        return self.programme.exams.at(rows), self.cancers(rows, day)

    def golden(self, day: int) -> tuple[Exams, Flags]:
        """Return the sealed set on a day, and its labels.

        That of the start, and women sealed since whose two years are over, three healthy ones
        for each cancer. Where it was opened anew: women sealed since ``opened``, by what is
        known of them.
        """
        if self.opened is not None:
            rows = self._sealed(self.opened, day - SETTLED_DAYS, day)
            return self.programme.exams.at(rows), self.cancers(rows, day)
        rows = self._sealed(int(self.programme.exams.day[0]), day - MATURE_DAYS, day)
        both = _together(self.programme.golden, self.programme.exams.at(rows))
        return both, both.cancer

    def _sealed(self, begin: int, end: int, day: int) -> Ints:
        exams = self.programme.exams
        part = self.rows(begin, end)
        rows = part.start + np.flatnonzero(exams.part[part] < SEALED)
        cancer = self.cancers(rows, day)
        healthy = rows[~cancer]
        # by the woman's own luck: she stays in, or out, of every golden set to come
        order = np.argsort(exams.part[healthy])
        healthy = healthy[order][: GOLDEN_HEALTHY_PER_CANCER * int(cancer.sum())]
        return np.sort(np.concatenate([rows[cancer], healthy]))


def _together(one: Exams, other: Exams) -> Exams:
    if not len(other):
        return one
    return Exams(
        np.concatenate([one.day, other.day]),
        np.concatenate([one.stratum, other.stratum]),
        np.concatenate([one.features, other.features]),
        np.concatenate([one.cancer, other.cancer]),
        np.concatenate([one.part, other.part]),
        np.concatenate([one.outcome_day, other.outcome_day], axis=1),
    )
