"""The state file of the stack, and how its processes are found and ended.

A process is known by its id and the time it was created, so that a recycled id
is never taken for ours; what a service has started itself is known by the token
in its environment, which children inherit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from flows.stack_services import SERVICE_VARIABLE, TOKEN_VARIABLE


@dataclass(frozen=True)
class ProcessId:
    """A process id together with its creation time (seconds since 1970)."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the identity of a live process, or None."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """Return the process while it is alive and still the same one."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.create_time) < 0.01
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


@dataclass
class ServiceState:
    """What is recorded of one service; times are ISO 8601 in UTC."""

    status: str = "waiting"
    process: ProcessId | None = None
    port: int | None = None
    url: str | None = None
    restarts: int = 0
    started_at: str | None = None
    healthy_at: str | None = None
    exit_code: int | None = None


@dataclass
class StackState:
    """The content of ``stack.json``; ``services`` keeps the starting order."""

    token: str
    supervisor: ProcessId
    started_at: str
    settings: dict[str, Any]
    services: dict[str, ServiceState] = field(default_factory=dict)


def state_path(home: Path) -> Path:
    """Return where the state of the stack of this home is kept."""
    return home / "stack.json"


def read_state(home: Path) -> StackState | None:
    """Return the recorded state, or None when there is none that can be read."""
    try:
        raw = json.loads(state_path(home).read_text())
        services = {name: _service_state(values) for name, values in raw["services"].items()}
        supervisor = ProcessId(**raw["supervisor"])
        return StackState(raw["token"], supervisor, raw["started_at"], raw["settings"], services)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not our file
        return None


def _service_state(values: dict[str, Any]) -> ServiceState:
    process = values.pop("process")
    return ServiceState(**values, process=ProcessId(**process) if process else None)


def write_state(home: Path, state: StackState) -> None:
    """Replace the state file in one step."""
    draft = state_path(home).with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(asdict(state), indent=1))
    draft.replace(state_path(home))


def remove_state(home: Path) -> None:
    """Forget the stack; it has ended."""
    state_path(home).unlink(missing_ok=True)


def find_processes(token: str, service: str | None = None) -> Iterator[psutil.Process]:
    """Yield live processes that carry this stack's token (and service's name).

    The caller itself and its ancestors are never among them.
    """
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        marks = _environment(process)
        if marks.get(TOKEN_VARIABLE) == token and service in (None, marks.get(SERVICE_VARIABLE)):
            yield process


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):  # gone, a zombie, or another user's
        return {}


def flow_runs_alive(token: str) -> set[str]:
    """Return the ids of Prefect flow runs whose process is alive."""
    found = (_environment(process) for process in find_processes(token, "worker"))
    return {marks["PREFECT__FLOW_RUN_ID"] for marks in found if "PREFECT__FLOW_RUN_ID" in marks}


def recorded_processes(state: StackState) -> list[psutil.Process]:
    """Return what is alive of the stack, except its supervisor."""
    recorded = (service.process for service in state.services.values())
    alive = (identity.process() for identity in recorded if identity)
    found = {process.pid: process for process in alive if process}
    found.update({process.pid: process for process in find_processes(state.token)})
    return list(found.values())


def end_processes(processes: Iterable[psutil.Process], grace_seconds: float = 8.0) -> list[int]:
    """Ask processes to end, wait, then kill the rest; return the ids ended."""
    asked = list(processes)
    for process in asked:
        _signal(process, kill=False)
    _, left = psutil.wait_procs(asked, timeout=grace_seconds)
    for process in left:
        _signal(process, kill=True)
    psutil.wait_procs(left, timeout=5.0)
    return [process.pid for process in asked]


def _signal(process: psutil.Process, *, kill: bool) -> None:
    """Signal one process; psutil itself refuses an id that was recycled."""
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return


def end_stack(state: StackState, grace_seconds: float = 8.0) -> list[int]:
    """End what is recorded: flow runs and worker first, so that they can report."""
    ended = end_processes(find_processes(state.token, "worker"), grace_seconds)
    ended += end_processes(recorded_processes(state), grace_seconds)
    # a child born while its parent was ending shows up in a second look
    return ended + end_processes(recorded_processes(state), grace_seconds=1.0)
