"""What a release is truly worth on a day: AUC and recall rate of every scanner.

Computed on the truth's large sample, moved to where each scanner is on the day; nothing
that a programme could know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.continual.decisions.learner import Lines
from benchmarks.continual.decisions.programme import Programme
from benchmarks.continual.volumes import Floats, measure_shares
from benchmarks.continual.women import PREVALENCE

MOST_RAMP_DAYS = 366
"""Days after the end for which a state is known: a change that has not yet come in full."""
MOST_KEPT = 200
"""Pairs of sorted scores, 0.3 MB each."""
WATCHED_SHARE = 0.01
"""Scanners below this part of all exams are too small to be the worst one."""


@dataclass(frozen=True)
class Skill:
    """Of each of the fleet's strata, (S,): AUC within it."""

    auc: Floats

    @property
    def overall(self) -> float:
        """The AUC within scanners, by their share of exams."""
        return float(self.auc @ measure_shares())

    @property
    def worst(self) -> float:
        """The AUC of the worst scanner that has 1 % of the exams."""
        return float(self.auc[measure_shares() >= WATCHED_SHARE].min())

    def of(self, strata: tuple[int, ...]) -> float:
        """Return the AUC of some strata, by their share."""
        shares = measure_shares()[list(strata)]
        return float(self.auc[list(strata)] @ shares / shares.sum())


class Judge:
    """Judges releases against the truth of one programme; what was computed is kept."""

    def __init__(self, programme: Programme) -> None:
        self.programme, self.truth = programme, programme.truth
        self._states = [_list_states(programme, one) for one in range(programme.fleet)]
        self._scored: dict[tuple[object, ...], tuple[Floats, Floats]] = {}
        self._auc: dict[tuple[object, ...], float] = {}
        self._rates: dict[tuple[object, ...], float] = {}
        self._kept: list[Lines] = []

    def skill(self, lines: Lines, day: int) -> Skill:
        """Return the release's AUC on each stratum, as the world is on the day."""
        strata = range(self.programme.fleet)
        return Skill(np.array([self._auc_of(lines, one, day) for one in strata]))

    def recall_rates(self, lines: Lines, thresholds: Floats, day: int) -> Floats:
        """Return the true recall rate of each of the fleet's strata, (S,).

        ``thresholds`` (strata as logged,) are logits.
        """
        strata = range(self.programme.fleet)
        return np.array([self._rate_of(lines, thresholds, one, day) for one in strata])

    def _auc_of(self, lines: Lines, stratum: int, day: int) -> float:
        key = (self._number(lines), stratum, self._state(stratum, day))
        if key not in self._auc:
            healthy, cancers = self._scores(lines, stratum, self._state(stratum, day))
            below = np.searchsorted(healthy, cancers)
            self._auc[key] = float(below.mean() / len(healthy))
        return self._auc[key]

    def _rate_of(self, lines: Lines, thresholds: Floats, stratum: int, day: int) -> float:
        logged, weights = state = self._state(stratum, day)
        cut = float(thresholds[logged])
        key = (self._number(lines), stratum, state, cut)
        if key not in self._rates:
            healthy, cancers = self._scores(lines, stratum, state)
            above = 1 - np.searchsorted(healthy, cut) / len(healthy)
            part = PREVALENCE * self.truth.odds(weights)
            self._rates[key] = float((1 - part) * above + part * (cancers >= cut).mean())
        return self._rates[key]

    def _scores(self, lines: Lines, stratum: int, state: State) -> tuple[Floats, Floats]:
        """Return the logits of healthy women, sorted, and of cancers."""
        key = (self._number(lines), stratum, state)
        if key not in self._scored:
            healthy, cancers = self.truth.score(lines.line(state[0]), stratum, state[1])
            if len(self._scored) > MOST_KEPT:
                self._scored.clear()
            self._scored[key] = np.sort(healthy), cancers
        return self._scored[key]

    def _state(self, stratum: int, day: int) -> State:
        states = self._states[stratum]
        return states[min(max(day, -1) + 1, len(states) - 1)]

    def _number(self, lines: Lines) -> int:
        for place, one in enumerate(self._kept):
            if one is lines:
                return place
        self._kept.append(lines)
        return len(self._kept) - 1


State = tuple[int, tuple[float, ...]]
"""How a stratum is logged, and how far each change acts on it."""


def _list_states(programme: Programme, stratum: int) -> list[State]:
    """Return the stratum's state on the day before the first, and on each day in service."""
    days = np.arange(-1, programme.days + MOST_RAMP_DAYS)
    weights = programme.truth.weights(stratum, days)
    return [
        (programme.logged(stratum, int(day)), tuple(row))
        for day, row in zip(days, weights, strict=True)
    ]
