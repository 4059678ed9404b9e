"""What is freed, started and crashed, against a stand-in for Prefect's server.

The server itself is in `test_exactly_once.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import httpx
import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
)

from flows import flow_runs, reconcile, stack_deployments
from mammo.continual.fresh_labels import FreshLabels
from mammo.continual.unfinished import begin, unfinished
from mammo.errors import DeployFailed, SourceInvalid
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from monitoring.policy import read_policy

OLD = datetime.now(UTC) - timedelta(hours=1)


class Server:
    """Knows flow runs by id, and by idempotency key as Prefect's database does."""

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}
        self.keys: dict[str, Any] = {}
        self.asked = 0

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def add(self, state: State[Any] | None, **more: Any) -> str:
        usual: dict[str, Any] = {
            "auto_scheduled": False,
            "next_scheduled_start_time": None,
            "parameters": {},
        }
        run = SimpleNamespace(id=uuid4(), state=state, **usual | more)
        self.runs[str(run.id)] = run
        return str(run.id)

    def read_flow_run(self, run_id: UUID) -> Any:
        self.asked += 1
        if str(run_id) not in self.runs:
            raise ObjectNotFound(http_exc=httpx.HTTPError("404"))
        return self.runs[str(run_id)]

    def read_flow_runs(self, *, flow_run_filter: Any, **_: Any) -> list[Any]:
        types = flow_run_filter.state.type.any_
        return [one for one in self.runs.values() if one.state and one.state.type in types]

    def read_deployment_by_name(self, name: str) -> Any:
        return SimpleNamespace(id=uuid5(NAMESPACE_URL, name))

    def create_flow_run_from_deployment(
        self, _id: UUID, *, parameters: dict[str, Any], idempotency_key: str
    ) -> Any:
        if idempotency_key not in self.keys:
            run = self.add(Scheduled(), parameters=parameters)
            self.keys[idempotency_key] = self.runs[run]
        return self.keys[idempotency_key]

    def set_flow_run_state(self, run_id: UUID, state: State[Any], *, force: bool) -> None:
        self.runs[str(run_id)].state = state


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    one = Server()
    for module in (flow_runs, reconcile):
        monkeypatch.setattr(module, "get_client", lambda **_: one)
    return one


@pytest.fixture
def log(settings: Settings) -> Iterator[PredictionLog]:
    log = PredictionLog(settings.log_url).create()
    yield log
    log.close()


def take(log: PredictionLog, key: str, run_id: str | None = None) -> None:
    values = {"stratum": "s", "cause": "acquisition", "action": "retrain", "release_id": "r-1"}
    log.open_episode(key, **values)
    log.update_episode(key, opened_at=OLD)
    if run_id:
        log.update_episode(key, status="acting", flow_run_id=run_id)


def statuses(log: PredictionLog) -> dict[str, str]:
    return {one["key"]: one["status"] for one in log.episodes()}


def test_episodes_of_dead_runs_are_open_again(
    settings: Settings, log: PredictionLog, server: Server
) -> None:
    crashed, running = server.add(Crashed()), server.add(Running())
    for key, run in {"a": crashed, "b": running, "c": str(uuid4()), "d": "no run"}.items():
        take(log, key, run)
    take(log, "e")
    assert flow_runs.free_abandoned(settings) == ["a", "c", "d"]
    assert statuses(log) == {"a": "open", "b": "acting", "c": "open", "d": "open", "e": "open"}


def test_prefect_is_not_asked_where_nothing_acts(
    settings: Settings, log: PredictionLog, server: Server
) -> None:
    take(log, "a")
    assert flow_runs.free_abandoned(settings) == []
    assert server.asked == 0


def test_what_another_run_took_up_meanwhile_is_not_freed(log: PredictionLog) -> None:
    """Monitor and reconciler both saw a crashed run; between their steps a new one came."""
    take(log, "a", "run-1")
    seen = log.episodes("acting")
    assert flow_runs.free(log, seen, {"run-1": "CRASHED"}) == ["a"]
    assert log.update_episode("a", if_status="open", status="acting", flow_run_id="run-2")
    assert flow_runs.free(log, seen, {"run-1": "CRASHED"}) == []
    episode = log.episode("a")
    assert episode is not None
    assert (episode["status"], episode["flow_run_id"]) == ("acting", "run-2")


