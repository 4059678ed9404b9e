"""A restore that a database refuses: what may start afterwards, and what must not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from mammo.backup import postgres_programs, require_settled, restore, restore_backup, take_backup
from mammo.backup.postgres import ConnectionLost, count_database
from mammo.backup.restore import pending
from mammo.errors import DumpFailed, StackUnhealthy
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.engine import log_url
from mammo.settings import Settings
from tests.postgres import Cluster
from tests.prediction_log.rows import scoring

pytestmark = pytest.mark.slow

SECOND = "second"


@pytest.fixture
def two(postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An installation with two databases of PostgreSQL, backed up; later it has one exam more."""
    monkeypatch.setattr(postgres_programs, "LOCK_SECONDS", 1)
    postgres.execute(f"CREATE DATABASE {SECOND}")
    urls = postgres.new_database(), postgres.url(SECOND)
    settings = Settings(
        home=tmp_path / "home",
        database_url=SecretStr(urls[0]),
        mlflow_database_url=SecretStr(urls[1]),
        _env_file=None,
    )
    settings.home.mkdir()
    (settings.home / "pointer.json").write_text("{}")
    add_exam(settings, "E-0")
    take_backup(settings, tmp_path / "backup")
    add_exam(settings, "E-1")
    yield settings
    postgres.execute(f"DROP DATABASE {SECOND} WITH (FORCE)")


def urls_of(settings: Settings) -> list[str]:
    urls = (settings.database_url, settings.mlflow_database_url)
    return [url.get_secret_value() for url in urls if url]


def add_exam(settings: Settings, exam: str) -> None:
    for url in urls_of(settings):
        log = PredictionLog(url).create()
        log.append_exam(scoring(exam))
        log.close()


def rows_of(settings: Settings) -> list[int]:
    return [count_database(url)["predictions"] for url in urls_of(settings)]


@contextmanager
def in_use(url: str) -> Iterator[None]:
    engine = sa.create_engine(log_url(url), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE predictions IN ACCESS SHARE MODE"))
        yield


def files_of(settings: Settings) -> list[str]:
    """Everything in the home and beside it: a dump of the log that is left there is patients'."""
    return sorted(str(one) for one in settings.home.parent.rglob("*"))


def test_what_changed_nothing_may_start(two: Settings, tmp_path: Path) -> None:
    before, files = rows_of(two), files_of(two)
    with in_use(urls_of(two)[0]), pytest.raises(DumpFailed, match="end what uses the database"):
        restore_backup(two, tmp_path / "backup", replace=True)
    assert rows_of(two) == before
    assert not pending(two.home) and files_of(two) == files
    require_settled(two.home)
    restore_backup(two, tmp_path / "backup", replace=True)
    assert rows_of(two) == [rows // 2 for rows in before]


def test_one_replaced_and_one_refused_is_run_again(two: Settings, tmp_path: Path) -> None:
    before = rows_of(two)
    with in_use(urls_of(two)[1]), pytest.raises(DumpFailed, match=r"by now: log\.") as refused:
        restore_backup(two, tmp_path / "backup", replace=True)
    assert rows_of(two) == [before[0] // 2, before[1]]
    (kept,) = tmp_path.glob("home.before-*")
    assert sorted(one.name for one in (kept / "databases").iterdir()) == ["log.dump", "mlflow.dump"]
    assert f"is kept in {kept.name} beside MAMMO_HOME. Run the same" in str(refused.value)
    with pytest.raises(StackUnhealthy, match="run the same command again"):
        require_settled(two.home)
    restore_backup(two, tmp_path / "backup")
    require_settled(two.home)
    assert rows_of(two) == [rows // 2 for rows in before]


def test_the_note_of_one_that_was_killed_before_stands(two: Settings, tmp_path: Path) -> None:
    """It may have replaced a database, whatever the second try met first."""
    note = two.home.with_name(".mammo-restore-home.pending")
    note.write_text("0f\n")
    files = files_of(two)
    with in_use(urls_of(two)[0]), pytest.raises(DumpFailed):
        restore_backup(two, tmp_path / "backup", replace=True)
    assert pending(two.home) and note.read_text() == "0f\n"
    assert files_of(two) == files


def test_a_server_that_was_lost_may_have_replaced_it(
    two: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(url: str, source: Path) -> dict[str, int]:
        raise ConnectionLost("psql: connection to server was lost")

    monkeypatch.setattr(restore, "restore_database", lost)
    with pytest.raises(DumpFailed, match="whether it was is not known"):
        restore_backup(two, tmp_path / "backup", replace=True)
    assert pending(two.home)


def test_a_dump_of_before_that_fails_leaves_nothing(
    two: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(url: str, target: Path) -> None:
        target.write_bytes(b"PGDMP")  # half of it
        raise DumpFailed("pg_dump failed")

    files = files_of(two)
    monkeypatch.setattr(restore, "dump_database", failing)
    with pytest.raises(DumpFailed):
        restore_backup(two, tmp_path / "backup", replace=True)
    assert not pending(two.home) and files_of(two) == files
