from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.stack_services import SERVICE_VARIABLE, TOKEN_VARIABLE
from flows.stack_state import (
    ProcessId,
    ServiceState,
    StackState,
    end_processes,
    end_stack,
    find_processes,
    flow_runs_alive,
    read_state,
    remove_state,
    state_path,
    write_state,
)

SLEEP = "import time; time.sleep(60)"
# a parent that starts a child in a session of its own, as servers start their workers
NESTED = (
    "import subprocess, sys, time; "
    f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True); time.sleep(60)"
)


def start(code: str, token: str, **marks: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, TOKEN_VARIABLE: token, SERVICE_VARIABLE: "worker", **marks}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)


def wait_for(token: str, count: int) -> list[int]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [process.pid for process in find_processes(token)]
        if len(found) == count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{len(found)} processes carry the token, not {count}")


@pytest.fixture
def token(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"test-{os.getpid()}-{request.node.name}"
    yield name
    end_processes(find_processes(name), grace_seconds=1)


def make_state(token: str, **services: ServiceState) -> StackState:
    supervisor = ProcessId(2**22, 1.0)
    return StackState(token, supervisor, "2026-01-01T00:00:00+00:00", {"host": "x"}, services)


def test_state_survives_a_round_trip(tmp_path: Path) -> None:
    service = ServiceState("healthy", ProcessId(7, 12.5), 4200, "http://x", 2, "t0", "t1", -9)
    state = make_state("t", prefect=service, worker=ServiceState())
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"token": "t"}', '{"services": 3}'])
def test_unreadable_state_is_no_state(tmp_path: Path, text: str) -> None:
    state_path(tmp_path).write_text(text)
    assert read_state(tmp_path) is None


def test_removing_twice_is_quiet(tmp_path: Path) -> None:
    write_state(tmp_path, make_state("t"))
    remove_state(tmp_path)
    remove_state(tmp_path)
    assert read_state(tmp_path) is None


def test_a_recycled_id_is_not_ours() -> None:
    mine = ProcessId.of(os.getpid())
    assert mine is not None and mine.process() is not None
    assert ProcessId(mine.pid, mine.create_time - 100).process() is None
    assert ProcessId.of(2**22 + 1) is None


def test_children_in_their_own_session_are_found_and_ended(token: str) -> None:
    parent = start(NESTED, token)
    found = wait_for(token, 2)
    parent.kill()
    parent.wait()
    (orphan,) = wait_for(token, 1)
    assert orphan in found and orphan != parent.pid
    end_stack(make_state(token), grace_seconds=2)
    assert list(find_processes(token)) == []


def test_a_process_that_ignores_sigterm_is_killed(token: str) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
    child = start(code, token)
    wait_for(token, 1)
    time.sleep(0.3)  # until the handler is in place
    assert end_processes(find_processes(token), grace_seconds=0.5) == [child.pid]
    assert list(find_processes(token)) == []


def test_ending_spares_what_has_another_create_time(token: str) -> None:
    child = start(SLEEP, "another-token")
    try:
        recycled = ServiceState("healthy", ProcessId(child.pid, 1.0))
        assert end_stack(make_state(token, prefect=recycled), grace_seconds=1) == []
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_flow_runs_are_known_by_their_process(token: str) -> None:
    child = start(SLEEP, token, PREFECT__FLOW_RUN_ID="run-1")
    wait_for(token, 1)
    assert flow_runs_alive(token) == {"run-1"}
    child.kill()
    child.wait()
    assert flow_runs_alive(token) == set()
