"""A release that a person approved comes into service though its run has died, once.

Against the stand-in for Prefect's server, with the gate's books and releases as they are; a
run that lives is in `test_approve.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import NotPausedError
from prefect.states import Completed, Crashed, Paused, Running

from bentos.screening import confirmation
from flows import approve, flow_runs, follow, reconcile, stack_deployments
from mammo.continual.unfinished import begin
from mammo.errors import PackagingFailed
from mammo.folder_entries import write_json
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import MANIFEST, Release
from mammo.settings import Settings
from tests.bentos import judging
from tests.bentos.conftest import make_release
from tests.flows.test_reconcile import Server

KEY = "approved:r-2"


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Server:
    """r-1 in service; r-2 passed the gate, which asked a person, and one has approved it."""
    one = Server()
    for module in (flow_runs, reconcile, approve):
        monkeypatch.setattr(module, "get_client", lambda **_: one)
    monkeypatch.setattr(approve, "require_running", lambda _: None)
    monkeypatch.setattr(approve, "resume_flow_run", partial(resume, one))
    monkeypatch.setenv("MAMMO_STACK_TOKEN", "t")
    monkeypatch.setattr(flow_runs, "flow_runs_alive", lambda _: set())
    settings.home.mkdir(parents=True)
    write_pointer(settings.pointer_path, {"release_id": "r-1"})
    make(settings, "r-2")
    judge(settings, "r-2", approval="few exams")
    say_yes(settings, "r-2")
    return one


def resume(server: Server, run_id: UUID) -> None:
    if server.runs[str(run_id)].state.type is not StateType.PAUSED:
        raise NotPausedError
    server.set_flow_run_state(run_id, Running(), force=True)


def make(settings: Settings, name: str) -> None:
    release = replace(make_release(name), digest="")
    sealed = replace(release, digest=release.compute_digest())
    (settings.releases_dir / name).mkdir(parents=True)
    write_json(settings.releases_dir / name / MANIFEST, sealed.to_dict())


def digest_of(settings: Settings, name: str) -> str:
    return Release.read(settings.releases_dir / name).digest


def judge(settings: Settings, name: str, **decision: Any) -> None:
    key = f"gate {len(PredictionLog(settings.log_url).create().gates())}"
    judging.judge(settings, name, digest_of(settings, name), key=key, champion="r-1", **decision)


def say_yes(settings: Settings, name: str) -> None:
    judging.approve(settings, name, digest_of(settings, name))


def ask(settings: Settings, run: str, episode: str | None = None, name: str = "r-2") -> None:
    waiting = {"run": run, "reason": "labels", "episode_key": episode}
    PredictionLog(settings.log_url).set_watermark(f"approval:{name}", 0, waiting)


def go(settings: Settings) -> list[str]:
    """Reconcile: mark the dead, then begin what is left; the Bento takes no time here."""
    flow_runs.crash_dead(settings)
    told = approve.begin_approved(settings, lambda _: None)
    return [name for name, what in told.items() if what == approve.BEGUN]


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
    told = approve.begin_approved(settings, lambda _: None)
    assert told == {
        "r-2": "is given up: three deployments of it have failed. "
        "`mammo package r-2`, then `mammo deploy r-2 --rollout` begins it"
    }
    assert approve.begin_approved(settings, lambda _: None) == {}
    assert PredictionLog(settings.log_url).watermark("approval:r-2").state == {}


@pytest.mark.parametrize(
    ("again", "waits", "asked"),
    [
        (None, True, ["r-3"]),
        ({"passed": False}, False, []),  # by the rerun, on newer exams
        ({"passed": True}, True, []),  # `mammo gate`: the golden set has grown
        ({"passed": True, "approval": "few exams"}, True, ["r-3"]),
    ],
)
def test_what_nobody_approved_is_not_begun(
    settings: Settings,
    server: Server,
    again: dict[str, Any] | None,
    waits: bool,
    asked: list[str],
) -> None:
    make(settings, "r-3")
    judge(settings, "r-3", approval="few exams")
    ask(settings, server.add(Crashed()), name="r-3")
    if again is not None:
        judge(settings, "r-3", **again)
    assert approve.waiting_releases(settings) == asked
    assert (go(settings), server.keys) == ([], {})
    assert bool(PredictionLog(settings.log_url).watermark("approval:r-3").state) is waits
    say_yes(settings, "r-3")
    assert go(settings) == (["r-3"] if waits else [])


def test_what_was_approved_and_then_refused_is_not_begun(
    settings: Settings, server: Server
) -> None:
    run = server.add(Running())
    ask(settings, run)
    judge(settings, "r-2", passed=False)
    server.runs[run].state = Crashed()
    assert (go(settings), server.keys) == ([], {})
    assert PredictionLog(settings.log_url).watermark("approval:r-2").state == {}


def test_nothing_takes_the_place_of_what_is_on_trial(settings: Settings, server: Server) -> None:
    ask(settings, server.add(Crashed()))
    trial = {"release_id": "r-9", "plan": {"stages": ["shadow"]}}
    write_pointer(settings.pointer_path, {"release_id": "r-1", "challenger": trial})
    assert (go(settings), server.keys) == ([], {})
    write_pointer(settings.pointer_path, {"release_id": "r-9"})
    assert go(settings) == ["r-2"]


def test_one_deployment_is_waited_for_before_the_next(settings: Settings, server: Server) -> None:
    """The second of two would end the first one's trial."""
    ask(settings, server.add(Crashed()))
    make(settings, "r-3")
    judge(settings, "r-3", approval="few exams")
    say_yes(settings, "r-3")
    ask(settings, server.add(Crashed()), name="r-3")
    assert [go(settings) for _ in range(2)] == [["r-2"], []]
    server.keys[f"{KEY}:1"].state = Completed()
    write_pointer(settings.pointer_path, {"release_id": "r-2"})
    assert go(settings) == ["r-3"]


