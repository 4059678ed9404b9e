"""The loop under arbitrary interleavings, duplicates and deaths: what must never happen.

Hypothesis drives one installation (`loop_model`) through episodes, runs, the gate,
approvals, deployments, rollouts, rollbacks and answered exams. Any step may die at any of
its durable writes (`loop_deaths`). Never two actions for one episode, never a release in
service that the gate refused, never a lost answer, never more alpha spent than there was,
and every move of the pointer recorded once.

    MAMMO_LOOP_EXAMPLES=500 pytest tests/test_loop_properties.py    # to look longer
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bentos.screening import guard
from bentos.screening.deployment import deploy_release, rollback, stop_challenger
from bentos.screening.finishing import finish_move
from bentos.screening.leading import begin_rollout
from flows.flow_runs import free
from mammo.continual import mend
from mammo.pointer import read_pointer
from mammo.prediction_log.scorings import storable_scoring
from monitoring.episodes import Proposal, open_episode
from monitoring.strata import Stratum
from monitoring.triage import Triage
from tests.loop_deaths import Deaths
from tests.loop_home import KINDS, OPTIONS, prediction
from tests.loop_model import Installation, new_run

pytestmark = pytest.mark.slow
DEATHS = st.one_of(st.none(), st.none(), st.integers(0, 25))
"""Where a step dies: mostly nowhere."""
RELEASES = st.sampled_from(sorted(KINDS))
PASSES = st.sampled_from((True, True, False))
PICK = st.integers(0, 1_000_000)
STAGES = ("champion", "shadow", "canary", "rollout", "rollout")
BATCH = 60


class Loop(RuleBasedStateMachine):
    """One installation and everybody who works on it."""

    def __init__(self) -> None:
        super().__init__()
        self.deaths, self.stack = Deaths(), ExitStack()
        self.stack.enter_context(self.deaths.install())
        self.home = Installation(self.deaths)
        self.seen: tuple[list[dict[str, Any]], dict[str, str]] = ([], {})

    def teardown(self) -> None:
        try:
            self.home.finish()
        finally:
            self.stack.close()
            self.home.remove()

    @initialize(serving=st.sampled_from((True, True, True, False)))
    def an_installation_serves_or_not(self, serving: bool) -> None:
        if serving:
            self.the_gate_judges("r-0", True, None)
            self.somebody_deploys("r-0", "champion", False, None)

    # episodes and their runs

    @rule(
        scanner=st.sampled_from(("", "A1", "B2")),
        cause=st.sampled_from(("acquisition", "concept")),
        die_at=DEATHS,
    )
    def the_monitor_opens_an_episode(self, scanner: str, cause: Any, die_at: int | None) -> None:
        pointer = read_pointer(self.home.settings.pointer_path)
        release = "r-0" if pointer is None else pointer["release_id"]
        triage = Triage(cause, "retrain", "It differs.")
        proposal = Proposal(release, Stratum("site-1", scanner, ""), triage, 10, {}, "http://x/")
        self.home.attempt(lambda: open_episode(self.home.log, proposal), die_at)

    def _episode(self, pick: int) -> str:
        """Pick an episode, closed ones too: events come late and more than once."""
        episodes = self.home.log.episodes()
        return str(episodes[pick % len(episodes)]["key"])

    def _some_episode(self) -> bool:
        return bool(self.home.log.episodes()) and self._in_service()

    def _in_service(self) -> bool:
        return read_pointer(self.home.settings.pointer_path) is not None

    @precondition(_some_episode)
    @rule(pick=PICK, die_at=DEATHS)
    def an_event_starts_a_run(self, pick: int, die_at: int | None) -> None:
        run = new_run(self._episode(pick))
        self.home.runs.append(run)
        self.home.claim(run, die_at)

    @precondition(_some_episode)
    @rule(pick=PICK, at=st.integers(0, 8))
    def two_runs_at_the_same_time(self, pick: int, at: int) -> None:
        """The second claims whole while the first is in the middle of it."""
        first, second = (new_run(self._episode(pick)) for _ in range(2))
        self.home.runs += [first, second]
        self.deaths.arm(at, lambda: self.home.claim(second))
        done = mend.claim(self.home.settings, first.key, first.id, "test")
        self.deaths.disarm()
        self.home.settle_claim(first, done)
        if second.assignment is None and second.alive:  # the first had ended before its place
            self.home.claim(second)

    def _acting(self) -> list[Any]:
        return [one for one in self.home.runs if one.alive and one.assignment]

    @precondition(lambda self: bool(self._acting()))
    @rule(pick=PICK, die_at=DEATHS)
    def a_run_ends(self, pick: int, die_at: int | None) -> None:
        acting = self._acting()
        self.home.end(acting[pick % len(acting)], die_at)

    @precondition(lambda self: bool(self._acting()))
    @rule(pick=PICK, die_at=DEATHS)
    def a_run_comes_back(self, pick: int, die_at: int | None) -> None:
        """Prefect tries the same run again, which claims again."""
        acting = self._acting()
        run = acting[pick % len(acting)]
        run.assignment = None
        self.home.claim(run, die_at)

    @precondition(lambda self: bool(self._acting()))
    @rule(pick=PICK)
    def a_run_is_killed(self, pick: int) -> None:
        acting = self._acting()
        run = acting[pick % len(acting)]
        run.alive, run.assignment = False, None

    @precondition(lambda self: bool(self.home.log.episodes("acting")))
    @rule()
    def monitor_or_reconciler_reads_who_acts(self) -> None:
        """And acts on it later, when it may be old."""
        acting = [one for one in self.home.log.episodes("acting") if one["flow_run_id"]]
        self.seen = (acting, {one.id: one.state for one in self.home.runs})

    @precondition(lambda self: bool(self.seen[0]))
    @rule(die_at=DEATHS)
    def monitor_or_reconciler_frees_what_it_read(self, die_at: int | None) -> None:
        acting, states = self.seen
        self.home.attempt(lambda: free(self.home.log, acting, states), die_at)

    # gate, approval, rollout

    @rule(release=RELEASES, passes=PASSES, die_at=DEATHS)
    def the_gate_judges(self, release: str, passes: bool, die_at: int | None) -> None:
        self.home.judge(release, passes, die_at)

    @rule(release=RELEASES, die_at=DEATHS)
    def a_person_approves(self, release: str, die_at: int | None) -> None:
        digest, words = self.home.manifest(release).digest, {"by": "dr-k", "roles": "approve"}
        self.home.attempt(
            lambda: self.home.log.add_approval(digest, release_id=release, reason="read", **words),
            die_at,
        )
        if self.home.log.approval_of(digest):
            self.home.approved.add(release)

    @rule(release=RELEASES, stage=st.sampled_from(STAGES), judged=PASSES, die_at=DEATHS)
    def somebody_deploys(self, release: str, stage: str, judged: bool, die_at: int | None) -> None:
        """Mostly a release that the gate has let pass; the plan is asked in any case."""
        if judged:
            self.home.judge(release, True)
        home, share = self.home.settings, 50 if stage == "canary" else 0
        if stage == "rollout":
            self.home.attempt(lambda: begin_rollout(release, home, **OPTIONS), die_at)
            return
        given = {"stage": stage, "percent": share, **OPTIONS}
        self.home.attempt(lambda: deploy_release(release, home, **given), die_at)

    @precondition(lambda self: self.home.is_on_trial())
    @rule(well=PASSES, die_at=DEATHS)
    def exams_come_and_the_guard_looks(self, well: bool, die_at: int | None) -> None:
        """Scored by all that stands in the pointer; ill, the one on trial recalls everybody."""
        self._score_on_trial(well)
        self.home.attempt(
            lambda: guard.look(self.home.settings, wait=False, check=OPTIONS["check"]), die_at
        )

    def _score_on_trial(self, well: bool) -> None:
        pointer = read_pointer(self.home.settings.pointer_path) or {}
        challenger = pointer.get("challenger")
        roles = {"champion": pointer["release_id"]}
        if challenger:
            roles[challenger["stage"]] = challenger["release_id"]
        on_trial = next(reversed(roles))
        scorings = []
        for number in range(BATCH):
            request = str(uuid4())
            # an exam is answered once: by the canary or by the champion
            asked = [on_trial] if "canary" in roles and number % 2 else list(roles)
            for role in asked if on_trial != "canary" else asked[:1]:
                release = roles[role]
                ill = not well and role == on_trial
                recall = ill or number % 4 == 0
                row = prediction(request, release, role, logit=float(number), recall=recall)
                scorings.append(storable_scoring(request, [row]))
        self.home.log.append_scorings(scorings)

    @precondition(lambda self: self.home.is_on_trial())
    @rule(die_at=DEATHS)
    def the_guard_looks(self, die_at: int | None) -> None:
        self.home.attempt(
            lambda: guard.look(self.home.settings, wait=False, check=OPTIONS["check"]), die_at
        )

    @precondition(lambda self: bool(self.home.pointer().get("previous")))
    @rule(die_at=DEATHS)
    def somebody_rolls_back(self, die_at: int | None) -> None:
        self.home.attempt(lambda: rollback(self.home.settings, **OPTIONS), die_at)

    @precondition(lambda self: bool(self.home.pointer().get("challenger")))
    @rule(die_at=DEATHS)
    def somebody_stops_the_challenger(self, die_at: int | None) -> None:
        self.home.attempt(lambda: stop_challenger(self.home.settings, wait=False), die_at)

    @precondition(lambda self: self.home.has_unrecorded_move())
    @rule(die_at=DEATHS)
    def the_reconciler_finishes_a_move(self, die_at: int | None) -> None:
        self.home.attempt(lambda: finish_move(self.home.settings, **OPTIONS), die_at)

    # exams

    @precondition(_in_service)
    @rule(again=st.booleans(), pick=PICK, locked=st.booleans(), die_at=DEATHS)
    def an_exam_is_answered(self, again: bool, pick: int, locked: bool, die_at: int | None) -> None:
        """A new request or one that was sent before, while the database answers or is locked."""
        sent = sorted(self.home.sent)
        request = sent[pick % len(sent)] if again and sent else str(uuid4())
        pointer = read_pointer(self.home.settings.pointer_path) or {}
        with Lock(self.home, locked):
            self.home.answer(request, pointer["release_id"], "champion", die_at)

    @precondition(lambda self: not self.home.durable.spool.empty)
    @rule(die_at=DEATHS)
    def the_spool_is_drained(self, die_at: int | None) -> None:
        self.home.drain(die_at)

    # always

    @invariant()
    def never_two_actions_for_one_episode(self) -> None:
        self.home.require_one_action()

    @invariant()
    def never_more_spent_than_there_was(self) -> None:
        self.home.require_account()

    @invariant()
    def every_move_is_recorded_once(self) -> None:
        self.home.require_records()

    @invariant()
    def what_was_taken_back_is_known(self) -> None:
        self.home.require_way_out()

    @invariant()
    def never_a_lost_answer(self) -> None:
        self.home.require_answers()


class Lock:
    """Holds the database's write lock as another process would, where it is asked to."""

    def __init__(self, home: Installation, locked: bool) -> None:
        self.path = home.settings.home / "log.db" if locked else None

    def __enter__(self) -> None:
        if self.path is not None:
            self.connection = sqlite3.connect(self.path, isolation_level=None)
            self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        if self.path is not None:
            self.connection.rollback()
            self.connection.close()


TestLoop = Loop.TestCase
TestLoop.settings = settings(
    max_examples=int(os.environ.get("MAMMO_LOOP_EXAMPLES", "8")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
