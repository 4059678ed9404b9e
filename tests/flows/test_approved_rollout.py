"""A release that a person approved comes into service though its run has died, once.

Against the stand-in for Prefect's server; a run that lives is in `test_approve.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import NotPausedError
from prefect.states import Completed, Crashed, Paused, Running

from flows import approve, flow_runs, follow, reconcile, stack_deployments
from mammo.continual.unfinished import begin
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.flows.test_reconcile import Server

KEY = "approved:r-2"


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Server:
    """r-1 in service; r-2 passed the gate and a run asks a person about it."""
    one = Server()
    for module in (flow_runs, reconcile, approve):
        monkeypatch.setattr(module, "get_client", lambda **_: one)
    monkeypatch.setattr(approve, "needs_approval", lambda *_: None)
    monkeypatch.setenv("MAMMO_STACK_TOKEN", "t")
    monkeypatch.setattr(flow_runs, "flow_runs_alive", lambda _: set())
    settings.home.mkdir(parents=True)
    write_pointer(settings.pointer_path, {"release_id": "r-1"})
    log = PredictionLog(settings.log_url).create()
    who = {"golden": "g", "challenger": "r-2", "challenger_digest": "d", "champion": "r-1"}
    log.open_gate("k", lambda _: {"account": 0, "alpha": 0.01, "golden_patients": []}, **who)
    log.settle_gate("k", passed=True, decision={})
    return one


def ask(settings: Settings, run: str, episode: str | None = None) -> None:
    waiting = {"run": run, "reason": "labels", "episode_key": episode}
    PredictionLog(settings.log_url).set_watermark("approval:r-2", 0, waiting)


def go(settings: Settings) -> list[str]:
    """Reconcile: mark the dead, then begin what is left; the Bento takes no time here."""
    flow_runs.crash_dead(settings)
    return approve.begin_approved(settings, lambda _: None)


@pytest.mark.parametrize("state", [Paused, Running])  # Running: resumed, with nobody there
def test_the_run_died_in_its_pause(settings: Settings, server: Server, state: Any) -> None:
    ask(settings, server.add(state()))
    assert [go(settings) for _ in range(3)] == [["r-2"], [], []]
    assert list(server.keys) == [f"{KEY}:1"]
    given = {"release_id": "r-2", "stage": "rollout", "reason": "labels"}
    assert server.keys[f"{KEY}:1"].parameters == given


def test_a_person_approves_before_anybody_knows_that_the_run_is_dead(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect resumes a blocking pause without asking for its process."""
    run = server.add(Paused())
    ask(settings, run)

    def resume(run_id: UUID) -> None:
        if server.runs[str(run_id)].state.type is not StateType.PAUSED:
            raise NotPausedError
        server.set_flow_run_state(run_id, Running(), force=True)

    monkeypatch.setattr(approve, "approve", lambda *_, **__: {"reason": "reread"})
    monkeypatch.setattr(approve, "resume_flow_run", resume)
    monkeypatch.setattr(follow, "run_and_follow", lambda *_: None)
    assert approve.approve_release(settings, "r-2", "reread")["goes_on"] == run
    assert [go(settings) for _ in range(2)] == [["r-2"], []]
    deploys = str(server.keys[f"{KEY}:1"].id)
    assert approve.approve_release(settings, "r-2", "reread")["goes_on"] == deploys
    assert list(server.keys) == [f"{KEY}:1"]


def test_a_run_that_lives_deploys_it_itself(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = server.add(Paused())
    ask(settings, run)
    monkeypatch.setattr(flow_runs, "flow_runs_alive", lambda _: {run})
    assert go(settings) == []
    assert server.runs[run].state.type is StateType.PAUSED


@pytest.mark.parametrize("follows", ["episode", "work"])
def test_the_next_run_of_the_same_work_deploys_it(
    settings: Settings, server: Server, follows: str
) -> None:
    run = server.add(Crashed())
    ask(settings, run, "e" if follows == "episode" else None)
    log = PredictionLog(settings.log_url)
    if follows == "episode":
        values = {"stratum": "s", "cause": "concept", "action": "retrain", "release_id": "r-1"}
        log.open_episode("e", **values)
    else:
        begin(settings, "labels:r-1:1", run)
    assert go(settings) == []
    if follows == "episode":
        log.update_episode("e", status="failed")
        assert go(settings) == ["r-2"]


@pytest.mark.parametrize("where", ["champion", "rolled back"])
def test_what_was_moved_is_not_moved_again(settings: Settings, server: Server, where: str) -> None:
    ask(settings, server.add(Completed()))
    if where == "champion":
        write_pointer(settings.pointer_path, {"release_id": "r-2"})
    PredictionLog(settings.log_url).add_change("r-2", {"stage": "champion"})
    assert (go(settings), server.keys) == ([], {})
    assert PredictionLog(settings.log_url).watermark("approval:r-2").state == {}


def test_three_deployments_that_failed_are_enough(settings: Settings, server: Server) -> None:
    ask(settings, server.add(Crashed()))
    for attempt in (1, 2, 3):
        assert go(settings) == ["r-2"]
        server.keys[f"{KEY}:{attempt}"].state = State(type=StateType.FAILED)
    assert [go(settings) for _ in range(2)] == [[], []]
    assert PredictionLog(settings.log_url).watermark("approval:r-2").state == {}


def test_who_has_not_been_approved_waits(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(settings, server.add(Crashed()))
    monkeypatch.setattr(approve, "needs_approval", lambda *_: "few exams")
    assert (go(settings), server.keys) == ([], {})
    assert approve.waiting_releases(settings) == ["r-2"]


class Started:
    """The client of a stack that starts, for the runs that it finds."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def read_flow_runs(self, **given: Any) -> list[Any]:
        return self.server.read_flow_runs(**given)

    async def set_flow_run_state(self, *given: Any, **more: Any) -> None:
        self.server.set_flow_run_state(*given, **more)


def test_a_stack_that_starts_crashes_what_was_paused_without_a_process(server: Server) -> None:
    dead, alive = server.add(Paused()), server.add(Paused())
    client: Any = Started(server)
    assert asyncio.run(stack_deployments.clear_lost_runs(client, {alive})) == 1
    states = [server.runs[one].state.type for one in (dead, alive)]
    assert states == [StateType.CRASHED, StateType.PAUSED]