def test_a_lost_episode_is_started_once(
    settings: Settings, log: PredictionLog, server: Server
) -> None:
    take(log, "a")
    assert [flow_runs.start_lost(settings) for _ in range(3)] == [["a"], [], []]
    assert list(server.keys) == ["a:1"]


def test_a_run_that_waits_for_its_turn_is_not_started_again(
    settings: Settings, log: PredictionLog, server: Server
) -> None:
    take(log, "a")
    server.add(Scheduled(), parameters={"episode_key": "a"})  # by the automation
    assert flow_runs.start_lost(settings) == []


@pytest.mark.parametrize("ended", [Crashed, Cancelled])  # Cancelled: the episode is still open
def test_three_runs_that_left_an_episode_are_enough(
    settings: Settings, log: PredictionLog, server: Server, ended: Callable[[], State[Any]]
) -> None:
    take(log, "a")
    for attempt in (1, 2, 3):
        assert flow_runs.start_lost(settings) == ["a"]
        server.keys[f"a:{attempt}"].state = ended()
    assert flow_runs.start_lost(settings) == []
    assert statuses(log) == {"a": "failed"}


@pytest.mark.parametrize(
    ("state", "alive", "crashed"),
    [
        (Running, False, True),
        (Running, True, False),
        (Paused, False, True),  # it waited for a person in its process
        (Paused, True, False),
        (Pending, False, False),  # of this instant: its process may be on the way
        (partial(State, type=StateType.PENDING, timestamp=OLD), False, True),
        (Completed, False, False),
        (Cancelling, True, False),
    ],
)
def test_runs_without_a_process_have_crashed(
    settings: Settings,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    state: Callable[[], State[Any]],
    alive: bool,
    crashed: bool,
) -> None:
    run = server.add(state())
    monkeypatch.setattr(flow_runs, "flow_runs_alive", lambda _: {run} if alive else set())
    assert flow_runs.crash_dead(settings) == [], "outside a stack nobody can tell"
    monkeypatch.setenv("MAMMO_STACK_TOKEN", "t")
    assert flow_runs.crash_dead(settings) == ([run] if crashed else [])
    assert (server.runs[run].state.type is StateType.CRASHED) is crashed


