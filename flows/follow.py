"""Starts a run of a deployment on the running stack, and waits for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.stack import require_up
from mammo.errors import FlowRunFailed, StackNotRunning
from mammo.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class StartedRun:
    """A run that the worker will take up."""

    id: UUID
    name: str
    url: str

    def to_dict(self) -> dict[str, str]:
        """Return the run as plain data."""
        return {"flow_run_id": str(self.id), "name": self.name, "url": self.url}


def start_run(settings: Settings, deployment: str, parameters: Mapping[str, Any]) -> StartedRun:
    """Create a run of ``deployment`` ("retrain/retrain"); do not wait for it.

    Raises StackNotRunning when no stack of this home is up.
    """
    require_up(settings)
    with _client(settings) as client:
        from prefect.exceptions import ObjectNotFound

        try:
            found = client.read_deployment_by_name(deployment)
        except ObjectNotFound as error:
            raise StackNotRunning(
                f"the stack is up without the deployment {deployment}; run `mammo down`, "
                "then `mammo up`"
            ) from error
        run = client.create_flow_run_from_deployment(found.id, parameters=dict(parameters))
    url = f"{settings.prefect_ui_url}/runs/flow-run/{run.id}"
    return StartedRun(run.id, run.name, url)


def follow_run(
    settings: Settings,
    run: StartedRun,
    *,
    timeout: float = 3600.0,
    say: Callable[[str], None] | None = None,
) -> Any:
    """Wait until a run has ended; return what its flow returned.

    ``say`` is called with each line of its log. Raises FlowRunFailed.
    """
    deadline = time.monotonic() + timeout
    with _client(settings) as client:
        told = 0
        while time.monotonic() < deadline:
            now = client.read_flow_run(run.id)
            told += _tell_log(client, run, told, say)
            if now.state is not None and now.state.is_final():
                return _result(now, run)
            time.sleep(POLL_SECONDS)
    raise FlowRunFailed(f"{run.name} had not ended after {timeout:.0f} s; it goes on at {run.url}")


def run_and_follow(
    settings: Settings,
    deployment: str,
    parameters: Mapping[str, Any],
    *,
    timeout: float = 3600.0,
    say: Callable[[str], None] | None = None,
) -> Any:
    """Start a run of ``deployment`` and wait for what it returns."""
    return follow_run(
        settings, start_run(settings, deployment, parameters), timeout=timeout, say=say
    )


def run_has_failed(settings: Settings, run_id: str) -> str | None:
    """Return how a run failed and its URL; None while it may still complete, or has."""
    with _client(settings) as client:
        run = client.read_flow_run(UUID(run_id))
    state = run.state
    if state is None or not (state.is_failed() or state.is_crashed() or state.is_cancelled()):
        return None
    url = f"{settings.prefect_ui_url}/runs/flow-run/{run_id}"
    return f"{run.name} ended {state.name}: {state.message} ({url})"


def _client(settings: Settings) -> SyncPrefectClient:
    # results are read from PREFECT_HOME, and the address from the environment
    os.environ.update(settings.child_environment())
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


def _tell_log(
    client: SyncPrefectClient, run: StartedRun, told: int, say: Callable[[str], None] | None
) -> int:
    """Pass on the log lines after the first ``told``; return how many there were."""
    if say is None:
        return 0
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import LogSort

    lines = client.read_logs(
        log_filter=LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])),
        offset=told,
        sort=LogSort.TIMESTAMP_ASC,
    )
    for line in lines:
        say(line.message.partition("\n")[0])  # tracebacks are for the Prefect UI
    return len(lines)


def _result(ended: FlowRun, run: StartedRun) -> Any:
    state = ended.state
    if state is None or not state.is_completed():
        what = f"{state.name}: {state.message}" if state else "without a state"
        raise FlowRunFailed(f"{run.name} ended {what} ({run.url})")
    from prefect.exceptions import MissingResult

    try:
        return state.result()
    except MissingResult:
        return None  # a flow that returns nothing stores nothing
