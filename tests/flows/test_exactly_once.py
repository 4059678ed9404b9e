"""One action for each episode on a real Prefect server, whatever happens to its event.

One stack (server, deployments, worker) for all cases, each with episodes of its own. The
flow behind the automation claims and closes as the real one does; between the two it
writes a line instead of training (`acting_flow.py`).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from bentos.screening.change_record import write_change
from flows import stack
from flows.servers import free_port
from flows.stack_services import ROOT
from flows.stack_state import flow_runs_alive, read_state
from mammo.pointer import read_pointer, write_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import write_json
from mammo.settings import Settings
from tests.bentos.conftest import make_release
from tests.flows.acting_flow import read_actions
from tests.flows.conftest import PORTS

pytestmark = pytest.mark.stack
SERVICES = ("prefect", "deployments", "worker")
EVENTS, EPISODES = 50, 3
SECONDS = 900.0
"""Long: what is looked for is how often, not how soon."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Server and worker, a release in service, and the flow that writes lines."""
    home = tmp_path_factory.mktemp("home")
    ports: dict[str, Any] = {name: free_port() for name in PORTS}
    settings = Settings(home=home, **ports)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.child_environment().items():
            patch.setenv(name, value)
        for name, port in ports.items():
            patch.setenv(f"MAMMO_{name.upper()}", str(port))
        assert stack.up(settings, services=SERVICES, timeout=SECONDS).healthy
        try:
            serve_nothing(settings)
            with talking_to(settings.prefect_api_url):
                asyncio.run(deploy_acting_flow())
                yield settings
        finally:
            stack.down(settings)


@contextmanager
def talking_to(url: str) -> Iterator[None]:
    """Make this process a client of the server; else Prefect starts one of its own, or keeps one.

    It has read the environment when it was imported, maybe by an earlier test.
    """
    from prefect.events.clients import PrefectEventsClient
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        EventsWorker.set_client_override(PrefectEventsClient, api_url=url)
        try:
            yield
        finally:
            EventsWorker.instance().drain()
            EventsWorker.set_client_override(None)


def serve_nothing(settings: Settings) -> None:
    """Point to a release that is there, with the record of its coming."""
    folder = settings.releases_dir / "r-1"
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", make_release("r-1").to_dict())
    place = {"release_id": "r-1", "bento_tag": "screening:r-1", "release_dir": str(folder)}
    at = datetime.now(UTC).isoformat()
    write_pointer(settings.pointer_path, place | {"previous": None, "changed_at": at})
    pointer = read_pointer(settings.pointer_path)
    assert pointer is not None
    write_change(pointer, settings)


async def deploy_acting_flow() -> None:
    """Put the flow behind the automation; nothing starts by the clock: it could mend first."""
    from prefect.client.orchestration import get_client

    from flows.stack_deployments import apply_deployment, read_deployments

    acting = {"retrain": {"entrypoint": "tests/flows/acting_flow.py:retrain"}}
    async with get_client() as client:
        for one in read_deployments(ROOT / "prefect.yaml"):
            changes = {"schedules": []} | acting.get(one["name"], {})
            await apply_deployment(client, one | changes, ROOT)


@pytest.fixture
def log(running: Settings) -> PredictionLog:
    return PredictionLog(running.log_url).create()


def open_episode(log: PredictionLog, key: str, *, minutes_ago: float = 0) -> dict[str, Any]:
    values = {"stratum": "Phantom/Draco", "cause": "concept", "action": "retrain"}
    assert log.open_episode(key, release_id="r-1", **values)
    log.update_episode(key, opened_at=datetime.now(UTC) - timedelta(minutes=minutes_ago))
    return values | {"key": key}


