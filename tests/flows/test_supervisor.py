from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from flows import stack_supervisor
from flows.stack_services import Service
from flows.stack_state import StackState, end_processes, find_processes, read_state, write_state
from flows.stack_supervisor import Supervisor, supervise
from mammo.errors import StackRunning
from mammo.settings import Settings

pytestmark = pytest.mark.slow

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
EXIT = (sys.executable, "-c", "raise SystemExit(3)")
PASS = (sys.executable, "-c", "pass")


def well(_started_at: object) -> bool:
    return True


class Running:
    """A supervisor in a thread, over a table of small services."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings, self.monkeypatch = settings, monkeypatch
        self.threads: list[tuple[Supervisor, threading.Thread]] = []
        settings.home.mkdir(parents=True, exist_ok=True)

    def start(self, *services: Service) -> Supervisor:
        self.monkeypatch.setattr(stack_supervisor, "list_services", lambda _settings: services)
        supervisor = Supervisor(self.settings)
        thread = threading.Thread(target=supervisor.run)
        thread.start()
        self.threads.append((supervisor, thread))
        return supervisor

    def stop(self) -> None:
        for supervisor, thread in self.threads:
            supervisor.stop()
            thread.join(timeout=30)
        self.threads.clear()

    def wait(self, reached: Callable[[StackState], bool], seconds: float = 15) -> StackState:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = read_state(self.settings.home)
            if state is not None and reached(state):
                return state
            time.sleep(0.05)
        raise AssertionError(f"not reached: {read_state(self.settings.home)}")


@pytest.fixture
def running(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    stack = Running(settings, monkeypatch)
    yield stack
    stack.stop()


def status_is(name: str, status: str) -> Callable[[StackState], bool]:
    return lambda state: state.services[name].status == status


def test_a_killed_service_comes_back_and_is_counted(running: Running) -> None:
    running.start(Service("service", "S", SLEEP, well))
    before = running.wait(status_is("service", "healthy")).services["service"].process
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    after = running.wait(
        lambda s: s.services["service"].restarts == 1 and s.services["service"].status == "healthy"
    )
    assert after.services["service"].process != before


def test_what_a_killed_server_leaves_behind_is_ended(running: Running) -> None:
    nested = f"import subprocess, time; subprocess.Popen({list(SLEEP)!r}); time.sleep(60)"
    supervisor = running.start(Service("service", "S", (sys.executable, "-c", nested), well))
    state = running.wait(status_is("service", "healthy"))
    process = state.services["service"].process
    while len(list(find_processes(supervisor.state.token))) < 2:
        time.sleep(0.05)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    running.wait(
        lambda s: s.services["service"].restarts == 1 and s.services["service"].status == "healthy"
    )
    time.sleep(0.5)
    assert len(list(find_processes(supervisor.state.token))) == 2


def test_a_job_runs_once_and_then_lets_others_start(running: Running) -> None:
    running.start(
        Service("deployments", "D", PASS, well, once=True),
        Service("worker", "W", SLEEP, well, after=("deployments",)),
    )
    state = running.wait(status_is("worker", "healthy"))
    assert state.services["deployments"].status == "done"
    assert state.services["deployments"].restarts == 0


def test_a_job_that_keeps_failing_is_given_up(running: Running) -> None:
    running.start(
        Service("deployments", "D", EXIT, well, once=True),
        Service("worker", "W", SLEEP, well, after=("deployments",)),
    )
    state = running.wait(status_is("deployments", "failed"))
    assert state.services["deployments"].exit_code == 3
    assert state.services["worker"].status == "waiting"


def test_stopping_ends_everything_and_forgets(running: Running) -> None:
    supervisor = running.start(Service("service", "S", SLEEP, well))
    running.wait(status_is("service", "healthy"))
    running.stop()
    assert list(find_processes(supervisor.state.token)) == []
    assert read_state(running.settings.home) is None


def test_a_new_supervisor_adopts_what_fits_and_ends_what_does_not(running: Running) -> None:
    kept, gone = Service("service", "S", SLEEP, well), Service("mlflow", "M", SLEEP, well)
    first = running.start(kept, gone)
    left = running.wait(lambda s: all(one.status == "healthy" for one in s.services.values()))
    # as kill -9 does it: the loop ends, the children and the state file stay
    _, thread = running.threads.pop()
    running.monkeypatch.setattr(stack_supervisor, "end_stack", lambda _state: [])
    running.monkeypatch.setattr(stack_supervisor, "remove_state", lambda _home: None)
    first.stop()
    thread.join(timeout=10)
    running.monkeypatch.undo()
    write_state(running.settings.home, left)

    running.start(kept)
    time.sleep(0.5)
    state = running.wait(status_is("service", "healthy"))
    assert state.services["service"].process == left.services["service"].process
    assert state.services["service"].restarts == 0
    assert [p.pid for p in find_processes(state.token)] == [state.services["service"].process.pid]  # type: ignore[union-attr]
    end_processes(find_processes(state.token), grace_seconds=1)


def test_only_one_supervisor_for_a_home(settings: Settings) -> None:
    import fcntl

    settings.home.mkdir(parents=True)
    with (settings.home / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StackRunning, match="a stack already runs for"):
            supervise(settings)
