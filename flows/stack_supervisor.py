"""The process behind `mammo up`: starts the services and restarts what dies."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import FrameType

from flows.stack_services import ROOT, Service, list_services, now, service_environment
from flows.stack_state import (
    ProcessId,
    ServiceState,
    StackState,
    end_processes,
    end_stack,
    find_processes,
    read_state,
    remove_state,
    write_state,
)
from mammo.errors import StackRunning
from mammo.settings import Settings, read_settings

log = logging.getLogger("flows.stack")
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0
"""After this long without a death the backoff begins anew."""


@dataclass
class Child:
    """A service together with its recorded state and its next deadline."""

    service: Service
    state: ServiceState
    popen: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    next_try: float = 0.0
    next_probe: float = 0.0

    @property
    def alive(self) -> bool:
        """True while the recorded process runs; reaps it when it has ended."""
        if self.popen is not None:
            self.state.exit_code = self.popen.poll()
            return self.state.exit_code is None
        return self.state.process is not None and self.state.process.process() is not None

    @property
    def started_at(self) -> datetime:
        """When the present process started."""
        return datetime.fromisoformat(self.state.started_at or now().isoformat())


class Supervisor:
    """Keeps the services of one home running until it is told to stop."""

    def __init__(self, settings: Settings, names: Sequence[str] = ()) -> None:
        self.settings = settings
        self.stopping = False
        chosen = [s for s in list_services(settings) if not names or s.name in names]
        previous = read_state(settings.home)
        self.state = StackState(
            token=previous.token if previous else secrets.token_hex(8),
            supervisor=ProcessId.of(os.getpid()) or ProcessId(os.getpid(), 0.0),
            started_at=now().isoformat(),
            settings=settings.model_dump(mode="json"),
        )
        self.children = {s.name: Child(s, ServiceState(port=s.port, url=s.url)) for s in chosen}
        self.state.services = {name: child.state for name, child in self.children.items()}
        if previous:
            self._adopt(previous)

    def _adopt(self, previous: StackState) -> None:
        """Take over what an earlier supervisor left alive; end what no longer fits."""
        for name, recorded in previous.services.items():
            child = self.children.get(name)
            alive = recorded.process is not None and recorded.process.process() is not None
            fits = child is not None and recorded.port == child.service.port
            if alive and child is not None and fits and not child.service.once:
                child.state = recorded
                self.state.services[name] = recorded
            if not (self.state.services.get(name) is recorded or _outlived(child)):
                end_processes(find_processes(self.state.token, name))

    def run(self) -> None:
        """Watch until `stop`; then end every child and remove the state file."""
        write_state(self.settings.home, self.state)
        while not self.stopping:
            for child in self.children.values():
                self._step(child)
            write_state(self.settings.home, self.state)
            time.sleep(0.2)
        log.info("stopping")
        end_stack(self.state)
        remove_state(self.settings.home)

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the loop to end (also the handler of SIGTERM and SIGINT)."""
        self.stopping = True

    def _step(self, child: Child) -> None:
        """Bring one child a step further: start, notice a death, or probe."""
        if child.state.status in ("done", "failed"):
            return
        if child.state.process is None:
            if time.monotonic() >= child.next_try and self._may_start(child):
                self._start(child)
        elif not child.alive:
            self._note_end(child)
        elif time.monotonic() >= child.next_probe and not child.service.once:
            self._probe(child)

    def _may_start(self, child: Child) -> bool:
        needed = [self.children[n] for n in child.service.after if n in self.children]
        return all(other.state.status in ("healthy", "done") for other in needed)

    def _start(self, child: Child) -> None:
        """Start the process in a session of its own, output to its log file."""
        name = child.service.name
        self.settings.logs_dir.mkdir(parents=True, exist_ok=True)
        with (self.settings.logs_dir / f"{name}.log").open("ab") as output:
            child.popen = subprocess.Popen(
                child.service.command,
                cwd=ROOT,
                env=service_environment(self.settings, name, self.state.token),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # a child that is already dead still has its id until it is reaped
        child.state.process = ProcessId.of(child.popen.pid) or ProcessId(child.popen.pid, 0.0)
        child.state.started_at = now().isoformat()
        child.state.healthy_at = None
        child.next_probe = 0.0
        child.state.status = "starting"
        log.info("started %s, pid %d", name, child.popen.pid)

    def _note_end(self, child: Child) -> None:
        """Record a death, clear what it left behind, and set the next try."""
        state, name = child.state, child.service.name
        if child.service.once and state.exit_code == 0:
            log.info("%s is done", name)
            state.status, state.healthy_at, state.process = "done", now().isoformat(), None
            return
        log.warning("%s ended with status %s", name, state.exit_code)
        lived = now() - child.started_at
        child.deaths = 1 if lived > timedelta(seconds=STEADY_SECONDS) else child.deaths + 1
        if not child.service.outlived_by_children:
            # a server's own workers would go on holding its port
            end_processes(find_processes(self.state.token, name), grace_seconds=2.0)
        if child.service.once and child.deaths >= 3:
            state.status, state.process = "failed", None
            return
        pause = BACKOFF_SECONDS[min(child.deaths, len(BACKOFF_SECONDS)) - 1]
        child.next_try = time.monotonic() + pause
        child.popen, state.process, state.status = None, None, "restarting"
        state.restarts += 1

    def _probe(self, child: Child) -> None:
        well = child.service.probe(child.started_at)
        if well and child.state.healthy_at is None:
            child.state.healthy_at = now().isoformat()
            log.info("%s is healthy", child.service.name)
        if well or child.state.healthy_at is not None:
            child.state.status = "healthy" if well else "unresponsive"
        child.next_probe = time.monotonic() + (5.0 if well else 0.5)


def _outlived(child: Child | None) -> bool:
    return child is not None and child.service.outlived_by_children


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Hold the home's lock; the kernel frees it however the process ends."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackRunning(f"a stack already runs for {settings.home}") from error
        yield


def supervise(settings: Settings, names: Sequence[str] = ()) -> None:
    """Run the supervisor in this process until SIGTERM or SIGINT."""
    with _only_one(settings):
        supervisor = Supervisor(settings, names)
        signal.signal(signal.SIGTERM, supervisor.stop)
        signal.signal(signal.SIGINT, supervisor.stop)
        supervisor.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        supervise(read_settings(), sys.argv[1:])
    except StackRunning as refusal:
        sys.exit(refusal.message)