def wait(reached: Callable[[], bool], told: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline, told()
        time.sleep(0.3)


def wait_closed(log: PredictionLog, *keys: str) -> None:
    def left() -> dict[str, str]:
        states = {key: (log.episode(key) or {}).get("status") for key in keys}
        return {key: str(one) for key, one in states.items() if one != "closed"}

    wait(lambda: not left(), left)


def steps(settings: Settings, key: str, step: str) -> list[dict[str, Any]]:
    lines = read_actions(settings.home / "actions.jsonl")
    return [one for one in lines if (one["key"], one["step"]) == (key, step)]


def wait_began(settings: Settings, key: str, times: int = 1) -> int:
    """Return the process that acts on the episode."""
    wait(lambda: len(steps(settings, key, "began")) >= times, lambda: key)
    return int(steps(settings, key, "began")[-1]["pid"])


def assert_acted_once(settings: Settings, key: str, tries: int = 1) -> None:
    assert len(steps(settings, key, "ended")) == 1
    began = steps(settings, key, "began")
    assert (len(began), [one["beside"] for one in began]) == (tries, [[]] * tries)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait(lambda: not psutil.pid_exists(pid) or _is_zombie(pid), lambda: f"{pid} lives")


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def pid_of(settings: Settings, service: str) -> int:
    state = read_state(settings.home)
    assert state is not None
    process = state.services[service].process
    assert process is not None
    return process.pid


def wait_restarted(settings: Settings, service: str, pid: int) -> None:
    def restarted() -> bool:
        state = read_state(settings.home)
        assert state is not None
        one = state.services[service]
        return one.status == "healthy" and one.process is not None and one.process.pid != pid

    wait(restarted, lambda: f"{service} did not come back")


def start(deployment: str, parameters: dict[str, Any]) -> Any:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        return client.create_flow_run_from_deployment(found.id, parameters=parameters).id


def wait_over(*runs: Any) -> list[str]:
    """Return the state types in which the runs ended."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:

        def states() -> list[Any]:
            return [client.read_flow_run(one).state for one in runs]

        wait(lambda: all(one is not None and one.is_final() for one in states()), states)
        return [str(one.type.value) for one in states()]


def reconcile() -> None:
    assert wait_over(start("reconcile/reconcile", {})) == ["COMPLETED"]


def test_fifty_events_in_any_order_are_one_action_each(
    running: Settings, log: PredictionLog
) -> None:
    """Duplicates, events of a note between them, and two starts by hand on top."""
    from flows.automations import emit_episode

    episodes = [open_episode(log, f"r-1:many:act:{number}") for number in range(EPISODES)]
    note = episodes[0] | {"key": "r-1:many:note-concept:1", "action": "note"}
    events = [*(episodes[number % EPISODES] for number in range(EVENTS - 2)), note, note]
    random.Random(7).shuffle(events)
    for one in events:
        emit_episode(one)
    by_hand = [start("retrain/retrain", {"episode_key": episodes[0]["key"]}) for _ in range(2)]
    keys = [one["key"] for one in episodes]
    wait_closed(log, *keys)
    for key in keys:
        assert_acted_once(running, key)
    assert wait_over(*by_hand) == ["COMPLETED"] * 2
    assert steps(running, note["key"], "began") == []


def test_killed_worker_and_killed_run(running: Settings, log: PredictionLog) -> None:
    """The run of a killed worker goes on; one killed with it is taken up by the reconciler."""
    from flows.automations import emit_episode

    hold = running.home / "hold"
    hold.touch()
    survives = open_episode(log, "r-1:killed:act:1")
    emit_episode(survives)
    wait_began(running, survives["key"])
    worker = pid_of(running, "worker")
    kill(worker)
    hold.unlink()
    wait_closed(log, survives["key"])
    assert_acted_once(running, survives["key"])
    wait_restarted(running, "worker", worker)

    hold.touch()
    dies = open_episode(log, "r-1:killed:act:2", minutes_ago=10)
    emit_episode(dies)
    acting, worker = wait_began(running, dies["key"]), pid_of(running, "worker")
    os.kill(worker, signal.SIGKILL)
    kill(acting)
    hold.unlink()
    wait_restarted(running, "worker", worker)
    assert (log.episode(dies["key"]) or {})["status"] == "acting", "nobody has told of its end"
    reconcile()
    wait_closed(log, dies["key"])
    assert_acted_once(running, dies["key"], tries=2)


def test_restarted_server_and_lost_event(running: Settings, log: PredictionLog) -> None:
    """The server is killed under a run; an event of meanwhile never comes."""
    from flows.automations import emit_episode

    hold = running.home / "hold"
    hold.touch()
    running_on = open_episode(log, "r-1:server:act:1")
    emit_episode(running_on)
    wait_began(running, running_on["key"])
    server = pid_of(running, "prefect")
    kill(server)
    lost = open_episode(log, "r-1:server:act:2", minutes_ago=10)
    wait_restarted(running, "prefect", server)
    hold.unlink()
    wait_closed(log, running_on["key"])
    reconcile()
    reconcile()
    wait_closed(log, lost["key"])
    for one in (running_on, lost):
        assert_acted_once(running, one["key"])


def test_nothing_is_left_to_be_done(running: Settings, log: PredictionLog) -> None:
    """After all of it: no episode open, none acting, no process of a run."""
    state = read_state(running.home)
    assert state is not None
    wait(lambda: not flow_runs_alive(state.token), lambda: flow_runs_alive(state.token))
    assert {one["status"] for one in log.episodes()} == {"closed"}
    ended = [
        one["key"] for one in read_actions(running.home / "actions.jsonl") if one["step"] == "ended"
    ]
    assert sorted(ended) == sorted(one["key"] for one in log.episodes())
