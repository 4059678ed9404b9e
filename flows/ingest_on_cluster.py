"""`mammo ingest --dask`: the ingest flow, run here, with its shards on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.cluster import open_cluster, require_fit_workers
from flows.prefect_api import prefect_api
from flows.progress import Advance
from mammo.settings import Settings


def ingest_on_cluster(
    source: str,
    folder: Path,
    settings: Settings,
    config: str | None,
    dask: str,
    *,
    progress: Advance,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run the ingest flow in this process; return its report, without file names.

    ``dask`` is a scheduler's address or ``local:N``. The cluster is asked
    first, so that one that cannot be used is told within seconds.

    Raises
    ------
    ClusterUnreachable, ClusterUnfit
        See `flows.cluster.require_fit_workers`.
    StackUnhealthy
        The stack is up without its Prefect.
    """
    home = settings.home.resolve()
    with open_cluster(dask) as address:
        found = settings.model_copy(update={"home": home})
        require_fit_workers(address, found, folder.resolve())
        with prefect_api(found, say):
            from flows.ingest import ingest
            from flows.ingest_shards import watcher

            token = watcher.set(progress)
            try:
                return dict(ingest(source, str(folder.resolve()), config, address))
            finally:
                watcher.reset(token)