def test_no_deployment_is_tried_while_no_service_answers(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(settings, server.add(Crashed()))
    with monkeypatch.context() as away:
        away.setattr(approve, "require_running", confirmation.require_running)
        for _ in range(4):  # more often than a release that fails is tried
            told = approve.begin_approved(settings, lambda _: None)
            assert list(told) == ["r-2"]
            assert told["r-2"].startswith("waits for the service: No service answers at")
        approved = approve.approve_release(settings, "r-2", "reread")
        assert approved["goes_on"] is None
        assert approved["then"].startswith("The reconciler begins its rollout while the service")
    assert server.keys == {}
    assert go(settings) == ["r-2"]


def test_who_approves_where_no_stack_is_seen_is_told_who_begins_it(
    settings: Settings, server: Server
) -> None:
    """As in a container, which has no `mammo up`: its approval is written and not an error."""
    ask(settings, server.add(Completed()))
    told = approve.approve_release(settings, "r-2", "reread")
    assert (told["goes_on"], server.keys) == (None, {})
    assert told["then"].startswith("The reconciler begins its rollout while the service answers")
    assert go(settings) == ["r-2"]


@pytest.mark.parametrize("where", ["given up", "nobody asked", "on trial"])
def test_who_approves_is_told_what_to_do_where_nothing_goes_on(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(follow, "run_and_follow", lambda *_: None)
    if where != "nobody asked":
        ask(settings, server.add(Crashed()))
    if where == "on trial":
        trial = {"release_id": "r-9", "plan": {"stages": ["shadow"]}}
        write_pointer(settings.pointer_path, {"release_id": "r-1", "challenger": trial})
    if where == "given up":
        for attempt in (1, 2, 3):
            assert go(settings) == ["r-2"]
            server.keys[f"{KEY}:{attempt}"].state = State(type=StateType.FAILED)
        assert "is given up" in approve.begin_approved(settings, lambda _: None)["r-2"]
    runs = len(server.keys)
    told = approve.approve_release(settings, "r-2", "reread")
    assert (told["goes_on"], len(server.keys)) == (None, runs)
    assert "`mammo deploy r-2 --rollout`" in told["then"]
    assert ("r-9 is on trial" in told["then"]) is (where == "on trial")


def test_nobody_is_told_to_move_what_was_moved(settings: Settings, server: Server) -> None:
    PredictionLog(settings.log_url).add_change("r-2", {"stage": "champion"})
    told = approve.approve_release(settings, "r-2", "reread")
    assert told["goes_on"] is None
    assert "then" not in told


@pytest.mark.parametrize("fails", ["its Bento", "its folder"])
def test_one_that_cannot_be_begun_stops_no_other_and_is_given_up(
    settings: Settings, server: Server, fails: str
) -> None:
    make(settings, "r-3")
    judge(settings, "r-3", approval="few exams")
    say_yes(settings, "r-3")
    for name in ("r-2", "r-3"):
        ask(settings, server.add(Crashed()), name=name)
    if fails == "its folder":
        (settings.releases_dir / "r-2" / MANIFEST).unlink()

    def package(name: str) -> None:
        if name == "r-2":
            raise PackagingFailed("no wheel.")

    told = []
    for _ in range(4):
        told.append(approve.begin_approved(settings, package))
        for run in server.keys.values():
            run.state = Completed()
        write_pointer(settings.pointer_path, {"release_id": "r-3"})
    code = {"its Bento": "PACKAGING_FAILED", "its folder": "RELEASE_NOT_FOUND"}[fails]
    assert told[0]["r-3"] == approve.BEGUN
    assert [one["r-2"].split(":")[0] for one in told[:3]] == [
        f"is tried again, {code}",
        f"is tried again, {code}",
        f"is given up, {code}",
    ]
    assert "mammo deploy r-2 --rollout" in told[2]["r-2"]
    assert told[3] == {}
    assert list(server.keys) == ["approved:r-3:1"]


def test_what_is_given_up_is_told(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []
    monkeypatch.setattr(
        reconcile, "create_markdown_artifact", lambda markdown, **_: pages.append(markdown)
    )
    reconcile.explain.fn({"freed_episodes": [], "approved_releases": {}})
    reconcile.explain.fn({"approved_releases": {"r-2": "is given up", "r-3": "is begun"}})
    assert pages == ["## Brought to an end\n- approved releases: r-2 is given up; r-3 is begun"]


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
