"""What Prefect knows of flow runs: whose process is gone, whose episode is free, who is to start.

The flows `monitor` and `reconcile` call these, in whatever order and at the same time:
each is a question to the server and one conditional change, and done twice it changes
nothing more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.automations import lost_episodes
from flows.stack_services import POOL, TOKEN_VARIABLE
from flows.stack_state import flow_runs_alive
from mammo.continual.unfinished import end, unfinished
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from monitoring.episodes import FAILED, MAX_ATTEMPTS, abandoned_updates

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

RETRAIN = "retrain/retrain"
STARTING = timedelta(minutes=2)
"""What a run may take from the worker's word to its process; longer, and it is lost."""
ON_A_PROCESS = (StateType.RUNNING, StateType.CANCELLING, StateType.PENDING, StateType.PAUSED)
"""States of runs that have a process: a paused one waits in it (no flow here is suspended)."""
ENDED = (StateType.COMPLETED, StateType.CANCELLED, StateType.FAILED, StateType.CRASHED)
UNDER_WAY = (*ON_A_PROCESS, StateType.SCHEDULED)


def free_abandoned(settings: Settings) -> list[str]:
    """Give back episodes whose run crashed or failed; return the keys of those given back."""
    log = PredictionLog(settings.log_url).create()
    acting = [one for one in log.episodes("acting") if one["flow_run_id"]]
    if not acting:
        return []
    with get_client(sync_client=True) as client:
        states = {run: _state(client, run) for run in {one["flow_run_id"] for one in acting}}
    return free(log, acting, states)


def free(
    log: PredictionLog, acting: Sequence[Mapping[str, Any]], states: Mapping[str, str | None]
) -> list[str]:
    """Give back those of ``acting`` whose run is over by ``states``; return their keys.

    What was read may be old by now: an episode that another run has taken up since is
    left to it.
    """
    runs = {one["key"]: one["flow_run_id"] for one in acting}
    return [
        key
        for key, values in abandoned_updates(acting, states).items()
        if log.update_episode(key, if_status="acting", if_run=runs[key], **values)
    ]


def _state(client: SyncPrefectClient, run_id: str) -> str | None:
    """Return the state type of a flow run; None for a run that does not exist."""
    try:
        state = client.read_flow_run(UUID(run_id)).state
    except (ObjectNotFound, ValueError):  # ValueError: not the id of any flow run
        return None
    return "PENDING" if state is None else str(state.type.value)


def is_over(client: SyncPrefectClient, run_id: str) -> bool:
    """Say whether a run has ended, in whatever way, or does not exist."""
    state = _state(client, run_id)
    return state is None or StateType(state) in ENDED


def start_lost(settings: Settings) -> list[str]:
    """Start a run for each episode whose event led to none; return the keys of those started.

    One that three runs have left as it was has failed: a person has to look at it.
    """
    log = PredictionLog(settings.log_url).create()
    lost = lost_episodes(log.episodes(), datetime.now(UTC))
    if not lost:
        return []
    started = []
    with get_client(sync_client=True) as client:
        going = {one.parameters.get("episode_key") for one in under_way(client, RETRAIN)}
        for key in (one["key"] for one in lost if one["key"] not in going):
            given = {"episode_key": key, "reason": "drift"}
            # the episode of a cancelled run is still open: it ends by a word on itself
            if start_once(client, RETRAIN, key, given, after_cancel=True):
                started.append(key)
            else:
                log.update_episode(key, if_status="open", status=FAILED)
    return started


def start_unfinished(settings: Settings) -> str | None:
    """Start a run that goes on with a retraining without an episode; return its id.

    None where there is none, its run goes on, a person cancelled it, or three runs have
    left it as it was. It is given what the one before was given.
    """
    left = unfinished(settings)
    if left is None:
        return None
    with get_client(sync_client=True) as client:
        if not is_over(client, left.run):
            return None
        state, run = _state(client, left.run), None
        if state not in ("COMPLETED", "CANCELLED"):
            given = {} if state is None else client.read_flow_run(UUID(left.run)).parameters
            given = dict(given) | {"work": left.work}
            # cancelled was none or an earlier one: this run has taken the work on since
            run = start_once(client, RETRAIN, left.work, given, after_cancel=True)
    if run is None:
        end(settings, left.work)
    return None if run is None else str(run)


def start_once(
    client: SyncPrefectClient,
    deployment: str,
    key: str,
    parameters: Mapping[str, Any],
    *,
    after_cancel: bool = False,
) -> UUID | None:
    """Start a run of a deployment under a key, and return its id; None after three that ended.

    The server keeps one run for each idempotency key, ``<key>:<attempt>``: whoever asks
    again, at the same time or after a crash, gets the run that is there. Only one that is
    over makes room for the next attempt; one that a person cancelled only ``after_cancel``.
    """
    found = client.read_deployment_by_name(deployment)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        run = client.create_flow_run_from_deployment(
            found.id, parameters=dict(parameters), idempotency_key=f"{key}:{attempt}"
        )
        if run.state is None or not run.state.is_final():
            return run.id
        if run.state.is_cancelled() and not after_cancel:
            return None
    return None


def under_way(client: SyncPrefectClient, deployment: str) -> list[FlowRun]:
    """Return the runs of a deployment that go on or wait; not those of its schedule to come."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    found = client.read_deployment_by_name(deployment)
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
        flow_run_filter=_in(UNDER_WAY),
    )
    return [one for one in runs if not _is_to_come(one)]


def _is_to_come(run: FlowRun) -> bool:
    due = run.next_scheduled_start_time
    return bool(run.auto_scheduled and due is not None and due > datetime.now(UTC))


def crash_dead(settings: Settings) -> list[str]:
    """Mark runs as crashed whose process is gone without a word; return their ids.

    Those that a person was cancelling are marked as cancelled: nobody is to start them again.

    A worker tells of the death of its runs; one that was killed with them does not, and
    they would stay in Running and hold their deployment's only place. Outside the stack
    (docker-compose.yml) nobody can tell which processes live, and nothing is marked.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        return []
    with get_client(sync_client=True) as client:
        found = [one for one in _on_a_process(client) if _has_begun(one.state)]
        # read after the runs: one that began since is not in them; who asks is never found
        alive = flow_runs_alive(token) | {os.environ.get("PREFECT__FLOW_RUN_ID", "")}
        dead = _still_going(client, [one.id for one in found if str(one.id) not in alive])
        for run, left in dead.items():
            ended = Cancelled if left is StateType.CANCELLING else Crashed
            state: State[Any] = ended(message="The process of this run is gone.")
            client.set_flow_run_state(run, state, force=True)
        return [str(run) for run in dead]


def _on_a_process(client: SyncPrefectClient) -> list[FlowRun]:
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    return client.read_flow_runs(
        flow_run_filter=_in(ON_A_PROCESS),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
    )


def _has_begun(state: State[Any] | None) -> bool:
    if state is None or state.type is not StateType.PENDING:
        return state is not None
    return datetime.now(UTC) - state.timestamp > STARTING


def _still_going(client: SyncPrefectClient, runs: Iterable[UUID]) -> dict[UUID, StateType]:
    """Return those whose state is no final one: a process tells its state before it ends."""
    states = {one: client.read_flow_run(one).state for one in runs}
    return {
        one: state.type
        for one, state in states.items()
        if state is not None and not state.is_final()
    }


def _in(types: Sequence[StateType]) -> Any:
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )

    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))
