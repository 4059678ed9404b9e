"""What the control of outcomes is steered by, takes in, and finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.outcome_blocks import Waiting

Flags = NDArray[np.bool_]
SHARES = {"recalled rank": 0.2, "recalled rate": 0.25, "recalled both": 0.45, "everyone rank": 0.1}
"""Parts of the budget by arm and family: most where a loss shows first; a choice."""


@dataclass(frozen=True)
class OutcomeConfig:
    """What steers the control of outcomes.

    ``false_alarms_a_year`` is for all families of both arms together, at ``exams_a_year``.
    ``falls`` are bets on the rank in SD, ``ratios`` on the rate. ``neighbours`` and
    ``least_neighbours`` are those of a placement. ``book_cap`` and ``rate_cap`` bound what
    is learnt, ``ring_blocks`` what is kept for estimates. ``shares`` of the budget are each
    family's. ``odds`` is how many times likelier concept has to be than prevalence where
    both families together confirm, ``odds_of_prevalence`` how many times likelier
    prevalence has to be where there are fewer cancers.
    ``reference_enriched`` says that the reference's share of cancers is not production's:
    the rate is then learnt from production alone.
    """

    false_alarms_a_year: float = 0.05
    exams_a_year: int = 55_000
    block_exams: int = 25
    falls: tuple[float, ...] = (0.25, 0.5, 1.0)
    ratios: tuple[float, ...] = (0.5, 0.7, 1.4, 2.0)
    neighbours: int = 400
    least_neighbours: int = 20
    book_cap: int = 1000
    rate_cap: int = 40_000
    ring_blocks: int = 1000
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    odds: float = 10.0
    odds_of_prevalence: float = 3.0
    reference_enriched: bool = False
    recalled: Waiting = field(default_factory=lambda: Waiting(91, 365))
    everyone: Waiting = field(default_factory=lambda: Waiting(731, 1096, complete=0.95))

    @classmethod
    def of(cls, config: MonitorConfig) -> Self:
        """Take the outcomes' share of the monitor's budget."""
        budget = config.false_alarms_a_year * config.outcome_share
        return cls(false_alarms_a_year=budget, exams_a_year=config.exams_a_year)


class ScoredExams(NamedTuple):
    """Exams in the order of scoring, each (n,); days as numbers, inf: not (yet).

    ``told_day`` is when a first outcome was known, ``cancer_day`` when a cancer was: at
    once, or later than that where a woman first taken for healthy fell ill.
    """

    day: Floats
    logit: Floats
    recall: Flags
    told_day: Floats
    cancer_day: Floats
    stratum: NDArray[Any]

    @classmethod
    def of(
        cls,
        day: ArrayLike,
        logit: ArrayLike,
        recall: ArrayLike,
        cancer: ArrayLike,
        outcome_day: ArrayLike,
        stratum: ArrayLike | None = None,
    ) -> Self:
        """Take arrays of any kind with one outcome each; without ``stratum`` all are one."""
        days, told = np.asarray(day, dtype=float), np.asarray(outcome_day, dtype=float)
        groups = np.zeros(len(days), dtype=np.int64) if stratum is None else np.asarray(stratum)
        return cls(
            days,
            np.asarray(logit, dtype=float),
            np.asarray(recall, dtype=bool),
            told,
            np.where(np.asarray(cancer, dtype=bool), told, np.inf),
            groups,
        )


@dataclass(frozen=True)
class OutcomeFindings:
    """What the outcomes taken so far say.

    ``rank_shift`` (SD, negative: cancers are placed lower) and ``rate_ratio`` (cancers
    found per exam, relative to the reference; to what came before where that holds no
    cancer; 0 to inf: unknown) have 95 % intervals and are of the exams taken after the
    first ``since`` (the likeliest change where something is confirmed, else all kept).
    ``concept_log_odds`` is how much better a loss of rank explains both than
    prevalence does. ``rank_day`` and ``rate_day`` are when the confirming outcomes were
    complete. ``evidence`` is each family's part of its threshold (1 confirms).
    """

    rank_shift: float | None = None
    rank_low: float | None = None
    rank_high: float | None = None
    rank_confirmed: bool = False
    rank_day: float | None = None
    rate_ratio: tuple[float, float, float] = (1.0, 0.0, float("inf"))
    rate_confirmed: bool = False
    rate_day: float | None = None
    direction: str = ""
    ppv_ratio: tuple[float, float, float] = (1.0, 0.0, float("inf"))
    concept_log_odds: float = 0.0
    cancers_ranked: int = 0
    exams_taken: int = 0
    exams_passed: int = 0
    since: int = 0
    evidence: dict[str, float] = field(default_factory=dict)

    @property
    def confirmed(self) -> bool:
        """True where the rank fell or the rate moved."""
        return self.rank_confirmed or self.rate_confirmed

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data; a ratio of which nothing is known is None."""
        told = asdict(self)
        for name in ("rate_ratio", "ppv_ratio"):
            told[name] = list(told[name]) if math.isfinite(told[name][2]) else None
        return told
