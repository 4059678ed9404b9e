"""A disk that is full: the database's, the spool's, or both; refused by the kernel."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mammo.errors import DiskFull, MammoError
from mammo.prediction_log import PredictionLog
from tests.postgres import Cluster
from tests.prediction_log.rows import breast_row, outcome, scoring
from tests.prediction_log.test_faults import durable_log, locked


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse bytes beyond a size of any file, as a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_neither_database_nor_spool_has_room(tmp_path: Path) -> None:
    durable = durable_log(f"sqlite:///{tmp_path}/state/log.db", tmp_path)
    durable.append("q-1", scoring("E-1"))
    full = pytest.raises(DiskFull, match=r"waiting\.jsonl cannot take another line")
    with files_of_at_most(1000), full as refused:
        durable.append("q-2", scoring("E-2"))
    assert refused.value.http_status == 507
    assert durable.waiting == 0
    durable.drain()
    assert durable.append("q-2", scoring("E-2")) == "logged", "a retry of the client is taken"
    assert list(durable.log.exams()["exam_id"]) == ["E-1", "E-2"]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, of 12 MB; skips where this user may not mount one."""
    folder = Path("/tmp") / f"mammo-small-disk-{os.getpid()}"  # PostgreSQL's account may enter it
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=0777", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)
        folder.rmdir()


def fill(folder: Path) -> Path:
    """Take the last byte of a file system."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            return ballast


def log_on(disk: Path, kind: str, request: pytest.FixtureRequest) -> str:
    """The URL of a log whose tables lie on the small disk."""
    if kind == "sqlite":
        return f"sqlite:///{disk}/log.db"
    cluster: Cluster = request.getfixturevalue("postgres")
    place = disk / "tablespace"
    place.mkdir()
    shutil.chown(place, (cluster.data).owner())
    cluster.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
    cluster.execute("CREATE DATABASE on_small_disk TABLESPACE small STRATEGY file_copy")
    return cluster.url("on_small_disk")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has tmpfs")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_disk_of_the_database_is_full(
    small_disk: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    durable = durable_log(log_on(small_disk, kind, request), tmp_path)
    durable.open()
    ballast, number = fill(small_disk), 0
    # a few pages may be left in files that are there already
    while durable.append(f"q-{number}", scoring(f"E-{number}", quality="x" * 5000)) == "logged":
        number += 1
        assert number < 500
    assert isinstance(durable.refusal, DiskFull)
    with pytest.raises(MammoError) as refused:
        durable.log.add_outcomes(outcome(f"E-{n}", True) for n in range(5000))
    assert refused.value.http_status in (503, 507)
    ballast.unlink()
    assert durable.drain() == 1
    assert len(durable.log.exams()) == number + 1
    durable.log.close()
    if kind == "postgres":
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.execute("DROP DATABASE on_small_disk")
        cluster.execute("DROP TABLESPACE small")


def test_draining_a_spool_needs_no_room(small_disk: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state/log.db"
    durable = durable_log(url, small_disk)
    with locked(PredictionLog(url).create()):
        durable.append("q-1", [breast_row(), *scoring()[2:]])
    fill(small_disk)
    with locked(PredictionLog(url)), pytest.raises(DiskFull):
        for number in range(2, 200):  # the last page of the spool's file may have room
            durable.append(f"q-{number}", scoring(quality="x" * 5000))
    assert durable.drain() >= 1
    assert durable.spool.empty
    assert len(PredictionLog(url).exams(level="breast")) % 2 == 1
