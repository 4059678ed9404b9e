"""The rules in common use, on the same exams: daily PSI, daily KS, Evidently's preset.

Each looks at the whole programme in windows and compares every channel with the
reference; none knows strata, none has a memory, and each raises an alarm on every window
in which its threshold is passed. They are given what they would be given in practice: all
scalar channels of the log and three axes of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.continual.rules import Alarm, Learnt, Rule
from benchmarks.continual.windows import (
    Floats,
    Ints,
    ReferenceColumn,
    Tested,
    learn_columns,
    test_windows,
)

if TYPE_CHECKING:
    from benchmarks.continual.world import SimExams, SimYear

PSI_LIMIT = 0.1
"""0.1 is where the usual reading of PSI begins to say "moderate change" (Siddiqi 2006)."""
LEVEL = 0.05
DISTANCE_LIMIT = 0.1
DRIFT_SHARE = 0.5
"""Evidently 0.7: p < 0.05 up to 1000 reference rows, distance >= 0.1 above; half the columns."""
POLICY_WINDOW = 1000
"""Exams that one run of the monitor compares when its policy is `evidently`."""
EMBEDDING_AXES = 2


@dataclass(frozen=True)
class KnownReference:
    """What the peers learn: each channel's column, and the embedding's leading axes."""

    columns: dict[str, ReferenceColumn]
    mean: Floats
    axes: Floats

    @classmethod
    def of(cls, reference: SimExams) -> KnownReference:
        """Learn channels and the whitened principal axes (32, 32) of the reference."""
        embedding = np.asarray(reference.embedding, dtype=np.float64)
        mean = embedding.mean(axis=0)
        spread, vectors = np.linalg.eigh(np.cov(embedding - mean, rowvar=False))
        axes = (vectors / np.sqrt(np.maximum(spread, 1e-12)))[:, ::-1]
        return cls(learn_columns(peer_columns(reference, mean, axes)), mean, axes)


def peer_columns(exams: SimExams, mean: Floats, axes: Floats) -> dict[str, Floats]:
    """Return the channels of exams (n,): scalars, two embedding axes and its distance."""
    white = (np.asarray(exams.embedding, dtype=np.float64) - mean) @ axes
    named = {f"embedding_{i + 1}": white[:, i] for i in range(EMBEDDING_AXES)}
    return {**exams.columns, **named, "embedding_distance": np.linalg.norm(white, axis=1)}


class YearTests:
    """A year's windows, tested once for all peers (of one year: the last one is kept)."""

    def __init__(self) -> None:
        self._reference = Learnt(KnownReference.of)
        self._kept: dict[int, Tested] = {}
        self._year: SimYear | None = None

    def of(self, year: SimYear, reference: SimExams, window: int) -> Tested:
        """Return what the tests say of each day (``window`` 0) or of each run of exams."""
        if self._year is not year:
            self._year, self._kept = year, {}
        if window not in self._kept:
            known = self._reference.of(reference)
            columns = peer_columns(year, known.mean, known.axes)
            bounds = run_bounds(len(year.day), window) if window else day_bounds(year.day)
            self._kept[window] = test_windows(columns, year.day, bounds, known.columns)
        return self._kept[window]


def day_bounds(day: Ints) -> Ints:
    """Return where each day with exams begins (K + 1,); the last is the number of exams."""
    return np.concatenate([[0], np.flatnonzero(np.diff(day)) + 1, [len(day)]])


def run_bounds(exams: int, window: int) -> Ints:
    """Return the bounds of full runs of ``window`` exams; a begun one waits for its exams."""
    return np.arange(0, exams + 1, window)


@dataclass(frozen=True)
class WindowRule:
    """Alarms on every window whose statistic reaches ``limit``; see `Rule`."""

    name: str
    title: str
    statistic: Callable[[Tested], Floats]
    limit: float
    tests: YearTests
    window: int = 0

    def run(self, year: SimYear, reference: SimExams) -> list[Alarm]:
        """Return an alarm for each window at or beyond the limit."""
        tested = self.tests.of(year, reference, self.window)
        hit = self.statistic(tested) >= self.limit
        return [Alarm(int(day), confirmed=True) for day in tested.last_day[hit]]


def largest_psi(tested: Tested) -> Floats:
    """Return the largest PSI of any channel, per window."""
    return np.asarray(np.nanmax(tested.psi, axis=1))


def smallest_p(tested: Tested) -> Floats:
    """Return -log10 of the smallest p-value of any channel, per window."""
    return np.asarray(-np.log10(np.maximum(np.nanmin(tested.p, axis=1), 1e-300)))


def bonferroni_p(tested: Tested) -> Floats:
    """Return the same, of the p-value times the number of channels tested."""
    channels = np.isfinite(tested.p).sum(axis=1)
    return np.asarray(smallest_p(tested) - np.log10(channels))


def drifted_share_p(tested: Tested) -> Floats:
    """Return the share of channels with p below 0.05: Evidently with pinned tests."""
    return _share(tested.p < LEVEL, tested)


def drifted_share_distance(tested: Tested) -> Floats:
    """Return the share of channels with a distance of at least 0.1: Evidently as shipped.

    Its choice for a reference of more than 1000 rows: Wasserstein in SD, Jensen-Shannon
    for yes/no.
    """
    return _share(tested.distance >= DISTANCE_LIMIT, tested)


def _share(drifted: np.ndarray, tested: Tested) -> Floats:
    return np.asarray(drifted.sum(axis=1) / np.maximum(np.isfinite(tested.p).sum(axis=1), 1))


def peers(tests: YearTests) -> list[Rule]:
    """Return the peers at the thresholds that they are used with."""
    level = -np.log10(LEVEL)
    return [
        WindowRule("psi_daily", "daily PSI > 0.1, any channel", largest_psi, PSI_LIMIT, tests),
        WindowRule("ks_any", "daily KS p < 0.05, any channel", smallest_p, level, tests),
        WindowRule("ks_bonferroni", "daily KS, Bonferroni", bonferroni_p, level, tests),
        WindowRule(
            "evidently_preset",
            "Evidently's preset as shipped, daily",
            drifted_share_distance,
            DRIFT_SHARE,
            tests,
        ),
        WindowRule(
            "evidently_ks",
            "Evidently, KS p < 0.05 on half the columns, daily",
            drifted_share_p,
            DRIFT_SHARE,
            tests,
        ),
        WindowRule(
            "evidently_policy",
            "`drift.policy: evidently`, runs of 1000 exams",
            drifted_share_p,
            DRIFT_SHARE,
            tests,
            window=POLICY_WINDOW,
        ),
    ]


PSI_SWEEP = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
P_SWEEP = (0.05, 1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6, 1e-8)


def sweep(tests: YearTests) -> list[Rule]:
    """Return daily PSI and daily KS at other thresholds: their curves in the picture."""
    psi = [
        WindowRule(f"psi@{limit:g}", f"daily PSI > {limit:g}", largest_psi, limit, tests)
        for limit in PSI_SWEEP
    ]
    ks = [
        WindowRule(f"ks@{level:g}", f"daily KS p < {level:g}", smallest_p, -np.log10(level), tests)
        for level in P_SWEEP
    ]
    return [*psi, *ks]
