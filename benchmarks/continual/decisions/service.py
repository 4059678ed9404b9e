"""One programme under one policy, week by week: exams, alarms, operating points, releases.

    kept = run(programme, policy("ours"))

A week's exams are scored by the release in service. On Monday the programme looks at what
it knows: alarms are acted on, operating points set nearer, a release on trial judged by
its recall rate, and a release trained where the policy says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import binomtest

from benchmarks.continual.decisions.happenings import Happening
from benchmarks.continual.decisions.judging import Gate, Release, Verdict, is_higher
from benchmarks.continual.decisions.known import Known
from benchmarks.continual.decisions.learner import Lines, calibrated, first_lines, fit_lines
from benchmarks.continual.decisions.planted import fault_of, spoil
from benchmarks.continual.decisions.points import Alignment, set_points
from benchmarks.continual.decisions.policies import Policy
from benchmarks.continual.decisions.programme import Programme
from benchmarks.continual.decisions.skill import Judge, Skill
from benchmarks.continual.scores import RECALL_RATE
from benchmarks.continual.volumes import Floats, Ints, measure_shares

WEEK = 7
FIRST_CANCERS = 30
"""Known cancers of the focus at which a release is trained for it; then whenever they double."""
MOST_CANCERS = 120
"""From here on an episode is over: three trainings each."""
NEVER_AGAIN = 10**9
LOOK_DAYS = 28
"""How often the programme counts them."""
GUARD_EXAMS, GUARD_ALPHA, GUARD_LIMIT = 1000, 0.01, 1.25
"""The guard, simplified: beside the champion a release decides this many exams unseen; harm is
a recall rate that is more than the limit off its target in either direction, at that level."""
BAD_AUC, BAD_SCANNER_AUC = 0.01, 0.06
"""A bad release is truly worse by more than this overall, or on one scanner, than the one that
it replaces."""


@dataclass
class Episode:
    """A confirmed change and what remains to do about it."""

    strata: tuple[int, ...]
    since: int
    alignments: list[Alignment]
    next_cancers: int = FIRST_CANCERS


@dataclass(frozen=True)
class Attempt:
    """A release that was trained: when, what became of it, and what it truly was.

    ``outcome`` is refused, stopped (by the guard) or served; ``gain`` the true change of the
    AUC overall, ``worst_loss`` the largest on one scanner.
    """

    day: int
    outcome: str
    verdict: Verdict
    fault: str | None
    gain: float
    worst_loss: float

    @property
    def bad(self) -> bool:
        """Whether putting it into service would have been a harm."""
        return self.gain < -BAD_AUC or self.worst_loss > BAD_SCANNER_AUC


@dataclass
class Kept:
    """What a run leaves: weekly figures, attempts, and who was in service since when."""

    days: list[int] = field(default_factory=list)
    auc: list[float] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    scanners_out: list[float] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    served: list[tuple[int, Lines]] = field(default_factory=list)

    def lines(self, day: int) -> Lines:
        """Return what was in service at the end of a day."""
        return [lines for since, lines in self.served if since <= day or since <= 0][-1]


@dataclass
class Trial:
    """A release beside the champion since a day."""

    release: Release
    began: int
    attempt: Attempt


class Service:
    """The state of one run."""

    def __init__(self, programme: Programme, policy: Policy, judge: Judge, seed: int = 0) -> None:
        self.programme, self.policy, self.judge = programme, policy, judge
        self.known, self.kept, self.seed = Known(programme), Kept(), seed
        lines = first_lines(programme, self._luck(0))
        first = Release(0, lines, set_points(self.known, lines, 0))
        before = self.known.rows(int(programme.exams.day[0]), 0)
        past = programme.exams.at(np.arange(before.start, before.stop))
        self.known.take(before, first.recalls(past))
        self.released, self.episodes = [first], list[Episode]()
        self.gate, self.trial = Gate(self.known, self.released), None
        self.kept.served.append((0, lines))
        self.made = 0

    trial: Trial | None

    @property
    def champion(self) -> Release:
        """The release in service."""
        return self.released[-1]

    def _luck(self, day: int) -> np.random.Generator:
        """Return the luck of a training on a day: the same under every policy."""
        return np.random.default_rng([self.seed, 5, self.programme.number, day])

    def week(self, day: int) -> None:
        """Act on what is known on a Monday, then screen for a week."""
        if self.policy.watched:
            self._open_episodes(day)
            self._align(day)
        if self.trial is not None:
            self._guard(self.trial, day)
        if self.trial is None and self.policy.retrains:
            self._retrain(day)
        rows = self.known.rows(day, day + WEEK)
        exams = self.programme.exams.at(np.arange(rows.start, rows.stop))
        self.known.take(rows, self.champion.recalls(exams))
        self._keep(day)

    def _open_episodes(self, day: int) -> None:
        for one in self.programme.happenings:
            if one.found_day is not None and day - WEEK <= one.found_day < day:
                self._open(one, day)

    def _open(self, one: Happening, day: int) -> None:
        concerned = self.programme.concerned(one)
        strata = tuple(sorted({self.programme.logged(place, day) for place in concerned}))
        self.known.since[list(strata)] = one.since_day
        if one.whole and self.policy.reseals:
            self.known.opened = one.since_day
        # outcomes point to cancers that look otherwise: nobody's operating point is wrong
        alignments = [] if one.whole else [Alignment(place, one.since_day) for place in strata]
        self.episodes.append(Episode(strata, one.since_day, alignments))

    def _align(self, day: int) -> None:
        for episode in self.episodes:
            for alignment in episode.alignments:
                alignment.refine(self.known, self.champion, day)

    def _retrain(self, day: int) -> None:
        if self.policy.every_days is not None:
            if day and day % self.policy.every_days < WEEK:
                strata = tuple(range(len(self.programme.strata)))
                self._train(strata, day - self.policy.every_days, day, by_calendar=True)
            return
        if day % LOOK_DAYS:
            return
        for episode in self.episodes:
            cancers = self.known.training_cancers(episode.strata, episode.since, day)
            if episode.next_cancers <= cancers:
                over = cancers >= MOST_CANCERS
                episode.next_cancers = NEVER_AGAIN if over else 2 * cancers
                self._train(episode.strata, episode.since, day)
                return  # one at a time

    def _train(
        self, strata: Sequence[int], since: int, day: int, by_calendar: bool = False
    ) -> None:
        luck = self._luck(day)
        if by_calendar:
            rows = self.known.scheduled(day, luck)
        else:
            rows = self.known.training(strata, since, day, self.policy.replay, luck)
        fault = fault_of(luck)
        lines = fit_lines(spoil(rows, fault, luck), self.champion.lines)
        lines = calibrated(lines, self.programme.exams.at(self.known.matured(day)))
        self.made += 1
        challenger = Release(self.made, lines, set_points(self.known, lines, day))
        verdict = self._ask(challenger, strata, since, day)
        before, after = self._skill(self.champion.lines, day), self._skill(lines, day)
        lost = (before.auc - after.auc)[measure_shares() >= 0.01].max()
        gain = after.overall - before.overall
        attempt = Attempt(day, "refused", verdict, fault, gain, float(lost))
        if verdict.passed:
            self.trial = Trial(challenger, day, attempt)
        else:
            self.kept.attempts.append(attempt)

    def _skill(self, lines: Lines, day: int) -> Skill:
        return self.judge.skill(lines, day)

    def _ask(self, challenger: Release, strata: Sequence[int], since: int, day: int) -> Verdict:
        if self.policy.gate == "none":
            return Verdict(True)
        if self.policy.gate == "higher":
            return is_higher(self.known, self.champion, challenger, day)
        return self.gate.judge(challenger, strata, since, day)

    def _guard(self, trial: Trial, day: int) -> None:
        """Promote the release on trial, or stop it, once it has decided exams enough."""
        rows = self.known.rows(trial.began, day)
        if rows.stop - rows.start < GUARD_EXAMS:
            return
        part: Ints = np.arange(rows.stop - GUARD_EXAMS, rows.stop)
        recalls = trial.release.recalls(self.programme.exams.at(part))
        outcome = "stopped" if is_harm(int(recalls.sum()), len(recalls)) else "served"
        self.kept.attempts.append(replace(trial.attempt, outcome=outcome))
        self.trial = None
        if outcome == "served":
            self.released.append(trial.release)
            self.kept.served.append((day, trial.release.lines))

    def _keep(self, day: int) -> None:
        kept, champion = self.kept, self.champion
        skill = self._skill(champion.lines, day)
        rates = self.judge.recall_rates(champion.lines, champion.thresholds, day) / RECALL_RATE
        shares: Floats = measure_shares()
        kept.days.append(day)
        kept.auc.append(skill.overall)
        kept.worst.append(skill.worst)
        kept.recall.append(float(rates @ shares))
        kept.scanners_out.append(float((np.abs(rates - 1) > 0.1) @ shares))


def is_harm(recalled: int, exams: int) -> bool:
    """Say whether so many recalls show a rate beyond the guard's limit, up or down."""
    high = binomtest(recalled, exams, RECALL_RATE * GUARD_LIMIT, "greater").pvalue
    low = binomtest(recalled, exams, RECALL_RATE / GUARD_LIMIT, "less").pvalue
    return bool(min(high, low) < GUARD_ALPHA / 2)


def run(programme: Programme, policy: Policy, judge: Judge | None = None, seed: int = 0) -> Kept:
    """Run all years of a programme under a policy."""
    service = Service(programme, policy, judge or Judge(programme), seed)
    for day in range(0, programme.days, WEEK):
        service.week(day)
    return service.kept
