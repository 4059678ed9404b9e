"""Heights and threshold of the control, by a block bootstrap of the reference.

Whole histories are drawn: a reference of the same size, so that its own sampling
error is in the thresholds, and a stream of blocks of consecutive reference exams,
so that the dependence between channels and between neighbours is. The control
itself runs over them with no threshold; the highest levels that it reaches tell how
often a threshold would be crossed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from monitoring.charts import copied
from monitoring.config import MonitorConfig
from monitoring.conformal import Floats, random_ranks
from monitoring.programme import ProgrammeControl, Start, Thresholds

DIRECT = 0.2
"""Crossings expected in a stream from which on their number is read off the streams."""


def set_thresholds(
    channels: Sequence[str], starts: Sequence[Start], config: MonitorConfig
) -> Thresholds:
    """Return thresholds that keep the programme's budgets over all nodes and channels.

    ``starts`` are the strata of the reference. Without one that has ``min_reference``
    exams of its own nothing can be drawn, and `Thresholds.by_theory` is returned.
    """
    own = [one for one in starts if len(one.order) >= config.min_reference]
    if not own:
        return Thresholds.by_theory(config)
    peaks = highest_levels(channels, own, config)
    sides = config.alerts_a_year / len(config.allowances)
    heights = [
        _level(peaks[:, at], sides if config.confirm else _budget(config) / 2, 2 * k, config)
        for at, k in enumerate(config.allowances)
    ]
    return Thresholds(tuple(heights), _level(peaks[:, -1], _budget(config), 1.0, config))


def _budget(config: MonitorConfig) -> float:
    return config.false_alarms_a_year * (1 - config.outcome_share)


def _level(peaks: Floats, a_year: float, slope: float, config: MonitorConfig) -> float:
    """Return the level that is crossed ``a_year`` times in a year of exams.

    Crossings are rare and far apart: a stream has none with probability exp(-expected).
    Where too few are expected to be read off, the median is carried on along the
    exponential tail that theory gives, ``slope`` a unit.
    """
    expected = a_year * config.stream_exams / config.exams_a_year
    if expected >= DIRECT:
        return float(np.quantile(peaks, np.exp(-expected)))
    return float(np.median(peaks) + np.log(np.log(2) / expected) / slope)


def highest_levels(
    channels: Sequence[str], starts: Sequence[Start], config: MonitorConfig
) -> Floats:
    """Return the peaks (streams, L + 1) of in-control streams of ``stream_exams`` exams."""
    rng = np.random.default_rng(config.seed)
    never = Thresholds((np.inf,) * len(config.allowances), np.inf)
    control = ProgrammeControl.start(channels, starts, never, config, trace=False)
    control.follow = True
    template = copied(control.charts)
    history = History.of(starts, rng)
    peaks = np.empty((config.streams, len(config.allowances) + 1))
    for stream in range(config.streams):
        control.charts = copied(template)
        for leaf in range(len(starts)):
            control.fill(leaf, history.reference(leaf, rng))
        rows = history.rows(config.stream_exams, config.block_exams, rng)
        draws = rng.random((len(rows), len(channels)))
        control.take(history.values(rows, rng), history.phi[rows], history.leaf[rows], draws)
        peaks[stream] = control.charts.peaks
    return peaks


@dataclass(frozen=True)
class History:
    """The reference in the order of the programme: ranks (N, C) and strata (N,) of its exams.

    ``size`` (N,) is the number of exams that each was ranked among.
    """

    ranks: Floats
    size: Floats
    leaf: np.ndarray
    phi: Floats

    @classmethod
    def of(cls, starts: Sequence[Start], rng: np.random.Generator) -> Self:
        """Build from strata that have exams of their own."""
        order = np.concatenate([one.order for one in starts])
        leaf = np.repeat(np.arange(len(starts)), [len(one.order) for one in starts])
        ranks = np.vstack([_ranked(one.values, rng) for one in starts])
        size = np.repeat([len(one.values) for one in starts], [len(one.order) for one in starts])
        phi = np.vstack([one.phi + one.centre for one in starts])
        place = np.argsort(order, kind="stable")
        return cls(ranks[place], size[place].astype(float), leaf[place], phi[place])

    def rows(self, exams: int, block: int, rng: np.random.Generator) -> np.ndarray:
        """Return rows of a stream: blocks of neighbours from anywhere."""
        block = max(1, min(block, len(self.leaf) // 4))
        starts = rng.integers(0, len(self.leaf), size=-(-exams // block))
        return ((starts[:, None] + np.arange(block)) % len(self.leaf)).ravel()[:exams]

    def values(self, rows: np.ndarray, rng: np.random.Generator) -> Floats:
        """Return ranks as uniforms within their steps, so that no two are alike."""
        jitter = rng.random((len(rows), self.ranks.shape[1]))
        return np.asarray((self.ranks[rows] + jitter) / self.size[rows, None])

    def reference(self, leaf: int, rng: np.random.Generator) -> Floats:
        """Draw a reference of the stratum's own size."""
        mine = np.flatnonzero(self.leaf == leaf)
        return self.values(rng.choice(mine, len(mine)), rng)


def _ranked(values: Floats, rng: np.random.Generator) -> Floats:
    ranks = random_ranks(values, rng).astype(float)
    return np.where(np.isfinite(values), ranks, np.nan)
