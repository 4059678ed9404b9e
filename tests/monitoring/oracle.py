"""The control once more, as the papers have it: plain, slow, one formula a line.

Shares no code with the machine code; both must tell the same of the same exams.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import kstest, kstwobign

from monitoring.config import MonitorConfig
from monitoring.embedding import mmd_null
from monitoring.programme import Start, Thresholds
from tests.monitoring.programmes import Stream

WATCHED, ALERT, CONFIRMED = 0, 1, 2
SIDES = (1, -1)


class Calibration:
    """What the exams of a stratum are ranked among."""

    def __init__(self, start: Start, config: MonitorConfig) -> None:
        self.config, self.start = config, start
        known = start.values[: 0 if start.learn_first else None]
        self.rows, self.least = len(known), config.learn_exams if start.learn_first else 0
        self.values = [[v for v in column if np.isfinite(v)] for column in start.values.T]
        if start.learn_first:
            self.values = [[] for _ in self.values]

    def scores(self, exam: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """Return the normal scores of the exam's conformal p-values, (C,)."""
        z = np.full(len(exam), np.nan)
        for channel, (value, known) in enumerate(zip(exam, self.values, strict=True)):
            if np.isfinite(value) and known:
                below, ties = np.sum(np.array(known) < value), np.sum(np.array(known) == value)
                rank = (below + (1 - draw[channel]) * (ties + 1)) / (len(known) + 1)
                z[channel] = np.clip(ndtri(rank), -self.config.clip, self.config.clip)
        return z

    def learn(self, exam: np.ndarray) -> None:
        self.rows += 1
        for value, known in zip(exam, self.values, strict=True):
            if np.isfinite(value):
                known.append(value)


