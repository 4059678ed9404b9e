"""What the control begins with: a stratum's reference, the programme's thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.strata import Stratum


@dataclass(frozen=True)
class Start:
    """What a stratum begins with.

    ``values`` (n, C) are its reference's channels, ``phi`` (n, D) their embedding features
    less their mean ``centre`` (D,), ``patients`` (n,) whose they are. ``share`` is the part
    of the programme's exams that it is expected to have.
    """

    stratum: Stratum
    values: Floats
    tolerance: Floats
    phi: Floats
    centre: Floats
    patients: np.ndarray
    share: float
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    learn_first: bool = False
    known_start: bool = False


@dataclass(frozen=True)
class Thresholds:
    """Heights (L,) of the CUSUMs and the log threshold of the programme's evidence."""

    heights: tuple[float, ...]
    log_budget: float

    @classmethod
    def by_theory(cls, config: MonitorConfig, nodes: int = 10) -> Self:
        """Return the threshold that needs no reference: no more often than the budget allows.

        E[M] <= exams makes one of ``nodes`` nodes err no sooner than the budget; the
        heights are Siegmund's approximation of the alerts' budget (1985, eq. 2.56).
        """
        rate = config.exams_a_year * nodes * 30 / config.alerts_a_year
        heights = tuple(np.log(2 * k * k * rate + 1) / (2 * k) for k in config.allowances)
        return cls(heights, float(np.log(nodes * config.budget_exams)))
