"""Ingest on a real Dask cluster: two worker processes, one of them killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prefect_dask")

from concurrent.futures import CancelledError

from distributed import Client, KilledWorker
from typer.testing import CliRunner

import mammo
from flows import cluster, cluster_worker
from flows.cli import app
from flows.ingest_shards import losses_told
from flows.preparation import choose_preprocess
from flows.servers import free_port
from mammo import errors
from mammo.data.ingest import ingest
from mammo.dicom.phantom import write_phantoms
from mammo.settings import Settings

SHARD_SIZE = 3
# the command itself, with shards small enough that two workers have something to share
COMMAND = (
    f"from mammo.data import plan; plan.SHARD_SIZE = {SHARD_SIZE}; from flows.cli import app; app()"
)
Answer = dict[str, object]
NO_MAMMO = "import sys; sys.modules['mammo'] = sys.modules['flows'] = None"
OLD_MAMMO = "import mammo; mammo.__version__ = '0.0.1'"


@contextmanager
def started(log: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Dask command in a process group of its own; kill the group at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command], stdout=output, stderr=output,
            env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 the process, its nanny's child and all that they have started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(reached: Callable[[], bool], log: Path, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running Dask scheduler."""
    log = tmp_path_factory.mktemp("scheduler") / "log"
    port = free_port()
    with started(log, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"):
        wait(lambda: "Scheduler at" in log.read_text(), log)
        yield f"tcp://127.0.0.1:{port}"


@contextmanager
def worker(
    scheduler: str, log: Path, preload: str = "", **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with a nanny, as users start it; ``preload`` is code run in it first.

    At the end the scheduler has forgotten it: the next test may ask for none.
    """
    before = len(workers_of(scheduler))
    options = ["--nworkers", "1", "--nthreads", "1", "--no-dashboard"]
    if preload:
        log.with_suffix(".py").write_text(preload)
        options += ["--preload", str(log.with_suffix(".py"))]
    with started(log, "worker", scheduler, *options, **environment) as process:
        wait(lambda: "Registered to" in log.read_text(), log)
        yield process
    wait(lambda: len(workers_of(scheduler)) <= before, log)


def workers_of(scheduler: str) -> dict[str, Any]:
    with Client(scheduler, timeout=10) as client:
        return dict(client.scheduler_info()["workers"])


@pytest.fixture
def phantoms(tmp_path: Path) -> Path:
    write_phantoms(tmp_path / "set", exams=8, scanner="aurora", seed=11)
    return tmp_path / "set"


def stored(home: Path) -> dict[str, bytes]:
    folder = home / "data" / "store"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def shards_done(log: Path) -> int:
    return log.read_text().count("Finished in state Completed")


@pytest.mark.stack
def test_two_workers_one_killed_and_the_store_is_the_same_byte_for_byte(
    settings: Settings, phantoms: Path, tmp_path: Path, scheduler: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MAMMO_PSEUDONYM_KEY", bytes(range(32)).hex())
    monkeypatch.setattr("mammo.data.plan.SHARD_SIZE", SHARD_SIZE)
    local = Settings(home=tmp_path / "local")
    ingest("rsna", phantoms, local, choose_preprocess(local, "smoke"))
    log, logs = tmp_path / "ingest.log", [tmp_path / "a.log", tmp_path / "b.log"]
    command = [sys.executable, "-c", COMMAND, "ingest", "--source", "rsna", str(phantoms)]
    command += ["--config", "smoke", "--dask", scheduler]
    with ExitStack() as stack:
        a, _ = [stack.enter_context(worker(scheduler, one)) for one in logs]
        with log.open("wb") as output:
            run = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            wait(lambda: all(shards_done(one) for one in logs) or run.poll() is not None, log, 200)
            kill_group(a)
            assert run.poll() is None, log.read_text()  # it was killed during the run
            assert run.wait(200) == 0, log.read_text()
        finally:
            run.kill()
    assert "shards: 11 of 11" in log.read_text()
    assert stored(settings.home) == stored(local.home)


@pytest.mark.stack
@pytest.mark.parametrize(
    ("preload", "environment", "told"),
    [
        (NO_MAMMO, {}, "cannot import flows.cluster_worker; install this mammo with its extras"),
        (OLD_MAMMO, {}, "has mammo 0.0.1 (code "),
        (
            "",
            {"MAMMO_PSEUDONYM_KEY": bytes(range(32, 64)).hex()},
            "has another pseudonym key; give it the MAMMO_PS",
        ),
    ],
    ids=["no mammo", "another version", "another key"],
)
def test_a_worker_that_would_write_something_else_is_refused(
    settings: Settings, tmp_path: Path, scheduler: str,
    preload: str, environment: dict[str, str], told: str,
) -> None:  # fmt: skip
    with (
        worker(scheduler, tmp_path / "worker.log", preload, **environment),
        pytest.raises(errors.ClusterUnfit) as refusal,
    ):
        cluster.require_fit_workers(scheduler, settings, tmp_path)
    assert told in refusal.value.message
    assert refusal.value.message.startswith("1 of 1 Dask workers cannot be used; tcp://127.0.0.1:")


@pytest.mark.stack
def test_a_fit_worker_is_taken_and_no_worker_is_refused(
    settings: Settings, tmp_path: Path, scheduler: str
) -> None:
    with pytest.raises(errors.ClusterUnfit, match="has no workers; start them with `dask worker"):
        cluster.require_fit_workers(scheduler, settings, tmp_path)
    with worker(scheduler, tmp_path / "worker.log"):
        found = cluster.require_fit_workers(scheduler, settings, tmp_path)
        assert found["mammo"].startswith(f"{mammo.__version__} (code ")
        with pytest.raises(errors.ClusterUnfit, match="does not reach Prefect at http:"):
            cluster.require_fit_workers(scheduler, settings, tmp_path, "http://127.0.0.1:9/api")
    assert not list(settings.data_dir.glob(".cluster.*"))


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense", "foo://127.0.0.1:9"]
)
def test_an_address_that_no_scheduler_answers_at_is_told_within_seconds(
    settings: Settings, tmp_path: Path, address: str
) -> None:
    began = time.monotonic()
    with pytest.raises(errors.ClusterUnreachable) as refusal:
        cluster.require_fit_workers(address, settings, tmp_path)
    assert time.monotonic() - began < 60  # Dask's own patience is longer, or endless
    assert f"no Dask scheduler answers at {address} (" in refusal.value.message
    assert "start one with `dask scheduler`" in refusal.value.message


def test_the_command_refuses_in_one_line(settings: Settings, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["ingest", str(tmp_path), "--dask", "tcp://127.0.0.1:9"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error CLUSTER_UNREACHABLE: no Dask scheduler answers at tcp:")
    assert result.stderr.count("\n") == 1


def test_what_listens_and_is_no_scheduler(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(errors.ClusterUnreachable, match=r"at tcp:.* \(TimeoutError\)"):
            cluster.require_fit_workers(f"tcp://127.0.0.1:{port}", settings, tmp_path)


@pytest.mark.parametrize("where", ["local:", "local:0", "local:two", "local:-1"])
def test_local_wants_a_number_of_processes(where: str) -> None:
    with pytest.raises(errors.SettingsInvalid, match="give a number of"):
        cluster.open_cluster(where).__enter__()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"store": False}, "does not see the store in /home; MAMMO_HOME must be on a shared"),
        ({"wrote": ""}, "does not write to the store in /home"),
        ({"wrote": "answer-2"}, "its file is not seen here: the disk is another"),
        ({"source": False}, "does not see the files to ingest; they must be on a shared disk"),
    ],
    ids=["fit", "no store", "read-only store", "a disk of the same name", "no source"],
)
def test_a_worker_must_see_the_same_disk(tmp_path: Path, change: Answer, told: str) -> None:
    (tmp_path / "answer-1").touch()
    visit = {"home": "/home", "folder": str(tmp_path), "api": ""}
    answer: Answer = {"versions": {"mammo": "1"}, "store": True, "wrote": "answer-1"}
    answer |= {"source": True, "key": "k", "api": True}
    found = cluster.explain_unfit(answer | change, visit, {"versions": {"mammo": "1"}, "key": "k"})
    assert told in found and bool(told) == bool(found)


def test_a_worker_answers_only_for_the_marker_that_it_sees(tmp_path: Path) -> None:
    (tmp_path / "marker").touch()
    (tmp_path / "sample").touch()
    visit = {"home": str(tmp_path), "folder": str(tmp_path), "api": ""}
    visit |= {"sample": str(tmp_path / "sample")}
    answer = cluster_worker.answer_visit(visit)
    assert (answer["store"], answer["source"]) == (True, True)
    assert (tmp_path / str(answer["wrote"])).exists()
    vanished = visit | {"sample": str(tmp_path / "vanished")}
    assert cluster_worker.answer_visit(vanished)["source"] is False
    elsewhere = cluster_worker.answer_visit(visit | {"folder": str(tmp_path / "elsewhere")})
    assert elsewhere["store"] is False and "key" not in elsewhere


def test_a_worker_that_joins_later_checks_itself() -> None:
    cluster_worker.require_versions(cluster_worker.read_versions())
    with pytest.raises(errors.ClusterUnfit, match=r"joined during the run has numpy .*, not 0\.1"):
        cluster_worker.require_versions(cluster_worker.read_versions() | {"numpy": "0.1"})


@pytest.mark.parametrize(
    ("loss", "refusal", "told"),
    [
        (KilledWorker("t", None, 3), errors.FlowRunFailed, "for want of memory"),
        (CancelledError(), errors.ClusterUnreachable, "scheduler at tcp://x:1 was lost"),
    ],
    ids=["workers died", "scheduler lost"],
)
def test_losses_say_what_to_do(
    loss: Exception, refusal: type[errors.MammoError], told: str
) -> None:
    with pytest.raises(refusal, match=told), losses_told("tcp://x:1"):
        raise loss
