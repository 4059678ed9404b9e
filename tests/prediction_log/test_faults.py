"""A database that is locked, gone, and back: real ones."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mammo.errors import LogUnavailable
from mammo.prediction_log import DurableLog, PredictionLog, Spool
from tests.postgres import Cluster
from tests.prediction_log.rows import T0, outcome, scoring


def durable_log(url: str, folder: Path, busy_seconds: float = 0.2) -> DurableLog:
    log = PredictionLog(url, pooled=True, busy_seconds=busy_seconds)
    return DurableLog(log, Spool(folder / "spool"))


@contextmanager
def locked(log: PredictionLog) -> Iterator[None]:
    """Hold the log's lock as another writer does."""
    with log._writing(sa.Table("predictions", sa.MetaData())):
        yield


def test_locked_then_free(log_url: str, tmp_path: Path) -> None:
    durable = durable_log(log_url, tmp_path)
    assert durable.append("q-0", scoring("E-0")) == "logged"
    with locked(PredictionLog(log_url)):
        assert durable.append("q-1", scoring("E-1")) == "spooled"
        assert durable.append("q-1", scoring("E-1")) == "repeated"
        assert durable.append("q-0", scoring("E-0")) == "spooled", "the log cannot be asked"
        assert (durable.drain(), durable.waiting) == (0, 2)
        assert isinstance(durable.refusal, LogUnavailable)
    assert durable.append("q-2", scoring("E-2")) == "spooled", "order holds"
    assert (durable.drain(), durable.waiting, durable.refusal) == (3, 0, None)
    assert durable.append("q-2", scoring("E-2")) == "repeated"
    assert durable.append("q-3", scoring("E-3")) == "logged"
    assert list(durable.log.exams()["exam_id"]) == ["E-0", "E-1", "E-2", "E-3"]


def test_a_clock_that_jumps_back_changes_no_order(log_url: str, tmp_path: Path) -> None:
    durable = durable_log(log_url, tmp_path)
    with locked(PredictionLog(log_url).create()):
        for number in range(3):
            at = T0 - timedelta(hours=number)
            durable.append(f"q-{number}", scoring(probability=number / 10, scored_at=at))
    durable.drain()
    report = durable.log.exam_report("E-1")
    assert report is not None
    assert (report["probability"], report["scored_at"]) == (0.2, T0 - timedelta(hours=2))
    assert [one["probability"] for one in report["breasts"]] == [0.2, 0.2]


def test_what_waits_can_be_reported(log_url: str, tmp_path: Path) -> None:
    durable = durable_log(log_url, tmp_path)
    durable.append("q-0", scoring(probability=0.2))
    with locked(PredictionLog(log_url)):
        durable.append("q-1", scoring(probability=0.3))
        durable.append("q-1", scoring(probability=0.4, role="shadow"))
        waits, exam = durable.scoring("q-1"), durable.exam_report("E-1")
    assert exam is not None
    assert (exam["probability"], len(exam["breasts"]), exam["times_scored"]) == (0.3, 2, 2)
    durable.drain()
    assert durable.exam_report("E-1") == durable.log.exam_report("E-1") != exam
    logged, shadow = durable.scoring("q-1"), durable.scoring("q-1", "shadow")
    assert waits is not None and logged is not None and shadow is not None
    assert {name: logged[name] for name in waits if name != "breasts"} == {
        name: value for name, value in waits.items() if name != "breasts"
    }
    assert len(waits["breasts"]) == len(logged["breasts"]) == 2
    assert shadow["probability"] == 0.4


def break_sqlite(path: Path) -> Callable[[], None]:
    """Put a folder where the database was; return what puts the database back."""
    kept = path.with_name("kept.db")
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    path.rename(kept)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.mkdir()

    def mend() -> None:
        path.rmdir()
        kept.rename(path)

    return mend


def take_away(url: str, cluster: Cluster | None, how: str) -> Callable[[], None]:
    """Make the database go; return what brings it back."""
    if cluster is None:
        return break_sqlite(Path(sa.make_url(url).database or ""))
    cluster.stop(how)
    return cluster.start


GONE = [("sqlite", ""), ("postgres", "fast"), ("postgres", "immediate")]


