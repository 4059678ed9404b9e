"""Applies `prefect.yaml` and the automation to the stack's Prefect server.

One process for all deployments, and no flow is imported: `prefect deploy --all`
would load torch, Great Expectations and Evidently to learn seven signatures,
and would not set the pool's command.
"""

from __future__ import annotations

import ast
import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import yaml

from flows.automations import apply_automation
from flows.stack_services import POOL, ROOT, TOKEN_VARIABLE
from flows.stack_state import flow_runs_alive
from mammo.settings import read_settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import State

RETRAIN = "retrain"
DICOMWEB = "ingest_dicomweb"


def read_deployments(path: Path) -> list[dict[str, Any]]:
    """Return the entries under ``deployments`` of a prefect.yaml."""
    return list(yaml.safe_load(path.read_text())["deployments"])


def read_signature(entrypoint: str, root: Path) -> Callable[..., Any]:
    """Return an empty function with the flow's name, parameters and docstring.

    ``entrypoint`` is ``path.py:function``. The flow's module is parsed, not
    imported; its annotations may use builtins and `Any`, its defaults the
    module's literal constants.
    """
    path, _, name = entrypoint.partition(":")
    tree = ast.parse((root / path).read_text())
    found = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
    found.decorator_list = []
    found.body = [ast.Expr(ast.Constant(ast.get_docstring(found)))]
    namespace: dict[str, Any] = {"Any": Any, **_constants(tree)}
    module = ast.fix_missing_locations(ast.Module([found], []))
    exec(compile(module, entrypoint, "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


def _constants(tree: ast.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with suppress(ValueError):  # an expression, of no use as a default
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


async def apply_pool(client: PrefectClient, root: Path) -> None:
    """Create or update the process pool: where runs start and by which command."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    variables["command"]["default"] = f"{sys.executable} -m flows.stack_engine"
    variables["working_dir"]["default"] = str(root)
    pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
    await client.create_work_pool(pool, overwrite=True)


async def apply_deployment(client: PrefectClient, entry: dict[str, Any], root: Path) -> UUID:
    """Create or update one deployment from its entry; return its id."""
    from prefect.client.schemas.objects import ConcurrencyOptions
    from prefect.utilities.callables import parameter_schema

    flow = read_signature(entry["entrypoint"], root)
    limit = entry.get("concurrency_limit") or {}
    strategy = limit.get("collision_strategy")
    return await client.create_deployment(
        flow_id=await client.create_flow_from_name(flow.__name__),
        name=entry["name"],
        description=entry.get("description"),
        entrypoint=entry["entrypoint"],
        tags=entry.get("tags"),
        parameters=entry.get("parameters", {}),
        parameter_openapi_schema=parameter_schema(flow).model_dump(),
        enforce_parameter_schema=True,
        schedules=_schedules(entry, anyway=entry["name"] == DICOMWEB and _has_archive()),
        concurrency_limit=limit.get("limit"),
        concurrency_options=ConcurrencyOptions(collision_strategy=strategy) if strategy else None,
        work_pool_name=entry["work_pool"]["name"],
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(root)}}],
    )


def _has_archive() -> bool:
    return bool(read_settings().dicomweb_url)


def _schedules(entry: dict[str, Any], *, anyway: bool = False) -> list[Any]:
    """Return the schedules of an entry; ``anyway`` switches on those that are off."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    return [
        DeploymentScheduleCreate(
            schedule=CronSchedule(cron=item["cron"], timezone=item.get("timezone", "UTC")),
            active=anyway or item.get("active", True),
            parameters=item.get("parameters", {}),
        )
        for item in entry.get("schedules", [])
    ]


async def clear_lost_runs(client: PrefectClient, alive: set[str]) -> int:
    """Crash runs whose process is gone and drop runs that were due while we were down.

    A run left in Running would hold its deployment's only place for ever, and a
    week of missed schedules would all start at once. One that was paused has waited for a
    person in its process, and would be resumed to nothing. One that a person was cancelling
    is cancelled: nobody is to start it again.
    """
    from prefect.states import Cancelled, Crashed

    began = await _runs(client, "RUNNING", "CANCELLING", "PAUSED")
    lost = [run for run in began if str(run.id) not in alive]
    for run in lost:
        cancelling = run.state is not None and run.state.is_cancelling()
        ended = Cancelled if cancelling else Crashed
        state: State[Any] = ended(message="The stack ended while this run was going on.")
        await client.set_flow_run_state(run.id, state, force=True)
    due = [r for r in await _runs(client, "SCHEDULED") if r.auto_scheduled and _is_past(r)]
    for run in due:
        await client.delete_flow_run(run.id)
    return len(lost) + len(due)


def _is_past(run: Any) -> bool:
    due = run.next_scheduled_start_time
    return due is not None and due < datetime.now(UTC)


async def _runs(client: PrefectClient, *types: str) -> list[Any]:
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    return await client.read_flow_runs(
        flow_run_filter=_in_states(*types),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
    )


def _in_states(*types: str) -> FlowRunFilter:
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    chosen = FlowRunFilterStateType(any_=[StateType(name) for name in types])
    return FlowRunFilter(state=FlowRunFilterState(type=chosen))


async def apply_all(root: Path = ROOT) -> dict[str, UUID]:
    """Apply the pool, every deployment of ``root/prefect.yaml`` and the automation.

    Returns the deployment ids by name.
    """
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        await apply_pool(client, root)
        entries = read_deployments(root / "prefect.yaml")
        ids = {entry["name"]: await apply_deployment(client, entry, root) for entry in entries}
        await apply_automation(client, ids[RETRAIN])
        # without a token nobody can tell which runs are alive (docker-compose.yml)
        token = os.environ.get(TOKEN_VARIABLE)
        cleared = await clear_lost_runs(client, flow_runs_alive(token)) if token else 0
    print(f"applied {', '.join(ids)}; cleared {cleared} lost runs")
    return ids


if __name__ == "__main__":
    asyncio.run(apply_all())
