"""The gates: ours, as it runs in production, beside one that asks for a higher number only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, logit

from benchmarks.continual.decisions.exams import Exams
from benchmarks.continual.decisions.known import Known
from benchmarks.continual.decisions.learner import Lines
from benchmarks.continual.outcomes_delay import Flags
from benchmarks.continual.scores import RECALL_RATE
from benchmarks.continual.volumes import DAYS_IN_YEAR, Floats
from benchmarks.continual.women import PREVALENCE
from mammo.evaluation.gate import GateConfig, Scored, decide
from mammo.evaluation.ledger import Look, Spending, is_renewed, next_alpha
from mammo.evaluation.metrics import roc_auc

CONFIG = GateConfig(resamples=300)
"""The defaults for service but for fewer resamples, for time."""

TOO_SMALL = "golden_set_too_small"
"""No look is spent: `decide` raises TooFewLabels, and the gate is not held."""


@dataclass(frozen=True)
class Release:
    """A release: its lines, and the logit from which on each logged stratum is recalled, (S,)."""

    number: int
    lines: Lines
    thresholds: Floats

    @property
    def name(self) -> str:
        """``r-0`` is the original."""
        return f"r-{self.number}"

    def recalls(self, exams: Exams) -> Flags:
        """Return whom it recalls, (n,)."""
        scores = self.lines.logit(exams.features, exams.stratum)
        return np.asarray(scores >= self.thresholds[exams.stratum])


@dataclass(frozen=True)
class Verdict:
    """What a gate said; ``alpha`` is what it was held at (0 for a gate without any), ``spent``
    what the ledger lost by it, ``failed`` names clauses, ``asked`` says that a person had to
    approve what passed."""

    passed: bool
    alpha: float = 0.0
    spent: float = 0.0
    failed: tuple[str, ...] = ()
    asked: bool = False


@dataclass
class Gate:
    """Our gate with its ledger over one programme."""

    known: Known
    served: list[Release]
    """Releases in service so far, oldest first; the last one is the champion."""
    looks: list[Look] = field(default_factory=list)
    opened_with: set[str] = field(default_factory=set)

    def judge(self, challenger: Release, strata: Sequence[int], since: int, day: int) -> Verdict:
        """Judge a challenger on the sealed set of the day and the newest exams of the focus."""
        sealed, cancer = self.known.golden(day)
        rule = Spending(CONFIG.ledger_total, CONFIG.ledger_share, CONFIG.ledger_renewed)
        patients = set(_patients(sealed))
        if not self.opened_with or is_renewed(rule, self.opened_with, patients):
            self.opened_with, self.looks = patients, []
        if min(cancer.sum(), (~cancer).sum()) < CONFIG.min_per_class:
            return Verdict(False, failed=(TOO_SMALL,))
        allowed = next_alpha(rule, self.looks)
        decision = decide(
            self._golden(sealed, cancer, challenger),
            self._newest(challenger, strata, since, day),
            config=CONFIG,
            challenger_id=challenger.name,
            champion_id=self.served[-1].name,
            target_recall_rate=RECALL_RATE,
            alpha=allowed.alpha,
        )
        self.looks.append(Look(allowed.alpha, decision.passed))
        spent = 0.0 if decision.passed else allowed.alpha
        failed = tuple(decision.failed)
        return Verdict(decision.passed, allowed.alpha, spent, failed, decision.approval is not None)

    def _golden(self, sealed: Exams, cancer: Flags, challenger: Release) -> Scored:
        def score(release: Release) -> Floats:
            return release.lines.logit(sealed.features, sealed.stratum)

        after, before = score(challenger), score(self.served[-1])
        # the log-odds are those of the programme; cancers are enriched here
        more = float(logit(cancer.mean()) - logit(PREVALENCE))
        strata = self.known.programme.strata
        names = np.array([one.scanner for one in strata])
        sites = np.array([one.site for one in strata])
        return Scored(
            labels=cancer,
            patients=np.array(_patients(sealed)),
            champion_scores=before,
            challenger_scores=after,
            challenger_probabilities=expit(after + more),
            champion_probabilities=expit(before + more),
            scanner=names[sealed.stratum],
            earlier_scores={one.name: score(one) for one in self.served},
            site=sites[sealed.stratum],
            period=_periods(sealed),
        )

    def _newest(
        self, challenger: Release, strata: Sequence[int], since: int, day: int
    ) -> Scored | None:
        exams, cancer = self.known.newest(strata, since, day)
        if not len(exams):
            return None
        champion = self.served[-1]
        return Scored(
            labels=cancer,
            patients=np.array(_patients(exams)),
            champion_scores=champion.lines.logit(exams.features, exams.stratum),
            challenger_scores=challenger.lines.logit(exams.features, exams.stratum),
            challenger_recalled=challenger.recalls(exams),
            champion_recalled=champion.recalls(exams),
        )


def _patients(exams: Exams) -> list[str]:
    """Return a name for each exam's woman: her own draw tells her from all others."""
    return [f"{one:.12f}" for one in exams.part]


def _periods(exams: Exams) -> np.ndarray:
    """Return ``before`` or the year in service, (n,)."""
    return np.array(["before" if d < 0 else f"year {d // DAYS_IN_YEAR + 1}" for d in exams.day])


def is_higher(known: Known, champion: Release, challenger: Release, day: int) -> Verdict:
    """Say whether the challenger's golden AUC is the higher number."""
    sealed, cancer = known.golden(day)
    before, after = (
        roc_auc(cancer, one.lines.logit(sealed.features, sealed.stratum))
        for one in (champion, challenger)
    )
    return Verdict(after > before)