@pytest.fixture(params=GONE, ids=["sqlite", "postgres stopped", "postgres crashed"])
def gone_and_back(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[str, Callable[[], Callable[[], None]]]:
    """A URL, and what takes its database away."""
    kind, how = request.param
    if kind == "sqlite":
        url, cluster = f"sqlite:///{tmp_path}/state/log.db", None
    else:
        cluster = request.getfixturevalue("postgres")
        url = cluster.new_database()
    return url, lambda: take_away(url, cluster, how)


def test_gone_and_back(
    gone_and_back: tuple[str, Callable[[], Callable[[], None]]], tmp_path: Path
) -> None:
    url, take = gone_and_back
    durable = durable_log(url, tmp_path)
    assert durable.append("q-0", scoring("E-0")) == "logged"
    bring_back = take()
    try:
        kept = [durable.append(f"q-{n}", scoring(f"E-{n}")) for n in (1, 2, 1, 0)]
        assert kept == ["spooled", "spooled", "repeated", "spooled"]
        assert durable.drain() == 0
        assert durable.exam_report("E-2") is not None
        for ask in (
            lambda: durable.log.exam_report("E-0"),
            lambda: durable.scoring("q-9"),
            lambda: durable.exam_report("E-9"),
            lambda: durable.log.add_outcomes([outcome("E-0", True)]),
            lambda: durable.log.outcomes(),
            lambda: durable.log.watermark("monitor"),
            lambda: durable.log.episodes(),
        ):
            with pytest.raises(LogUnavailable, match="prediction log") as refused:
                ask()
            assert refused.value.problem()["status"] == 503
            told = refused.value.message
            assert not any(secret in told for secret in ("127.0.0.1", str(tmp_path), "mammo@"))
    finally:
        bring_back()
    assert durable.drain() == 3
    assert list(durable.log.exams()["exam_id"]) == ["E-0", "E-1", "E-2"]
    assert durable.log.add_outcomes([outcome("E-0", True)]) == 1


def test_there_only_after_the_service_has_started(tmp_path: Path) -> None:
    (tmp_path / "state").touch()  # no folder can be made here
    durable = durable_log(f"sqlite:///{tmp_path}/state/log.db", tmp_path)
    assert not durable.open()
    assert durable.append("q-1", scoring()) == "spooled"
    (tmp_path / "state").unlink()
    assert durable.open()
    assert len(durable.log.exams()) == 1


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"rubbish" * 1000)
    durable = durable_log(f"sqlite:///{path}", tmp_path)
    assert durable.append("q-1", scoring()) == "spooled"
    assert "file is not a database" in str(durable.refusal)
    path.unlink()
    assert (durable.drain(), len(durable.log.exams())) == (1, 1)


def test_a_server_without_the_database(postgres: Cluster, tmp_path: Path) -> None:
    durable = durable_log(postgres.url("later"), tmp_path)
    assert not durable.open()
    assert durable.append("q-1", scoring()) == "spooled"
    assert "SQLSTATE 3D000" in str(durable.refusal)
    postgres.execute("CREATE DATABASE later")
    assert (durable.drain(), len(durable.log.exams())) == (1, 1)


def test_a_removed_file_takes_no_prediction_with_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "log.db"
    durable = durable_log(f"sqlite:///{path}", tmp_path)
    durable.append("q-1", scoring("E-1"))
    shutil.rmtree(path.parent)
    assert durable.append("q-2", scoring("E-2")) == "spooled"
    assert durable.drain() == 1
    assert list(PredictionLog(f"sqlite:///{path}").exams()["exam_id"]) == ["E-2"]


def test_a_server_that_says_nothing(postgres: Cluster, tmp_path: Path) -> None:
    url = postgres.new_database()
    durable = durable_log(url, tmp_path)
    assert durable.append("q-1", scoring("E-1")) == "logged"
    postmaster = int((postgres.data / "postmaster.pid").read_text().split()[0])
    query = f"SELECT pid FROM pg_stat_activity WHERE datname = '{sa.make_url(url).database}'"
    stopped = [postmaster, *(int(row[0]) for row in postgres.execute(query))]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert durable.append("q-2", scoring("E-2")) == "spooled"
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    durable.drain()
    assert list(durable.log.exams()["exam_id"]) == ["E-1", "E-2"]
