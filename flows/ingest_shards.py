"""The middle of the ingest flow: its shards, one task each, in threads or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cluster import open_cluster, require_fit_workers
from flows.cluster_worker import Facts
from flows.progress import Advance, log_progress
from mammo.data import staging
from mammo.data.ingest import IngestPlan, ShardResult
from mammo.errors import ClusterUnfit, ClusterUnreachable, FlowRunFailed
from mammo.settings import Settings

if TYPE_CHECKING:
    from prefect import Task
    from prefect.task_runners import TaskRunner

watcher: ContextVar[Advance | None] = ContextVar("watcher", default=None)
"""Who is told of progress; the run's log where nobody is set."""


@contextmanager
def shard_runner(
    dask: str | None, settings: Settings, source: Path
) -> Iterator[tuple[TaskRunner[Any], Facts | None]]:
    """Yield what runs the shards' tasks, and the versions that its workers must have.

    Without ``dask`` this is the flow's own runner, in this process.
    """
    from prefect.context import FlowRunContext
    from prefect.settings import PREFECT_API_URL

    if dask is None:
        run = FlowRunContext.get()
        assert run is not None, "called outside a flow"
        yield run.task_runner, None
        return
    from prefect_dask.task_runners import DaskTaskRunner

    with open_cluster(dask) as address, losses_told(address):
        versions = require_fit_workers(address, settings, source, PREFECT_API_URL.value() or "")
        with DaskTaskRunner(address=address) as runner:
            yield runner, versions


def prepare_all(
    runner: TaskRunner[Any], prepare: Task[Any, Any], plan: IngestPlan, versions: Facts | None
) -> list[ShardResult]:
    """Run one task for each job of a plan; return the results in the jobs' order.

    The order makes the index the same whichever worker is first.
    """
    from prefect import unmapped
    from prefect.futures import as_completed

    futures = runner.map(prepare, {"job": plan.jobs, "versions": unmapped(versions)})
    places = {future: place for place, future in enumerate(futures)}
    results: dict[int, ShardResult] = {}
    tell = watcher.get() or log_progress()
    for future in as_completed(list(places)):
        result = future.result()
        _require_staged(plan.settings, result.name)
        results[places[future]] = result
        tell("shards", len(results), len(plan.jobs))
    return [results[place] for place in range(len(plan.jobs))]


def _require_staged(settings: Settings, job: str) -> None:
    """Refuse a shard that a worker has written where this process does not see it."""
    if not staging.is_complete(settings, job):
        raise ClusterUnfit(
            f"a worker has prepared shard {job}, and it is not in {settings.data_dir}: workers "
            "that join during a run must see the same disk; nothing was added to the store"
        )


@contextmanager
def losses_told(address: str) -> Iterator[None]:
    """Turn Dask's own errors into ours; what was staged is kept, so the next run goes on."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise FlowRunFailed(
            "one shard's workers died one after the other, probably for want of memory: start "
            "workers with more (`--memory-limit`), or fewer, and run the ingest again, which "
            "keeps the shards that are done"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise ClusterUnreachable(
            f"the Dask scheduler at {address} was lost during the run; start it again and run "
            "the ingest again, which keeps the shards that are done"
        ) from error