@dataclass
class Chart:
    """A node; its z have two distances of blocks at the end."""

    starts: list[Start]
    config: MonitorConfig
    thresholds: Thresholds
    channels: tuple[str, ...]
    exams: int = 0
    state: int = WATCHED
    alert_at: int = 0
    change_at: int = 0
    change_clock: int = 0
    confirmed_at: int = 0
    evidence: float = 0.0
    ranks: list[float] = field(default_factory=list)
    block: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        config, width = self.config, len(self.channels) + 2
        least = config.learn_exams
        rows = sum(least if s.learn_first else max(len(s.values), 1) for s in self.starts)
        self.tolerance = config.tolerance + config.reference_errors / np.sqrt(rows)
        self.share = min(sum(one.share for one in self.starts), 1.0)
        self.cusum = np.zeros((width, 2, len(config.allowances)))
        self.zero, self.zero_clock = np.zeros_like(self.cusum), np.zeros_like(self.cusum)
        self.sr = np.zeros((width, 2, len(config.bets)))
        self.product = np.zeros_like(self.sr)
        self.known_start = len(self.starts) == 1 and self.starts[0].known_start
        known = [one for one in self.starts if not one.learn_first] or self.starts
        phi = np.concatenate([one.phi for one in known])
        whose = np.concatenate([one.patients for one in known])
        rng = np.random.default_rng(config.seed)
        self.null = mmd_null(phi, whose, config.mmd_exams, config.mmd_draws, rng)
        if len(self.null):  # two errors of the centre, which lasts
            known = np.isfinite(phi).all(axis=1).sum()
            self.null += 2 * self.null.std() * config.mmd_exams / known
        self.weights = self._weights()

    def _weights(self) -> np.ndarray:
        """Every sum there is has a weight, one in all; the distances have one side."""
        parts = np.full(len(self.channels) + 2, (1 - self.config.score_weight))
        parts /= len(self.channels) + 1
        parts[self.channels.index("score")] = self.config.score_weight
        weights = np.zeros_like(self.sr)
        weights[:-2] = (parts[:-2] / 2)[:, None, None]
        weights[-2:, 0] = parts[-2:, None]
        return weights / len(self.config.bets)

    def take(self, z: np.ndarray, phi: np.ndarray, start: Start, clock: int) -> None:
        self.exams += 1
        far = (self._ks(z[self.channels.index("score")]), self._mmd(phi - start.centre))
        z, tolerance = np.append(z, far), np.append(start.tolerance, (0.0, 0.0))
        for channel in np.flatnonzero(np.isfinite(z)):
            for side, sign in enumerate(SIDES):
                if side == 1 and channel >= len(self.channels):
                    continue
                self._update(channel, side, sign * z[channel] - tolerance[channel], clock)
        self._weigh()
        self._decide()

    def _update(self, channel: int, side: int, excess: float, clock: int) -> None:
        excess -= self.tolerance
        risen = self.cusum[channel, side] + excess - np.array(self.config.allowances)
        self.cusum[channel, side] = np.maximum(risen, 0.0)
        self.zero[channel, side, risen <= 0], self.zero_clock[channel, side, risen <= 0] = (
            self.exams,
            clock,
        )
        bets = np.array(self.config.bets)
        ratio = bets * excess - bets**2 / 2
        self.sr[channel, side] = (1 + self.sr[channel, side]) * np.exp(ratio)
        self.product[channel, side] += ratio

    def _weigh(self) -> None:
        budget = max(self.thresholds.log_budget + np.log(self.share), np.log(100))
        self.evidence = np.log(max(np.sum(self.weights * self.sr), 1e-300)) / budget
        if self.known_start:
            mean = np.log(np.sum(self.weights * np.exp(self.product)))
            self.evidence = max(self.evidence, mean / -np.log(self.config.new_stratum_error))
        self.evidence = max(self.evidence, 0.0)

    def _decide(self) -> None:
        parts = self.cusum / np.array(self.thresholds.heights)
        if self.state == ALERT and self.cusum[self.lead] == 0:
            self.state = WATCHED
        if self.state == WATCHED and parts.max() >= 1:
            self.state, self.alert_at = ALERT, self.exams
            self.lead = np.unravel_index(parts.argmax(), parts.shape)
            self.change_at, self.change_clock = self.zero[self.lead], self.zero_clock[self.lead]
        if self.state == ALERT and self.evidence >= 1:
            self.state, self.confirmed_at = CONFIRMED, self.exams

    def _ks(self, z: float) -> float:
        if np.isfinite(z):
            self.ranks.append(float(ndtr(z)))
        if len(self.ranks) < self.config.ks_exams or not np.isfinite(z):
            return np.nan
        distance, root = kstest(self.ranks, "uniform").statistic, np.sqrt(len(self.ranks))
        self.ranks = []
        p = kstwobign.sf((root + 0.12 + 0.11 / root) * distance)
        return float(min(-ndtri(np.clip(p, 1e-9, 1 - 1e-9)), 4.0))

    def _mmd(self, phi: np.ndarray) -> float:
        if len(self.null) == 0 or np.isnan(phi).any():
            return np.nan
        self.block.append(phi)
        if len(self.block) < self.config.mmd_exams:
            return np.nan
        distance = float(np.sum(np.mean(self.block, axis=0) ** 2))
        self.block = []
        return float(-ndtri((np.sum(self.null >= distance) + 0.5) / (len(self.null) + 1)))


@dataclass
class Oracle:
    """Strata and nodes, each the rows of its strata; stops with the exam that confirms."""

    starts: list[Start]
    nodes: list[tuple[int, ...]]
    config: MonitorConfig
    thresholds: Thresholds
    channels: tuple[str, ...]

    def __post_init__(self) -> None:
        self.known = [Calibration(one, self.config) for one in self.starts]
        rules = (self.config, self.thresholds, self.channels)
        self.charts = [Chart([self.starts[at] for at in one], *rules) for one in self.nodes]

    def take(self, stream: Stream) -> int | None:
        """Return the exam that confirmed, None for none."""
        for exam, stratum in enumerate(stream.strata):
            known = self.known[stratum]
            own = [c for c, one in zip(self.charts, self.nodes, strict=True) if one == (stratum,)]
            if known.rows >= known.least:
                z = known.scores(stream.values[exam], stream.draws[exam])
                for chart, one in zip(self.charts, self.nodes, strict=True):
                    if stratum in one:
                        chart.take(z, stream.phi[exam], known.start, exam + 1)
            learnt = known.rows >= known.least
            full = known.rows >= self.config.calibration_cap
            if not full and not (learnt and own[0].state != WATCHED):
                known.learn(stream.values[exam])
            if any(one.state == CONFIRMED for one in self.charts):
                return exam
        return None