def test_a_run_that_died_while_it_was_cancelled_is_cancelled(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker died before it could tell; crashed, it would be started again."""
    run = server.add(Cancelling())
    monkeypatch.setattr(flow_runs, "flow_runs_alive", lambda _: set())
    monkeypatch.setenv("MAMMO_STACK_TOKEN", "t")
    assert flow_runs.crash_dead(settings) == [run]
    assert server.runs[run].state.type is StateType.CANCELLED


def test_a_stack_that_starts_cancels_what_was_being_cancelled(server: Server) -> None:
    """The stack went down between a person's word and the end of the process."""

    async def read_flow_runs(**given: Any) -> list[Any]:
        return server.read_flow_runs(**given)

    async def set_flow_run_state(*given: Any, **more: Any) -> None:
        server.set_flow_run_state(*given, **more)

    client: Any = SimpleNamespace(
        read_flow_runs=read_flow_runs, set_flow_run_state=set_flow_run_state
    )
    stopped, died = server.add(Cancelling()), server.add(Running())
    assert asyncio.run(stack_deployments.clear_lost_runs(client, set())) == 2
    states = [server.runs[one].state.type for one in (stopped, died)]
    assert states == [StateType.CANCELLED, StateType.CRASHED]


def test_the_reconciler_does_not_crash_itself(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`find_processes` never finds its caller."""
    own = server.add(Running())
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", own)
    monkeypatch.setenv("MAMMO_STACK_TOKEN", "t")
    assert flow_runs.crash_dead(settings) == []


def test_a_run_that_ended_while_it_was_looked_at_has_not_crashed(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = server.add(Running())

    def end(_token: str) -> set[str]:
        server.runs[run].state = Completed()
        return set()

    monkeypatch.setattr(flow_runs, "flow_runs_alive", end)
    monkeypatch.setenv("MAMMO_STACK_TOKEN", "t")
    assert flow_runs.crash_dead(settings) == []
    assert server.runs[run].state.type is StateType.COMPLETED


@pytest.mark.parametrize(
    ("exams", "cancers", "runs"), [(500, 20, 1), (499, 20, 0), (500, 19, 0), (1200, 60, 1)]
)
def test_enough_new_outcomes_start_one_retraining(
    settings: Settings,
    log: PredictionLog,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    exams: int,
    cancers: int,
    runs: int,
) -> None:
    fresh = FreshLabels("r-1", exams, cancers)
    monkeypatch.setattr(reconcile, "fresh_labels", lambda _: fresh)
    for _ in range(3):
        reconcile.start_on_labels.fn(settings)
    given = {"reason": "labels", "work": "labels:r-1:1" if exams < 1000 else "labels:r-1:2"}
    assert [one.parameters for one in server.runs.values()] == [given] * runs


@pytest.mark.parametrize("busy", ["episode", "run", "trial"])
def test_one_retraining_at_a_time(
    settings: Settings,
    log: PredictionLog,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    busy: str,
) -> None:
    monkeypatch.setattr(reconcile, "fresh_labels", lambda _: FreshLabels("r-1", 900, 90))
    if busy == "episode":
        take(log, "a")
    elif busy == "run":
        server.add(Running(), parameters={"reason": "schedule"})
    else:  # the candidate of the last one: exams of its shadow and canary are what it needs
        place = {"release_id": "r-2", "bento_tag": "b:2", "plan": {"stages": ["shadow"]}}
        write_pointer(settings.pointer_path, {"release_id": "r-1", "challenger": place})
    told = reconcile.start_on_labels.fn(settings)
    assert told == {"newest": "r-1", "exams": 900, "cancers": 90, "started": None}
    assert server.keys == {}


@pytest.mark.parametrize(
    ("state", "work", "runs", "left"),
    [
        (Crashed, "labels:r-1:1", 1, True),
        (partial(State, type=StateType.FAILED), "labels:r-1:1", 1, True),
        (Running, "labels:r-1:1", 0, True),
        (Completed, "labels:r-1:1", 0, False),
        (partial(State, type=StateType.CANCELLED), "labels:r-1:1", 0, False),  # a person's word
        (None, "labels:r-1:1", 1, True),  # of a Prefect database that is gone
        (Crashed, None, 1, True),  # by schedule: named by its first run
    ],
)
def test_a_retraining_without_an_episode_goes_on_after_its_run_died(
    settings: Settings,
    log: PredictionLog,
    server: Server,
    state: Callable[[], State[Any]] | None,
    work: str | None,
    runs: int,
    left: bool,
) -> None:
    """Its candidate is sealed and counts as one that has learnt: no outcome is new."""
    given = {"reason": "schedule", "strategy": "ewc"} if state else {}
    run = server.add(state(), parameters=given) if state else str(uuid4())
    work = work or run
    begin(settings, work, run)
    for _ in range(3):
        reconcile.start_unfinished.fn(settings)
    started = [one.parameters for key, one in server.keys.items() if key == f"{work}:1"]
    assert started == [given | {"work": work}] * runs
    assert len(server.keys) == runs
    assert (unfinished(settings) is not None) is left


def test_three_runs_that_left_a_retraining_are_enough(
    settings: Settings, log: PredictionLog, server: Server
) -> None:
    begin(settings, "labels:r-1:1", server.add(Crashed()))
    for _ in (1, 2, 3):
        run = reconcile.start_unfinished.fn(settings)
        assert run is not None
        begin(settings, "labels:r-1:1", run)
        server.runs[run].state = Crashed()
    assert reconcile.start_unfinished.fn(settings) is None
    assert unfinished(settings) is None


def test_a_schedule_of_next_month_is_not_under_way(server: Server) -> None:
    later = datetime.now(UTC) + timedelta(days=20)
    server.add(Scheduled(), auto_scheduled=True, next_scheduled_start_time=later)
    assert flow_runs.under_way(server, "retrain/retrain") == []  # type: ignore[arg-type]


def test_outcomes_that_three_runs_failed_on_wait_until_there_are_more(
    settings: Settings, log: PredictionLog, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for exams, started in [(500, True), (600, True), (700, True), (800, False), (1000, True)]:
        fresh = FreshLabels("r-1", exams, 90)
        monkeypatch.setattr(reconcile, "fresh_labels", lambda _, fresh=fresh: fresh)
        told = reconcile.start_on_labels.fn(settings)
        assert told is not None and bool(told["started"]) is started, exams
        for run in server.runs.values():
            run.state = Crashed()


@pytest.mark.parametrize("died", [0, 1])
@pytest.mark.parametrize("claimed", [False, True])
def test_outcomes_whose_retraining_a_person_cancelled_wait_until_there_are_more(
    settings: Settings,
    log: PredictionLog,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    died: int,
    claimed: bool,
) -> None:
    """Hours of training that a person stopped do not start again within ten minutes."""

    def go(exams: int) -> str | None:
        fresh = FreshLabels("r-1", exams, 90)
        monkeypatch.setattr(reconcile, "fresh_labels", lambda _: fresh)
        reconcile.start_unfinished.fn(settings)
        told = reconcile.start_on_labels.fn(settings)
        assert told is not None
        return told["started"]

    for state in [Crashed] * died + [Cancelled]:
        run = go(500)
        assert run is not None
        if claimed and state is Cancelled:
            begin(settings, "labels:r-1:1", run)
        server.runs[run].state = state()
    assert [go(exams) for exams in (500, 999)] == [None, None]
    assert len(server.keys) == died + 1
    assert go(1000) is not None
    assert "labels:r-1:2:1" in server.keys


def test_who_took_on_what_was_cancelled_and_died_is_followed(
    settings: Settings, log: PredictionLog, server: Server
) -> None:
    """The monthly run came between the person's word and the reconciler."""
    server.keys["labels:r-1:1:1"] = server.runs[server.add(Cancelled())]
    begin(settings, "labels:r-1:1", server.add(Crashed(), parameters={"reason": "schedule"}))
    run = reconcile.start_unfinished.fn(settings)
    assert run is not None
    assert server.runs[run].parameters == {"reason": "schedule", "work": "labels:r-1:1"}


@pytest.mark.parametrize("refused", [False, True])
def test_a_deployment_that_cannot_be_ended_stops_no_other_step(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """It comes before what asks which releases were on trial, and the run fails all the same."""
    told, problem = [], DeployFailed("Release r-2 did not come into service.")
    state: State[Any] = Failed(data=problem) if refused else Completed(data={"release": "r-2"})

    def step(name: str, given: Any = None) -> Callable[..., Any]:
        return lambda *_, **__: (told.append(name), given)[1]

    for name in ("crash_dead", "free_abandoned", "start_lost", "start_unfinished"):
        monkeypatch.setattr(reconcile, name, step(name, name))
    monkeypatch.setattr(reconcile, "start_on_labels", step("start_on_labels"))
    monkeypatch.setattr(reconcile, "begin_approved", step("begin_approved"))
    monkeypatch.setattr(reconcile, "finish_deployment", step("finish_deployment", state))
    explained: dict[str, Any] = {}
    monkeypatch.setattr(reconcile, "explain", explained.update)
    with pytest.raises(DeployFailed) if refused else nullcontext():
        assert reconcile.reconcile.fn() == explained
    assert told.index("finish_deployment") < told.index("start_unfinished")
    assert {"start_on_labels", "begin_approved"} <= set(told)
    ended = str(problem) if refused else {"release": "r-2"}
    assert explained["finished_deployment"] == ended
    assert explained["unfinished_retraining"] == "start_unfinished"


def test_a_programme_sets_what_is_enough(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    policy = settings.home / "monitor.yaml"
    policy.write_text("drift:\n  retrain:\n    exams: 40\n    cancers: 4\n")
    found = read_policy(settings)
    assert (found.retrain_exams, found.retrain_cancers) == (40, 4)
    policy.write_text("drift:\n  retrain:\n    exams: 0\n")
    with pytest.raises(SourceInvalid, match="retrain_exams is 0; allowed is more than 0"):
        read_policy(settings)
