"""The slow arm's control: do the release's cancers lose their place, or change in number?

Outcomes are taken in the order in which their exams were scored, in blocks, once
complete or mature (`monitoring.outcome_blocks`), so exams of equal maturity only
meet. Two kinds of evidence are kept apart:

- **rank**: a cancer's placement among the exams around it (`monitoring.placement`)
  ranked among those of the reference's cancers. Prevalence does not move it, nor
  does a scanner that shifts all its scores; a release that sees cancers worse does.
- **rate**: cancers found at screening, per exam. It moves with prevalence, and with
  sensitivity. Where only part of the recalled have an outcome the exams count in
  that part, so outcomes that come late or not at all are no fall of the rate. PPV
  is shown beside it and decides nothing: it moves with the recall rate as well.

Each family of bets confirms by an e-detector (`monitoring.outcome_bets`); together
they have ``outcome_share`` of the programme's false-alarm budget. A third family
bets on both together: where it confirms and the odds of `concept_log_odds` say that
cancers lost ground, that is a confirmed fall of the rank, too.

Only cancers that were recalled, and placed above the reference's own recall
threshold, count and are ranked at 3 months: more recalls bring in low cancers that
would look like a fall of the ranks and a rise of the rate. Every cancer is ranked
where the other women's outcomes are known, too (24 months, or a set verified
throughout).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitoring.conformal import Floats
from monitoring.outcome_arm import OutcomeArm, Taken, log_mean
from monitoring.outcome_bets import Path
from monitoring.outcome_blocks import ready_blocks, share_told
from monitoring.outcome_estimates import NO_RATIO, concept_log_odds, rank_estimate, rate_estimate
from monitoring.outcome_findings import Flags, OutcomeConfig, OutcomeFindings, ScoredExams
from monitoring.outcome_reference import (
    EVERYONE,
    RECALLED,
    OutcomeReference,
    placed_among,
    sensitivity_of,
)

CHUNK_BLOCKS = 400
"""Blocks taken at once: fewer than are kept, so that each can be judged by those before it."""
COUNTS = ("reference", "taken", "passed", "days")


@dataclass
class OutcomeControl:
    """Evidence of both arms; constant memory, saved as JSON.

    ``reference`` has what estimates compare with: exams, cancers found, recalled, and
    ranked placements. ``cut`` is the placement above which recalled cancers are ranked.
    ``taken`` counts the exams each arm has taken, ``passed`` those it has given up;
    ``days`` has the day of each confirmation.
    """

    config: OutcomeConfig
    arms: dict[str, OutcomeArm]
    reference: dict[str, float]
    cut: float
    taken: dict[str, int] = field(default_factory=lambda: {RECALLED: 0, EVERYONE: 0})
    passed: dict[str, int] = field(default_factory=lambda: {RECALLED: 0, EVERYONE: 0})
    days: dict[str, float] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        reference_logit: ArrayLike,
        reference_cancer: ArrayLike,
        reference_recall: ArrayLike,
        config: OutcomeConfig = OutcomeConfig(),
        *,
        reference_stratum: ArrayLike | None = None,
    ) -> Self:
        """Begin with the release's reference, whose outcomes are final; arrays (n,).

        ``reference_cancer`` may hold NaN or None for unknown: such exams are neighbours
        only. Without any cancer the control learns from production alone.
        """
        reference = OutcomeReference.of(
            reference_logit, reference_cancer, reference_recall, reference_stratum, config
        )
        return cls(config, reference.arms(config), reference.counts, reference.cut)

    @property
    def thresholds(self) -> dict[str, float]:
        """Return what each family's log evidence confirms at, by "arm family"."""
        budget = self.config.false_alarms_a_year
        return {key: math.log(1 / (share * budget)) for key, share in self.config.shares.items()}

    def take(self, exams: ScoredExams, until: float) -> int:
        """Take the blocks whose outcomes are complete by day ``until``; return how many exams.

        ``exams`` are all of the release in the order of scoring; those taken before
        are only neighbours.
        """
        known = exams.cancer_day <= until
        return sum(self._take_arm(arm, exams, known, until) for arm in self.arms)

    def _take_arm(self, arm: str, exams: ScoredExams, known: Flags, until: float) -> int:
        first, size = self.taken[arm], self.config.block_exams
        needed = exams.recall if arm == RECALLED else np.ones(len(exams.day), dtype=bool)
        waiting = self.config.recalled if arm == RECALLED else self.config.everyone
        ready = ready_blocks(
            exams.day[first:], exams.told_day[first:], needed[first:], size, waiting
        )
        blocks = int(np.searchsorted(ready.day, until, side="right"))
        days, passed = ready.day[:blocks], ready.passed[:blocks]
        self.taken[arm] += blocks * size
        self.passed[arm] += int(passed.sum()) * size
        rows = first + np.arange(blocks * size).reshape(-1, size)[~passed].ravel()
        seen = np.repeat(days[~passed], size)
        for start in range(0, len(rows), CHUNK_BLOCKS * size):
            part = slice(start, start + CHUNK_BLOCKS * size)
            self._take_rows(arm, exams, known, rows[part], seen[part])
        return blocks * size

    def _take_rows(
        self, arm: str, exams: ScoredExams, known: Flags, rows: NDArray[np.int64], seen: Floats
    ) -> None:
        size = self.config.block_exams
        recall = exams.recall[rows]
        told = exams.told_day[rows] <= seen
        cancer = (exams.cancer_day[rows] <= seen) & (recall if arm == RECALLED else True)
        placed = np.full(len(rows), np.nan)
        at = np.flatnonzero(cancer)
        placed[at] = placed_among(rows[at], exams.logit, known, exams.stratum, self.config)
        if arm == RECALLED:
            low = placed < self.cut
            cancer, placed[low] = cancer & ~low, np.nan
            weight = np.where(recall, told, share_told(recall, told, size))
        else:
            weight = told.astype(float)
        taken = Taken(cancer.astype(float), weight, (recall & told).astype(float), placed, size)
        path = self.arms[arm].take(taken, size / self.config.exams_a_year)
        self._decide(arm, path, seen[::size])

    def _decide(self, arm: str, path: Path, days: Floats) -> None:
        """Note which families confirmed first, at which block and on which day."""
        one = self.arms[arm]
        for name, part in one.families.items():
            if name not in one.confirmed:
                logs = log_mean(path.log_sum[:, part])
                over = np.flatnonzero(logs >= self.thresholds[f"{arm} {name}"])
                at = next((int(row) for row in over if self._explains(name, path, int(row))), -1)
                if at >= 0:
                    one.confirmed[name] = one.detector.blocks - len(days) + 1 + at
                    self.days[f"{arm} {name}"] = float(days[at])

    def _explains(self, family: str, path: Path, row: int) -> bool:
        """True unless another cause explains what a family shows after a block as well.

        Fewer cancers may be lost ground or less disease: neither is confirmed by their
        number before the ranks have taken a side.
        """
        if family == "rank":
            return True
        arm = self.arms[RECALLED]
        block = arm.detector.blocks - len(path.cusum) + 1 + row
        rate, both = arm.families["rate"], arm.families["both"]
        bet, since = path.change(row, rate)
        fewer = arm.ratios[bet] < 1
        if path.cusum[row, both].max() > path.cusum[row, rate].max():
            since = path.change(row, both)[1]
        odds = self.log_odds(since, block)
        if family == "both":
            return odds >= math.log(self.config.odds)
        return not fewer or odds <= -math.log(self.config.odds_of_prevalence)

    def log_odds(self, since: int, upto: int | None = None) -> float:
        """Return `concept_log_odds` of the recalled after block ``since`` up to ``upto``."""
        exams, cancers, _ = self._before(since)
        sums = self.arms[RECALLED].sums_since(since, upto)
        return concept_log_odds(sums, cancers, exams, sensitivity_of(self.reference))

    def findings(self) -> OutcomeFindings:
        """Return what the outcomes taken so far say."""
        since = self._since()
        rank = [day for key, day in self.days.items() if not key.endswith(" rate")]
        rate = self.days.get(f"{RECALLED} rate")
        (shift, low, high), ranked = self._rank_since(since)
        sums, before = self.arms[RECALLED].sums_since(since), self._before(since)
        return OutcomeFindings(
            rank_shift=shift,
            rank_low=low,
            rank_high=high,
            rank_confirmed=bool(rank),
            rank_day=min(rank, default=None),
            rate_ratio=rate_estimate(sums[1], sums[0], before[1], before[0]) or NO_RATIO,
            rate_confirmed=rate is not None,
            rate_day=rate,
            direction="" if rate is None else self._direction(),
            ppv_ratio=rate_estimate(sums[1], sums[2], before[1], before[2]) or NO_RATIO,
            concept_log_odds=round(self.log_odds(self._likeliest("rate", "both")), 3),
            cancers_ranked=ranked,
            exams_taken=self.taken[RECALLED],
            exams_passed=self.passed[RECALLED],
            since=since * self.config.block_exams,
            evidence=self.evidence(),
        )

    def _rank_since(self, since: int) -> tuple[tuple[float | None, ...], int]:
        """Return the rank's estimate, of the arm that confirmed it, and its cancers."""
        seen, arm = self.reference, self.arms[RECALLED]
        sums, compared = arm.sums_since(since), seen["ranked"]
        if f"{EVERYONE} rank" in self.days and not {"rank", "both"} & set(arm.confirmed):
            every = self.arms[EVERYONE]
            sums, compared = (
                every.sums_since(every.change("rank")),
                seen["cancers"] + seen["missed"],
            )
        found = rank_estimate(sums[3], sums[4], compared)
        return found or (None, None, None), int(sums[3])

    def _before(self, since: int) -> Floats:
        """Return exams, cancers and recalled to compare with: the reference's, or those earlier."""
        seen = self.reference
        if seen["found"] and not self.config.reference_enriched:
            return np.array([seen["exams"], seen["found"], seen["recalled"]])
        return self.arms[RECALLED].sums_since(0, since)[:3]

    def evidence(self) -> dict[str, float]:
        """Return each family's part of its threshold, by "arm family": 1 confirms."""
        parts = {}
        for arm, one in self.arms.items():
            for name, part in one.families.items():
                log = float(log_mean(one.detector.log_sum[part]))
                share = log / self.thresholds[f"{arm} {name}"]
                parts[f"{arm} {name}"] = round(max(share, 0.0), 4)
        return parts

    def _direction(self) -> str:
        arm = self.arms[RECALLED]
        ratio = arm.ratios[int(arm.detector.cusum[arm.families["rate"]].argmax())]
        return "up" if ratio > 1 else "down"

    def _since(self) -> int:
        """Return the block of the likeliest change where one is confirmed, else 0."""
        arm = self.arms[RECALLED]
        return self._likeliest(*arm.confirmed) if arm.confirmed else 0

    def _likeliest(self, *families: str) -> int:
        """Return the block after which the likeliest change of some families lies."""
        arm = self.arms[RECALLED]
        return arm.change(
            max(families, key=lambda one: arm.detector.cusum[arm.families[one]].max())
        )

    def run(
        self,
        days: ArrayLike,
        logit: ArrayLike,
        recall: ArrayLike,
        cancer: ArrayLike,
        outcome_day: ArrayLike,
        *,
        stratum: ArrayLike | None = None,
        until: float | None = None,
    ) -> OutcomeFindings:
        """Return the findings of exams (n,) by day ``until`` (default: the last exam's).

        The control itself stays as it is: one start serves any number of years.
        """
        exams = ScoredExams.of(days, logit, recall, cancer, outcome_day, stratum)
        one = copy.deepcopy(self)
        if len(exams.day):
            one.take(exams, float(exams.day.max()) if until is None else until)
        return one.findings()

    def restart(self) -> None:
        """Forget evidence and confirmations, keep the books: after an answered episode."""
        for arm in self.arms.values():
            arm.restart()
        self.days = {}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able state; the settings come with the monitor's again."""
        return {
            "arms": {name: one.to_dict() for name, one in self.arms.items()},
            "cut": self.cut,
            **{name: dict(getattr(self, name)) for name in COUNTS},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], config: OutcomeConfig) -> Self:
        """Build from `to_dict`'s data and the settings."""
        arms = {name: OutcomeArm.from_dict(one) for name, one in data["arms"].items()}
        return cls(config, arms, cut=data["cut"], **{name: dict(data[name]) for name in COUNTS})
