"""A Dask cluster as the place where shards are prepared: reach it, check its workers.

Every worker is asked before the first shard is given out, since one that has
other code, another key or another disk would not fail: it would write shards
that differ, or write them where nobody looks.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cluster_worker import Facts, explain_versions, read_versions
from mammo.data.durable import make_folder, storing
from mammo.errors import ClusterUnfit, ClusterUnreachable, SettingsInvalid
from mammo.pseudonym_key import fingerprint
from mammo.settings import Settings

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 3
LOCAL = "local:"
LOCALHOST = "127.0.0.1"


@contextmanager
def open_cluster(where: str) -> Iterator[str]:
    """Yield the scheduler's address; ``local:N`` starts N worker processes here, and ends them.

    Raises SettingsInvalid for an N that is no number above 0.
    """
    _require_dask()
    if not where.startswith(LOCAL):
        yield where
        return
    count = where.removeprefix(LOCAL)
    if not count.isdecimal() or int(count) < 1:
        raise SettingsInvalid(f"--dask {where}: give a number of processes, such as {LOCAL}2")
    from distributed import LocalCluster

    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=int(count),
        threads_per_worker=1,
        processes=True,
        dashboard_address=f"{LOCALHOST}:0",  # Dask opens it to the network without a host
        host=LOCALHOST,
        silence_logs=logging.ERROR,
    ) as cluster:
        yield cluster.scheduler_address


def _require_dask() -> None:
    if find_spec("distributed") is None or find_spec("prefect_dask") is None:
        raise SettingsInvalid(
            "--dask needs the extra `dask`: pip install -e '.[flows,dask]' in the checkout"
        )


def require_fit_workers(address: str, settings: Settings, source: Path, api: str = "") -> Facts:
    """Ask every worker of a cluster; return the versions that all of them have.

    ``source`` is the folder to be read. ``api``, where given, is the address of
    the Prefect API that the workers report to.

    Raises
    ------
    ClusterUnreachable
        No scheduler answers at the address.
    ClusterUnfit
        There is no worker, or one lacks mammo, has another version or another
        pseudonym key, or does not see the store, the source or the API.
    StoreReadOnly, DiskFull
        This process cannot write to the store.
    """
    with _connect(address) as client, _visit(settings, source, api) as visit:
        answers = client.run(_ask(), visit, on_error="return")
        if not answers:
            raise ClusterUnfit(
                f"the Dask scheduler at {address} has no workers; start them with "
                f"`dask worker {address} --nworkers N --nthreads 1`"
            )
        expected: dict[str, object] = {
            "key": fingerprint(settings.pseudonym_key()),
            "versions": read_versions(),
        }
        told = {
            worker: explain_unfit(answer, visit, expected) for worker, answer in answers.items()
        }
    unfit = {worker: problem for worker, problem in told.items() if problem}
    if unfit:
        worker, problem = next(iter(unfit.items()))
        raise ClusterUnfit(
            f"{len(unfit)} of {len(told)} Dask workers cannot be used; {worker} {problem}"
        )
    return read_versions()


def _connect(address: str) -> Client:
    from distributed import Client

    try:
        # a client waits for ever on something that listens and is no scheduler
        asyncio.run(_shake_hands(address))
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:  # ValueError: no such kind of address
        raise ClusterUnreachable(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); start one with "
            "`dask scheduler`, give the address it prints, such as tcp://10.0.0.5:8786, or "
            f"leave --dask out ({LOCAL}2 runs two processes on this machine)"
        ) from error


async def _shake_hands(address: str) -> None:
    from distributed.comm.addressing import get_address_host_port
    from distributed.comm.core import connect

    get_address_host_port(address)
    async with asyncio.timeout(CONNECT_SECONDS):
        comm = await connect(address, timeout=CONNECT_SECONDS)  # type: ignore[no-untyped-call]
        comm.abort()


@contextmanager
def _visit(settings: Settings, source: Path, api: str) -> Iterator[dict[str, str]]:
    """Put a marker into the store; yield what a worker is asked, as plain text."""
    make_folder(settings.data_dir)
    sample = next((path for path in source.rglob("*") if path.is_file()), None)
    with storing(settings.data_dir):
        place = tempfile.TemporaryDirectory(prefix=".cluster.", dir=settings.data_dir)
        Path(place.name, "marker").write_text(uuid.uuid4().hex)
        settings.pseudonym_key()  # makes one where there is none
    with place as folder:
        yield {
            "home": str(settings.home),
            "folder": folder,
            "sample": str(sample or ""),
            "api": api,
        }


def _ask() -> Callable[[Mapping[str, str]], dict[str, object]]:
    """Return a function that travels by value: a worker may have no mammo to import it from."""

    def ask(visit: Mapping[str, str]) -> dict[str, object]:
        try:
            from flows.cluster_worker import answer_visit
        except ImportError as error:
            return {"lacks": str(error.name)}
        return answer_visit(visit)

    return ask


def explain_unfit(answer: Any, visit: Mapping[str, str], expected: Mapping[str, Any]) -> str:
    """Return why a worker that gave this answer cannot be used, and what to do; else nothing.

    ``answer`` is of `flows.cluster_worker.answer_visit` to ``visit``, ``{"lacks":
    MODULE}``, or what was raised.
    """
    if isinstance(answer, Exception):
        return f"failed when asked ({type(answer).__name__}: {str(answer)[:200]}); see its log"
    if "lacks" in answer:
        return (
            f"cannot import {answer['lacks']}; install this mammo with its extras `flows` and "
            "`dask` where the worker runs, and start it again"
        )
    differing = explain_versions(answer["versions"], expected["versions"])
    if differing:
        return f"has {differing}; install the same and start it again"
    if not answer["store"] or not answer["wrote"]:
        verb = "write to" if answer["store"] else "see"
        return f"does not {verb} the store in {visit['home']}; MAMMO_HOME must be on a shared disk"
    if not Path(visit["folder"], answer["wrote"]).exists():
        return f"writes to {visit['home']}, and its file is not seen here: the disk is another"
    if not answer["source"]:
        return "does not see the files to ingest; they must be on a shared disk, at the same path"
    if answer["key"] != expected["key"]:
        return "has another pseudonym key; give it the MAMMO_PSEUDONYM_KEY of this process"
    if not answer["api"]:
        return (
            f"does not reach Prefect at {visit['api']}; run `mammo up` with MAMMO_HOST set to an "
            "address of this machine that the workers reach, and then ingest"
        )
    return ""
