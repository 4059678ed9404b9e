"""What `mammo up` runs: one table of services and how each is known to be well.

The table is plain data made from the settings; starting, watching and ending is
in `stack_supervisor`, the state file in `stack_state`.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bentos.gateway.alive import is_alive
from mammo.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
POOL = "mammo"
WORKER_NAME = "mammo-worker"
TOKEN_VARIABLE = "MAMMO_STACK_TOKEN"
SERVICE_VARIABLE = "MAMMO_STACK_SERVICE"

Probe = Callable[[datetime], bool]
"""Says whether a service is well; the argument is when its process started (UTC)."""


@dataclass(frozen=True)
class Service:
    """One child process of the stack.

    ``once`` marks a job that ends by itself with status 0. ``after`` names the
    services that must be well before this one starts. ``variable`` is the
    environment variable that moves its port.
    """

    name: str
    title: str
    command: tuple[str, ...]
    probe: Probe
    port: int | None = None
    variable: str | None = None
    url: str | None = None
    after: tuple[str, ...] = ()
    once: bool = False
    outlived_by_children: bool = False


def answers(url: str, timeout: float = 2.0) -> bool:
    """Return True when a GET of ``url`` gives a status below 400."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return bool(response.status < 400)
    except (OSError, ValueError):  # refused, timed out, HTTP error, or no HTTP at all
        return False


def _worker_online(settings: Settings, started_at: datetime) -> bool:
    """Ask the Prefect API for a heartbeat of the worker since it started."""
    request = urllib.request.Request(
        f"{settings.prefect_api_url}/work_pools/{POOL}/workers/filter",
        data=b"{}",
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=2.0) as response:
            workers = json.load(response)
    except (OSError, ValueError):
        return False
    beats = [worker.get("last_heartbeat_time") for worker in workers]
    return any(beat and datetime.fromisoformat(beat) >= started_at for beat in beats)


def _http(url: str) -> Probe:
    return lambda _started_at: answers(url)


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def list_services(settings: Settings) -> tuple[Service, ...]:
    """Return every service of the stack in the order in which they start."""
    listen = ("--host", settings.host, "--port")
    return (
        Service(
            "prefect",
            "Prefect",
            _python("-m", "prefect", "server", "start", *listen, str(settings.prefect_port)),
            _http(f"{settings.prefect_api_url}/health"),
            settings.prefect_port,
            "MAMMO_PREFECT_PORT",
            settings.prefect_ui_url,
        ),
        Service(
            "service",
            "Screening service",
            (
                *_python("-m", "bentoml", "serve", "bentos.screening.service:Screening"),
                *(*listen, str(settings.service_port), "--working-dir", str(ROOT)),
            ),
            _http(f"{settings.service_url}/healthz"),
            settings.service_port,
            "MAMMO_SERVICE_PORT",
            f"{settings.service_url}/docs",
        ),
        Service(
            "gateway",
            "DICOM gateway",
            _python("-m", "bentos.gateway"),
            lambda started_at: is_alive(settings, started_at.timestamp()),
            settings.dicom_port,
            "MAMMO_DICOM_PORT",
        ),
        Service(
            "mlflow",
            "MLflow",
            _python("-m", "flows.stack_mlflow"),
            _http(f"{settings.mlflow_url}/health"),
            settings.mlflow_port,
            "MAMMO_MLFLOW_PORT",
            settings.mlflow_url,
        ),
        Service(
            "reports",
            "Reports and metrics",
            _python("-m", "monitoring.metrics"),
            _http(f"{settings.reports_url}/healthz"),
            settings.reports_port,
            "MAMMO_REPORTS_PORT",
            settings.reports_url,
        ),
        Service(
            "guard",
            "Guard of rollouts",
            _python("-m", "bentos.screening.guard"),
            lambda _started_at: True,
            after=("service",),
        ),
        Service(
            "deployments",
            "Deployments and automation",
            _python("-m", "flows.stack_deployments"),
            lambda _started_at: True,
            after=("prefect",),
            once=True,
        ),
        Service(
            "worker",
            "Prefect worker",
            (
                *_python("-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"),
                *("--name", WORKER_NAME, "--limit", "4", "--install-policy", "never"),
            ),
            lambda started_at: _worker_online(settings, started_at),
            after=("deployments",),
            outlived_by_children=True,
        ),
    )


def service_environment(settings: Settings, name: str, token: str) -> dict[str, str]:
    """Return the environment of one child, marked so that it can be found again.

    Every setting is handed down by its variable, since a child's working
    directory, and with it its `.env`, differs from the caller's.
    """
    given = {
        f"MAMMO_{field.upper()}": str(value)
        for field, value in settings.model_dump().items()
        if value is not None
    }
    return {
        **settings.child_environment(),
        **given,
        **_bytecode_cache(),
        "MAMMO_HOME": str(settings.home.resolve()),
        "PYTHONUNBUFFERED": "1",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "mammo,flows,monitoring,data_checks,bentos",
        "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        TOKEN_VARIABLE: token,
        SERVICE_VARIABLE: name,
    }


def _bytecode_cache() -> dict[str, str]:
    """Let children keep compiled modules where the caller's shell forbids it.

    Without a cache each start compiles every module anew: 10 s instead of 4 s
    for MLflow, and the same again for each flow run. The cache lies inside the
    virtual environment; an empty value means that Python does not see it.
    """
    if not os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{sys.prefix}/pycache"}


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)
