"""What `mammo ingest --dask` refuses, and what it leaves open and behind on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil
import pytest

pytest.importorskip("prefect_dask")

from typer.testing import CliRunner

from flows import cluster
from flows.cli import app
from flows.ingest import without_names
from mammo import errors
from mammo.settings import Settings


def family(parent: int) -> list[psutil.Process]:
    """Return a process and all that descend from it."""
    process = psutil.Process(parent)
    return [process, *process.children(recursive=True)]


def listening(processes: list[psutil.Process]) -> set[tuple[int, str, int]]:
    """Return where these processes listen: the process, its address and its port."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # what an earlier test has left may end meanwhile
            for one in process.net_connections("inet"):
                if one.status == psutil.CONN_LISTEN:
                    found.add((process.pid, one.laddr.ip, one.laddr.port))
    return found


def test_a_local_cluster_listens_on_this_machine_only() -> None:
    before = listening(family(os.getpid()))
    with cluster.open_cluster("local:1"):
        opened = listening(family(os.getpid())) - before
    assert {address for _, address, _ in opened} == {"127.0.0.1"}
    assert {pid for pid, _, _ in opened} > {os.getpid()}, "the scheduler here, and its workers"


SERVE = """
import sys, time
from pathlib import Path
from flows.cluster import open_cluster
from flows.prefect_api import prefect_api
from mammo.settings import Settings
with open_cluster("local:1"), prefect_api(Settings(home=Path(sys.argv[1])), lambda line: None):
    Path(sys.argv[2]).touch()
    time.sleep(600)
"""


@pytest.mark.stack
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=["term", "kill"]
)
def test_nothing_is_left_of_a_run_that_is_ended(
    number: signal.Signals, status: int, settings: Settings, tmp_path: Path
) -> None:
    log, ready = tmp_path / "log", tmp_path / "ready"
    with log.open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(settings.home), str(ready)],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while not ready.exists() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert ready.exists(), log.read_text()
        started_by_it = family(run.pid)
        told = [" ".join(process.cmdline()) for process in started_by_it]
        assert any("flows.temporary_server" in words for words in told), told
        assert {address for _, address, _ in listening(started_by_it)} == {"127.0.0.1"}
        run.send_signal(number)
        assert run.wait(60) == status, log.read_text()
        _, alive = psutil.wait_procs(started_by_it[1:], timeout=60)
        assert alive == []
    finally:
        for process in family(run.pid) if run.poll() is None else []:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        run.wait()


def test_a_store_that_cannot_be_written_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_connect", lambda _address: nullcontext())
    home = Settings(home=Path("/sys/mammo"))  # where not even root may make a folder
    with pytest.raises(errors.StoreReadOnly, match="MAMMO_HOME"):
        cluster.require_fit_workers("tcp://x:1", home, tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "--processes 0",
        "--processes -3",
        "--processes 4 --dask local:2",
        "--processes 4 --via-prefect",
    ],
)
def test_processes_that_would_not_count_are_refused(
    settings: Settings, tmp_path: Path, line: str
) -> None:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(
        app, ["ingest", str(tmp_path), *line.split()]
    )
    assert result.exit_code == 2
    if "--processes 4" in line:
        assert result.stderr.startswith("error SETTINGS_INVALID: --processes counts the readers")
    else:
        assert "Invalid value for '--processes': Input should be greater" in result.stderr


@pytest.mark.parametrize(
    ("file", "message", "told"),
    [
        ("a", "a header has data past a.", "the file header has data past the file."),
        ("Doe.dcm", "Doe.dcm: cut off; not Doe_dcm", "the file: cut off; not Doe_dcm"),
        ("e.dcm", "Doe.dcm is empty", "Doe.dcm is empty"),
        ("a+b", "see a+b", "see the file"),
        ("", "it is empty", "it is empty"),
    ],
)
def test_a_file_s_name_leaves_the_report_and_the_words_stay(
    file: str, message: str, told: str
) -> None:
    record = {"sha256": "0", "code": "X", "message": message, "file": file}
    (found,) = without_names({"quarantined": [record], "missing": []})["quarantined"]
    assert found["message"] == told
