"""`mammo up`, `mammo down`, `mammo status`: the embedded stack as library calls."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.stack_ports import require_free_ports
from flows.stack_services import ROOT, Service, list_services, service_environment
from flows.stack_state import (
    ServiceState,
    StackState,
    end_processes,
    end_stack,
    read_state,
    recorded_processes,
    remove_state,
)
from mammo.errors import StackNotRunning, StackRunning, StackUnhealthy
from mammo.settings import Settings

READY = ("healthy", "done")
DEATHS_ALLOWED = 3
Progress = Callable[[dict[str, str]], None]
"""Called with each service's status while the stack starts."""


@dataclass(frozen=True)
class ServiceReport:
    """One line of `mammo status`."""

    name: str
    title: str
    status: str
    pid: int | None
    port: int | None
    url: str | None
    restarts: int
    started_at: str | None
    seconds_to_healthy: float | None
    log: str


@dataclass(frozen=True)
class StackReport:
    """What `mammo status` and `mammo up` tell."""

    running: bool
    healthy: bool
    home: str
    services: list[ServiceReport] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data for ``--json``."""
        return asdict(self)


def up(
    settings: Settings,
    *,
    services: Sequence[str] = (),
    foreground: bool = False,
    timeout: float = 180.0,
    progress: Progress | None = None,
) -> StackReport:
    """Start the stack and wait until every service is healthy.

    A stack that is already up is reported as it is; one whose supervisor was
    killed is taken over. ``services`` limits the start to some of them.

    Raises
    ------
    PortTaken
        Another process listens on a port of the stack; nothing was started.
    StackRunning
        A stack of this home is up with other ports.
    StackUnhealthy
        A service died three times or was not well in time; all were ended. Or a restore
        of this home was killed, and must be run again first.
    """
    from mammo.backup import require_settled

    began = time.monotonic()
    running = supervisor_alive(settings)
    if running is not None:
        _require_same_ports(running, settings)
    else:
        require_settled(settings.home)
        require_free_ports(settings, services)
        if foreground:
            from flows.stack_supervisor import supervise

            supervise(settings, services)
            return status(settings)
        _start_supervisor(settings, services)
    _wait_until_healthy(settings, began + timeout, progress or (lambda _statuses: None))
    return status(settings, seconds=round(time.monotonic() - began, 1))


def down(settings: Settings) -> list[int]:
    """End every process of the stack of this home; return the ids ended. Idempotent."""
    state = read_state(settings.home)
    if state is None:
        return []
    supervisor = state.supervisor.process()
    ended = [process.pid for process in recorded_processes(state)]
    if supervisor is not None:
        ended += end_processes([supervisor], grace_seconds=40.0)
    ended += end_stack(state)
    remove_state(settings.home)
    return sorted(set(ended))


def status(settings: Settings, *, seconds: float | None = None) -> StackReport:
    """Return each service's health, probed now, and the links."""
    state = read_state(settings.home)
    if state is None:
        return StackReport(running=False, healthy=False, home=str(settings.home))
    recorded = Settings(**state.settings)
    known = {service.name: service for service in list_services(recorded)}
    reports = [
        _report(known[name], service, recorded)
        for name, service in state.services.items()
        if name in known
    ]
    return StackReport(
        running=state.supervisor.process() is not None,
        healthy=all(report.status in READY for report in reports),
        home=str(settings.home),
        services=reports,
        links=links(recorded),
        seconds=seconds,
    )


def links(settings: Settings) -> dict[str, str]:
    """Return what a person opens, by name."""
    return {
        "Prefect (runs, schedules, automations)": settings.prefect_ui_url,
        "MLflow (experiments, models)": settings.mlflow_url,
        "Viewer": f"{settings.service_url}/",
        "Screening service (OpenAPI)": f"{settings.service_url}/docs",
        "Reports (Data Docs, drift)": settings.reports_url,
        "Metrics of the loop": f"{settings.reports_url}/metrics",
    }


def require_up(settings: Settings) -> StackReport:
    """Return the status of a running stack, or raise `StackNotRunning`."""
    if supervisor_alive(settings) is None:
        raise StackNotRunning(f"no stack runs for {settings.home}; start it with `mammo up`")
    return status(settings)


def supervisor_alive(settings: Settings) -> StackState | None:
    """Return the recorded state while its supervisor lives."""
    state = read_state(settings.home)
    return state if state and state.supervisor.process() else None


def _require_same_ports(state: StackState, settings: Settings) -> None:
    wanted = settings.model_dump(mode="json")
    names = [n for n in wanted if n == "host" or n.endswith("_port")]
    differing = [f"{n} {state.settings[n]}" for n in names if state.settings[n] != wanted[n]]
    if differing:
        raise StackRunning(
            f"the stack of {settings.home} is already up with {', '.join(differing)}; "
            "end it with `mammo down` first"
        )


def _start_supervisor(settings: Settings, services: Sequence[str]) -> None:
    """Start the supervisor detached and wait until it has written its state."""
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    environment = service_environment(settings, "supervisor", "")
    with (settings.logs_dir / "supervisor.log").open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "flows.stack_supervisor", *services],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while supervisor_alive(settings) is None:
        if child.poll() is not None:
            last = last_line(settings.logs_dir / "supervisor.log")
            raise StackUnhealthy(f"the supervisor ended at once: {last}")
        time.sleep(0.1)


def _wait_until_healthy(settings: Settings, deadline: float, progress: Progress) -> None:
    while True:
        state = supervisor_alive(settings)
        services = state.services if state else {}
        progress({name: service.status for name, service in services.items()})
        if services and all(service.status in READY for service in services.values()):
            return
        broken = [name for name, service in services.items() if _gave_up(service)]
        if state is None or broken or time.monotonic() > deadline:
            late = [n for n, s in services.items() if s.status not in READY]
            _fail(settings, broken or late or ["supervisor"])
        time.sleep(0.2)


def _gave_up(service: ServiceState) -> bool:
    never_well = service.healthy_at is None and service.restarts >= DEATHS_ALLOWED
    return service.status == "failed" or never_well


def _fail(settings: Settings, names: list[str]) -> None:
    """End what was started and raise with the log's last line of each culprit."""
    down(settings)
    logs = [settings.logs_dir / f"{name}.log" for name in names]
    told = "; ".join(f"{path.stem}: {last_line(path)} (whole log: {path})" for path in logs)
    raise StackUnhealthy(f"not healthy, and therefore ended again: {told}")


def last_line(path: Path) -> str:
    """Return the last line of a log that says something, or ``no output``."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return "no output"
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no output")


def _report(service: Service, state: ServiceState, settings: Settings) -> ServiceReport:
    return ServiceReport(
        name=service.name,
        title=service.title,
        status=_status_now(service, state),
        pid=state.process.pid if state.process else None,
        port=state.port,
        url=state.url,
        restarts=state.restarts,
        started_at=state.started_at,
        seconds_to_healthy=_seconds(state.started_at, state.healthy_at),
        log=str(settings.logs_dir / f"{service.name}.log"),
    )


def _status_now(service: Service, state: ServiceState) -> str:
    if service.once:
        return state.status
    if state.process is None or state.process.process() is None:
        return "down"
    started = datetime.fromisoformat(state.started_at) if state.started_at else None
    if started and service.probe(started):
        return "healthy"
    return "unresponsive" if state.healthy_at else "starting"


def _seconds(start: str | None, end: str | None) -> float | None:
    if start is None or end is None:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 1)
