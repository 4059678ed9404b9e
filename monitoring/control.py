"""Control of one stratum, exam by exam: a CUSUM alerts, an e-process confirms.

Channels arrive as conformal normal scores z (see `monitoring.conformal`), which
are independent N(0, 1) while nothing has changed.

- **CUSUM** (Page 1954), two-sided, per channel: ``S = max(0, S + z - k)``. The
  alert is the first exam at which any side of any channel reaches ``h``. ``h`` is
  set by a block bootstrap of the reference's ranks so that the whole family
  alerts at most once per ``budget_exams`` exams (`monitoring.threshold`; with a
  small reference most of that risk lies in the first exams). Its calibration stops
  ``lag_exams`` before the exam, so that a change does not hide itself.
- **e-process** (Shin, Ramdas & Rinaldo 2023, *E-detectors*): per channel, side and
  bet ``d`` the Shiryaev-Roberts sum ``R = (1 + R) * exp(d * z - d * d / 2)``. The mean
  over all bets, M, has E[M] <= number of exams seen; so, with no assumption but
  exchangeability, M reaches ``budget_exams`` on average no sooner than after
  ``budget_exams`` exams. Its calibration goes up to the exam before, which makes
  that exact. An alert becomes a confirmed alarm when M is there too.
- A stratum that itself began with a known change (a new scanner, a new software
  version) needs less: the moment is known, so the plain product of the same bets
  from its first exam on counts as well. That product ever reaches ``1 / error``
  with probability ``error`` at most (Ville), with ``new_stratum_error`` for it.
- A scanner that the reference has not met is compared with the pooled
  reference; ``tolerance`` (the spread between known scanners, in SD) is then
  taken off every score, so that being as different as scanners are is no alarm.

State is bounded, whatever the number of exams, and goes through JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitoring.config import MonitorConfig
from monitoring.conformal import Floats, normal_scores, smoothing_draws
from monitoring.threshold import cusum_threshold

SIDES = np.array([[1.0], [-1.0]])  # up, down


@dataclass
class StratumControl:
    """The running state of one stratum; arrays are per side (up, down) and channel.

    ``reference`` (n, C) comes with the release and is not part of the saved state.
    ``absorbed`` are this stratum's own exams that calibration has learnt from.
    ``exams`` counts exams; ``alert_at``, ``confirmed_at`` and ``change_at`` are such
    counts: exam i is the i-th exam of the stratum, the change lies after ``change_at``.
    """

    channels: tuple[str, ...]
    reference: Floats
    tolerance: Floats
    threshold: float
    learn_first: bool = False
    known_start: bool = False
    absorbed: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    exams: int = 0
    cusum: Floats = field(default_factory=lambda: np.zeros((2, 0)))
    zero_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int64))
    log_e: Floats = field(default_factory=lambda: np.zeros((0, 2, 0)))
    log_start: Floats = field(default_factory=lambda: np.zeros((0, 2, 0)))
    lead: tuple[int, int] | None = None
    alert_at: int | None = None
    change_at: int | None = None
    confirmed_at: int | None = None
    recent: list[dict[str, Any]] = field(default_factory=list)
    trace: list[list[float]] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        channels: tuple[str, ...],
        reference: Floats,
        config: MonitorConfig,
        *,
        tolerance: Floats | None = None,
        learn_first: bool = False,
        known_start: bool = False,
        threshold: float | None = None,
    ) -> Self:
        """Start a stratum; with ``learn_first`` its first exams become its baseline."""
        width = len(channels)
        spread = np.zeros(width) if tolerance is None else tolerance
        if threshold is None:
            threshold = cusum_threshold(reference, spread, config)
        control = cls(channels, reference, spread, threshold, learn_first, known_start)
        control.absorbed = np.zeros((0, width))
        control.restart(config)
        return control

    def restart(self, config: MonitorConfig) -> None:
        """Forget alerts and evidence, keep the calibration."""
        width = len(self.channels)
        self.cusum = np.zeros((2, width))
        self.zero_at = np.full((2, width), self.exams)
        self.log_e = np.full((len(config.betting_shifts), 2, width), -np.inf)
        self.log_start = np.zeros_like(self.log_e)
        self.lead = self.alert_at = self.change_at = self.confirmed_at = None

    def calibration(self, config: MonitorConfig, lag: int = 0) -> Floats:
        """Return what an exam is ranked among, (n, C), without the last ``lag`` exams."""
        least = config.learn_exams if self.learn_first else 0
        known = max(min(least, len(self.absorbed)), len(self.absorbed) - lag)
        own = self.absorbed[:known]
        return own if self.learn_first else np.vstack([self.reference, own])

    def evidence(self, config: MonitorConfig) -> float:
        """Return the log e-process as a part of its threshold: 1 confirms, 0 is no evidence."""
        part = _log_mean(self.log_e) / np.log(config.budget_exams)
        if self.known_start:
            part = max(part, _log_mean(self.log_start) / -np.log(config.new_stratum_error))
        return max(float(part), 0.0)

    def state(self, config: MonitorConfig) -> str:
        """``learning``, ``in_control``, ``alert`` or ``confirmed``."""
        if self.confirmed_at is not None:
            return "confirmed"
        if self.alert_at is not None:
            return "alert"
        return "learning" if self.learning(config) else "in_control"

    def update(self, values: Floats, exam_id: str, config: MonitorConfig) -> None:
        """Take one exam's channels (C,), in the order in which exams were scored."""
        self.exams += 1
        if not self.learning(config):
            draws = smoothing_draws(exam_id, config.seed, len(self.channels))
            exact = normal_scores(self.calibration(config), values, draws, config.clip)
            lagged = self.calibration(config, config.lag_exams)
            scores = normal_scores(lagged, values, draws, config.clip)
            self.step(scores, exact, config)
            self._remember(exam_id, values, scores, config)
        if self._can_learn(config):
            kept = [float(f"{value:.7g}") for value in values]
            self.absorbed = np.vstack([self.absorbed, kept])

    def learning(self, config: MonitorConfig) -> bool:
        """True while the stratum's own baseline is too small to test against."""
        return self.learn_first and len(self.absorbed) < config.learn_exams

    def _can_learn(self, config: MonitorConfig) -> bool:
        known = len(self.absorbed) + (0 if self.learn_first else len(self.reference))
        return known < config.calibration_cap

    def step(self, scores: Floats, exact: Floats, config: MonitorConfig) -> None:
        """Advance the CUSUM by ``scores`` and the e-process by ``exact``, both (C,)."""
        self.cusum = np.maximum(
            self.cusum + SIDES * scores - self.tolerance - config.allowance, 0.0
        )
        self.zero_at[self.cusum == 0.0] = self.exams
        bets = np.array(config.betting_shifts)[:, None, None]
        excess = SIDES * exact - self.tolerance
        gain = bets * excess - bets**2 / 2
        self.log_e = np.logaddexp(0.0, self.log_e) + gain
        self.log_start += gain
        if self.confirmed_at is None:
            self._decide(config)

    def _decide(self, config: MonitorConfig) -> None:
        if self.lead is not None and self.cusum[self.lead] == 0.0:
            self.lead = self.alert_at = self.change_at = None  # the alert did not last
        if self.lead is None and self.cusum.max() >= self.threshold:
            side, channel = np.unravel_index(int(self.cusum.argmax()), self.cusum.shape)
            self.lead = (int(side), int(channel))
            self.alert_at = self.exams
            self.change_at = int(self.zero_at[self.lead])
        if self.lead is not None and self.evidence(config) >= 1.0:
            self.confirmed_at = self.exams

    def _remember(
        self, exam_id: str, values: Floats, scores: Floats, config: MonitorConfig
    ) -> None:
        row = {"exam": self.exams, "exam_id": exam_id, "z": _rounded(scores), "v": _listed(values)}
        self.recent.append(row)
        del self.recent[: -config.recent_exams]
        point = [self.exams, *_rounded(self.cusum.max(axis=0)), round(self.evidence(config), 4)]
        self.trace.append(point)
        del self.trace[: -config.trace_exams]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able state; the reference is not in it."""
        return {
            "channels": list(self.channels),
            "tolerance": self.tolerance.tolist(),
            "threshold": self.threshold,
            "learn_first": self.learn_first,
            "absorbed": [[_none(v) for v in row] for row in self.absorbed],
            "exams": self.exams,
            "cusum": self.cusum.tolist(),
            "zero_at": self.zero_at.tolist(),
            "known_start": self.known_start,
            "log_e": [[[_none(v) for v in row] for row in bet] for bet in self.log_e],
            "log_start": self.log_start.tolist(),
            "lead": list(self.lead) if self.lead else None,
            "alert_at": self.alert_at,
            "change_at": self.change_at,
            "confirmed_at": self.confirmed_at,
            "recent": self.recent,
            "trace": self.trace,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], reference: Floats) -> Self:
        """Build from `to_dict`'s data and the release's reference (n, C)."""
        lead = data["lead"]
        return cls(
            **(
                data
                | {
                    "channels": tuple(data["channels"]),
                    "reference": reference,
                    "tolerance": np.array(data["tolerance"], dtype=float),
                    "absorbed": np.array(
                        [[_float(v, np.nan) for v in row] for row in data["absorbed"]]
                    ).reshape(-1, len(data["channels"])),
                    "cusum": np.array(data["cusum"], dtype=float),
                    "zero_at": np.array(data["zero_at"], dtype=np.int64),
                    "log_e": np.array(
                        [
                            [[_float(v, -np.inf) for v in row] for row in bet]
                            for bet in data["log_e"]
                        ]
                    ),
                    "log_start": np.array(data["log_start"], dtype=float),
                    "lead": (int(lead[0]), int(lead[1])) if lead else None,
                }
            )
        )


def _log_mean(logs: Floats) -> float:
    return float(np.logaddexp.reduce(logs, axis=None) - np.log(logs.size))


def _none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _float(value: float | None, missing: float) -> float:
    return missing if value is None else float(value)


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 3) for value in values]


def _listed(values: Floats) -> list[float | None]:
    return [_none(float(f"{value:.7g}")) for value in values]
