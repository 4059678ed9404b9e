"""The whole stack, for real: start, kill, come back, follow a run, end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from flows import stack
from flows.automations import AUTOMATION
from flows.stack_services import ROOT
from flows.stack_state import StackState, find_processes, read_state
from mammo.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def running(settings: Settings) -> Iterator[Settings]:
    report = stack.up(settings, timeout=300)
    assert report.healthy
    yield settings
    stack.down(settings)


def state_of(settings: Settings) -> StackState:
    state = read_state(settings.home)
    assert state is not None
    return state


def wait(settings: Settings, reached: Callable[[StackState], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not reached(state_of(settings)):
        assert time.monotonic() < deadline, state_of(settings)
        time.sleep(0.2)


def came_back(state: StackState, name: str) -> bool:
    return state.services[name].restarts == 1 and state.services[name].status == "healthy"


def test_killed_services_and_supervisor_come_back_and_nothing_is_left(running: Settings) -> None:
    before = state_of(running)
    for name in ("service", "worker"):
        process = before.services[name].process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
    for name in ("service", "worker"):
        wait(running, lambda state, name=name: came_back(state, name))  # type: ignore[misc]

    os.kill(before.supervisor.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before.supervisor.pid)], timeout=5)
    report = stack.up(running, timeout=300)
    after = state_of(running)
    assert report.healthy
    assert after.services["prefect"].process == before.services["prefect"].process

    assert_an_event_starts_one_run(running)

    assert stack.down(running) != []
    assert stack.down(running) == []
    assert list(find_processes(before.token)) == []


def assert_an_event_starts_one_run(settings: Settings) -> None:
    """Emit one episode three times; the automation starts one run, with its key.

    In a process of its own: Prefect keeps to the server that a process has met first.
    """
    code = "from tests.flows.test_stack_end_to_end import emit_and_tell; emit_and_tell()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=settings.child_environment(),
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [["e-1", "AUTOMATION", AUTOMATION]]


def emit_and_tell() -> None:
    """Emit the episode and print the runs that it started."""
    from flows.automations import emit_episode

    episode = {"key": "e-1", "cause": "concept", "action": "retrain", "stratum": "Phantom/Draco"}
    for _ in range(3):
        emit_episode(episode)
    emit_episode(episode | {"key": "e-2", "action": "note"})
    runs = wait_for_runs(1)
    time.sleep(3)
    assert wait_for_runs(1) == runs
    print(json.dumps(runs))


def wait_for_runs(count: int) -> list[tuple[str, str, str]]:
    from prefect.client.orchestration import get_client

    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            runs = [run for run in client.read_flow_runs() if "episode_key" in run.parameters]
            if len(runs) >= count:
                break
            assert time.monotonic() < deadline
            time.sleep(0.5)
    by = [(run, run.created_by) for run in runs]
    return [(r.parameters["episode_key"], b.type, b.display_value) for r, b in by if b]
