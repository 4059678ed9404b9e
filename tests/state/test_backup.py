"""Backup, wipe, restore: the same state, on SQLite and PostgreSQL, whatever happens between."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from typer.testing import CliRunner

from flows.cli import app
from flows.stack import up
from mammo.audit import AuditLog
from mammo.backup import read_manifest, restore, restore_backup, take_backup
from mammo.backup.postgres import count_database, dump_database, restore_database
from mammo.backup.restore import pending
from mammo.errors import (
    BackupExists,
    BackupForeign,
    BackupInvalid,
    DiskFull,
    DumpFailed,
    HomeNotEmpty,
    StackRunning,
    StackUnhealthy,
)
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.engine import log_url
from mammo.release import Release
from mammo.settings import Settings
from tests.postgres import Cluster
from tests.prediction_log.rows import scoring
from tests.state.installation import EXAMS, book_of, files_of, fill, tables_of

pytestmark = pytest.mark.slow


@pytest.fixture
def filled(settings: Settings) -> Settings:
    fill(settings)
    return settings


def wipe(settings: Settings) -> None:
    shutil.rmtree(settings.home)
    if settings.database_url:
        engine = sa.create_engine(settings.log_url)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()


def environment(settings: Settings) -> dict[str, str]:
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    given = {"MAMMO_DATABASE_URL": url} if url else {}
    return {**os.environ, "MAMMO_HOME": str(settings.home), **given}


def test_backup_wipe_restore(filled: Settings, tmp_path: Path) -> None:
    before, files, book = tables_of(filled), files_of(filled.home), book_of(filled)
    taken = take_backup(filled, tmp_path / "backup")
    assert taken.manifest.rows["log"]["predictions"] == 3 * EXAMS
    wipe(filled)
    restored = restore_backup(filled, tmp_path / "backup")
    assert restored.aside is None
    assert tables_of(filled) == before and len(before["predictions"]) == 3 * EXAMS
    assert files_of(filled.home) == files and book_of(filled) == book
    assert AuditLog(filled.audit_path).verify().lines == 5
    assert Release.read(filled.releases_dir / "r-1", verify=True).id == "r-1", "its digest holds"
    stored, cached = (next(filled.data_dir.rglob(name)) for name in ("0.npy", "cd"))
    assert stored.samefile(cached) and stored.stat().st_mode & 0o777 == 0o444
    assert filled.home.joinpath("pseudonym.key").stat().st_mode & 0o777 == 0o600
    log = PredictionLog(filled.log_url).create()
    assert log.append_scoring("q-new", scoring("E-new")), "ids go on where they stopped"
    assert not log.append_scoring("q-0", scoring("E-0")), "a request is logged once"
    log.close()


def test_a_backup_while_exams_are_scored(filled: Settings, tmp_path: Path) -> None:
    """Whole scorings alone: three rows each, those that were answered before all in it."""
    stop, answered = threading.Event(), []

    def score() -> None:
        log = PredictionLog(filled.log_url)
        while not stop.is_set():
            log.append_scoring(f"q-live-{len(answered)}", scoring(f"E-live-{len(answered)}"))
            answered.append(time.monotonic())
        log.close()

    writer = threading.Thread(target=score)
    writer.start()
    try:
        while (certain := len(answered)) < 5:
            assert writer.is_alive()
            time.sleep(0.02)
        rows = take_backup(filled, tmp_path / "backup").manifest.rows["log"]["predictions"]
    finally:
        stop.set()
        writer.join()
    assert rows % 3 == 0
    assert 3 * (EXAMS + certain) <= rows <= 3 * (EXAMS + len(answered))
    wipe(filled)
    restore_backup(filled, tmp_path / "backup")
    assert len(tables_of(filled)["predictions"]) == rows


def test_a_broken_byte_anywhere_is_refused(filled: Settings, tmp_path: Path) -> None:
    taken = take_backup(filled, tmp_path / "backup")
    wipe(filled)
    draw = random.Random(11)
    content = [one.path for one in taken.manifest.entries if one.size_bytes]
    assert len(content) > 12
    for path in [*content, "manifest.json"]:
        file = tmp_path / "backup" / path
        whole, mode = file.read_bytes(), file.stat().st_mode
        file.chmod(0o600)
        spot = draw.randrange(len(whole))
        file.write_bytes(whole[:spot] + bytes([whole[spot] ^ 1]) + whole[spot + 1 :])
        with pytest.raises(BackupInvalid, match="is not as it was written"):
            restore_backup(filled, tmp_path / "backup")
        assert not filled.home.exists() and not pending(filled.home)
        file.write_bytes(whole)
        file.chmod(mode)
    restore_backup(filled, tmp_path / "backup")


@pytest.mark.parametrize("harm", ["missing", "strange", "unfinished"])
def test_a_backup_that_is_not_whole(harm: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    (settings.home / "keys").mkdir(parents=True)
    (settings.home / "keys" / "signing.key").write_bytes(b"secret")
    backup = take_backup(settings, tmp_path / "backup").folder
    {
        "missing": (backup / "home" / "keys" / "signing.key").unlink,
        "strange": (backup / "home" / "keys" / "mine.key").touch,
        "unfinished": (backup / "manifest.sha256").unlink,
    }[harm]()
    shutil.rmtree(settings.home)
    with pytest.raises(BackupInvalid):
        restore_backup(settings, backup)
    assert not settings.home.exists()


def test_a_home_with_state_is_kept(filled: Settings, tmp_path: Path) -> None:
    take_backup(filled, tmp_path / "backup")
    before = tables_of(filled)
    log = PredictionLog(filled.log_url)
    log.append_scoring("q-later", scoring("E-later"))
    log.close()
    with pytest.raises(HomeNotEmpty, match="--replace"):
        restore_backup(filled, tmp_path / "backup")
    assert len(tables_of(filled)["predictions"]) == 3 * EXAMS + 3
    restored = restore_backup(filled, tmp_path / "backup", replace=True)
    assert tables_of(filled) == before
    assert restored.aside is not None and restored.aside.is_dir()
    dump = restored.aside / "databases" / "log.dump"
    assert dump.exists() if filled.database_url else (restored.aside / "log.db").exists()


def test_restores_within_one_second_keep_each_what_was_before(
    filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the first is killed when it has begun, and a script starts it anew at once."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 11, 29, 15, 11, 49, tzinfo=tz)

    monkeypatch.setattr(restore, "datetime", Stopped)
    take_backup(filled, tmp_path / "backup")
    asides = [restore_backup(filled, tmp_path / "backup", replace=True).aside for _ in range(3)]
    stamp = "home.before-20261129T151149Z"
    assert [one and one.name for one in asides] == [stamp, f"{stamp}-2", f"{stamp}-3"]
    assert all(one and any(one.iterdir()) for one in asides)


def test_a_full_database_is_kept_even_when_the_home_is_gone(
    postgres: Cluster, tmp_path: Path
) -> None:
    url = SecretStr(postgres.new_database())
    settings = Settings(home=tmp_path / "home", database_url=url, _env_file=None)
    fill(settings)
    take_backup(settings, tmp_path / "backup")
    shutil.rmtree(settings.home)
    with pytest.raises(HomeNotEmpty, match="the database log holds"):
        restore_backup(settings, tmp_path / "backup")


def test_another_kind_of_database_is_refused(filled: Settings, tmp_path: Path) -> None:
    take_backup(filled, tmp_path / "backup")
    url = None if filled.database_url else SecretStr("postgresql://mammo@127.0.0.1:1/mammo")
    other = Settings(home=tmp_path / "other", database_url=url, _env_file=None)
    with pytest.raises(BackupForeign, match="MAMMO_DATABASE_URL"):
        restore_backup(other, tmp_path / "backup")


def test_nothing_is_overwritten(filled: Settings, tmp_path: Path) -> None:
    take_backup(filled, tmp_path / "backup")
    with pytest.raises(BackupExists):
        take_backup(filled, tmp_path / "backup")
    with pytest.raises(BackupExists, match="inside"):
        take_backup(filled, filled.home / "backup")


def test_it_is_for_its_owner_alone_and_may_be_without_secrets(
    filled: Settings, tmp_path: Path
) -> None:
    whole = take_backup(filled, tmp_path / "whole")
    held = {"pseudonym.key", "audit/audit.key", "keys/signing.key"}
    assert held <= set(whole.manifest.secrets)
    loose = [one for one in whole.folder.rglob("*") if one.stat().st_mode & 0o077]
    assert loose == [] and whole.folder.stat().st_mode & 0o777 == 0o700
    bare = take_backup(filled, tmp_path / "bare", secrets=False, without=["gateway"]).folder
    there = {str(one.relative_to(bare / "home")) for one in (bare / "home").rglob("*")}
    assert not there & held and not any(one.startswith("gateway") for one in there)
    assert set(read_manifest(bare).left_out) == {"secrets", "gateway"}


def test_the_disk_of_the_backup_is_full(filled: Settings, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises((DiskFull, DumpFailed)):
            take_backup(filled, tmp_path / "backup")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home"]


def test_too_little_room_is_told_before(
    filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(DiskFull, match="1 MB are free"):
        take_backup(filled, tmp_path / "backup")


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    settings.home.mkdir()
    with sqlite3.connect(settings.home / "log.db") as log:
        log.execute("CREATE TABLE a (b)")
        log.executemany("INSERT INTO a VALUES (?)", [(os.urandom(900),) for _ in range(200)])
    log.close()
    with (settings.home / "log.db").open("r+b") as stream:
        stream.seek(8192)
        stream.write(b"\xff" * 4096)
    with pytest.raises(BackupInvalid, match=r"log\.db (is damaged|cannot be copied)"):
        take_backup(settings, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_stack_that_runs_is_not_replaced(tmp_path: Path) -> None:
    from flows.stack_supervisor import _only_one

    settings = Settings(home=tmp_path / "home", _env_file=None)
    with _only_one(settings):
        take_backup(settings, tmp_path / "backup")
        with pytest.raises(StackRunning, match="mammo down"):
            restore_backup(settings, tmp_path / "backup", replace=True)


def test_killed_at_any_point(filled: Settings, tmp_path: Path) -> None:
    """Backups and restores are killed; what is there is whole or nothing, and can be had again."""
    before, files = tables_of(filled), files_of(filled.home)
    draw = random.Random(29)
    runs = [["backup", str(tmp_path / "backup")], ["restore", str(tmp_path / "backup")]]
    for arguments in runs:
        for _ in range(3):
            child = subprocess.Popen(
                [sys.executable, "-c", KILLABLE, *arguments],
                env=environment(filled),
                stdout=subprocess.PIPE,
            )
            assert child.stdout is not None and child.stdout.readline() == b"begun\n"
            time.sleep(draw.uniform(0.0, 0.35))
            child.kill()
            child.wait()
            if arguments[0] == "backup" and (tmp_path / "backup").exists():
                read_manifest(tmp_path / "backup")
                shutil.rmtree(tmp_path / "backup")
            elif arguments[0] == "restore" and filled.home.exists():
                assert files_of(filled.home) == files
        if arguments[0] == "backup":
            take_backup(filled, tmp_path / "backup")
            wipe(filled)
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *runs[1], "--json"],
        env=environment(filled),
        capture_output=True,
        text=True,
        check=False,
    )
    whole = done.returncode == 0 or "HOME_NOT_EMPTY" in done.stderr  # the last kill came too late
    assert whole, done.stderr
    assert tables_of(filled) == before and files_of(filled.home) == files
    assert not [one.name for one in tmp_path.iterdir() if one.name.startswith(".mammo")]


KILLABLE = """
import sys, pathlib
from mammo.backup import take_backup, restore_backup
from mammo.settings import read_settings
print("begun", flush=True)
settings, place = read_settings(), pathlib.Path(sys.argv[2])
take_backup(settings, place) if sys.argv[1] == "backup" else restore_backup(settings, place)
"""


NEWER = (
    "CREATE TABLE newer (id serial PRIMARY KEY, of_prediction integer REFERENCES predictions (id));"
    "INSERT INTO newer (of_prediction) SELECT max(id) FROM predictions;"
    "CREATE TYPE newer_kind AS ENUM ('a'); CREATE SEQUENCE newer_numbers;"
    "CREATE VIEW newer_view AS SELECT id FROM predictions;"
    "CREATE FUNCTION newer_sum(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 + 1';"
    "ALTER TABLE predictions ADD COLUMN newer text;"
    "CREATE TABLE newer_parts (day date NOT NULL) PARTITION BY RANGE (day);"
    "CREATE TABLE newer_part PARTITION OF newer_parts DEFAULT;"
    "CREATE TYPE newer_pair AS (a integer, b newer_kind); CREATE DOMAIN newer_name AS text;"
    "CREATE FUNCTION newer_of(predictions, newer_pair) RETURNS integer LANGUAGE sql AS 'SELECT 1';"
    "CREATE TABLE newer_identity (id integer GENERATED ALWAYS AS IDENTITY);"
)
"""What a later version's migration leaves: it refers to tables that were there before."""


@pytest.fixture
def database(postgres: Cluster) -> str:
    url = postgres.new_database()
    PredictionLog(url).create().append_exam(scoring("E-0"))
    return url


def execute(url: str, text: str) -> None:
    engine = sa.create_engine(log_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for one in filter(None, text.split(";")):
            connection.exec_driver_sql(one)
    engine.dispose()


def test_a_backup_from_before_an_update_is_all_that_is_left(database: str, tmp_path: Path) -> None:
    """What a newer version made is gone: its migrations would meet it when they run again."""
    rows, _ = dump_database(database, tmp_path / "old.dump")
    execute(database, NEWER)
    assert "newer" in count_database(database)
    assert restore_database(database, tmp_path / "old.dump") == rows == count_database(database)
    execute(database, NEWER)  # the update, once more


def test_many_tables_and_routines_of_them(database: str, tmp_path: Path) -> None:
    """A routine can no longer be named when the types that it takes are gone."""
    tables = "".join(f"CREATE TABLE many_{number} (id integer);" for number in range(40))
    execute(database, f"{tables}CREATE FUNCTION of_many(many_3) RETURNS integer LANGUAGE sql"
                      " AS 'SELECT 1';")  # fmt: skip
    rows, _ = dump_database(database, tmp_path / "old.dump")
    assert restore_database(database, tmp_path / "old.dump") == rows


def test_a_restore_that_fails_late_changes_nothing(database: str, tmp_path: Path) -> None:
    """Also with a large object, for which pg_restore would begin a transaction of its own."""
    execute(database, "SELECT lo_from_bytea(0, 'large'::bytea);"
                      "CREATE TABLE parent (id integer PRIMARY KEY);"
                      "CREATE TABLE child (id integer); INSERT INTO child VALUES (7);"
                      "ALTER TABLE child ADD CONSTRAINT errors_late FOREIGN KEY (id)"
                      " REFERENCES parent NOT VALID;")  # fmt: skip
    execute(database, "UPDATE pg_constraint SET convalidated = true WHERE conname = 'errors_late'")
    dump_database(database, tmp_path / "old.dump")
    execute(database, "DROP TABLE child; CREATE VIEW errors_seen AS SELECT id FROM parent")
    before = count_database(database)
    with pytest.raises(DumpFailed, match=r"ERROR: .*errors_late"):
        restore_database(database, tmp_path / "old.dump")
    assert count_database(database) == before and "child" not in before


def test_a_dump_that_breaks_off_changes_nothing(database: str, tmp_path: Path) -> None:
    dump_database(database, tmp_path / "old.dump")
    whole = (tmp_path / "old.dump").read_bytes()
    execute(database, NEWER)
    before = count_database(database)
    for kept in (len(whole) // 2, len(whole) - 40):
        (tmp_path / "cut.dump").write_bytes(whole[:kept])
        with pytest.raises(DumpFailed):
            restore_database(database, tmp_path / "cut.dump")
        assert count_database(database) == before


def test_killed_between_the_database_and_the_home(
    postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one moment in which the two differ is noted, and the same command ends it."""
    url = SecretStr(postgres.new_database())
    settings = Settings(home=tmp_path / "home", database_url=url, _env_file=None)
    fill(settings)
    before, files = tables_of(settings), files_of(settings.home)
    take_backup(settings, tmp_path / "backup")
    wipe(settings)

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(Path, "rename", killed)
        restore_backup(settings, tmp_path / "backup")
    assert pending(settings.home)
    with pytest.raises(StackUnhealthy, match="run the same command again"):
        up(settings)
    restore_backup(settings, tmp_path / "backup")
    assert not pending(settings.home)
    assert tables_of(settings) == before and files_of(settings.home) == files


def test_a_run_of_mlflow_comes_back(tmp_path: Path) -> None:
    from mammo.models.tracking import mlflow_client

    settings = Settings(home=tmp_path / "home", mlflow_port=9, _env_file=None)
    client = mlflow_client(settings)
    place = (settings.home / "mlflow" / "artifacts").as_uri()
    run = client.create_run(client.create_experiment("night", artifact_location=place))
    client.log_metric(run.info.run_id, "auc", 0.871)
    client.log_text(run.info.run_id, "a card", "card.md")
    taken = take_backup(settings, tmp_path / "backup")
    assert taken.manifest.rows["mlflow"]["runs"] == 1
    shutil.rmtree(settings.home)
    restore_backup(settings, tmp_path / "backup")
    again = mlflow_client(settings)
    assert again.get_run(run.info.run_id).data.metrics == {"auc": 0.871}
    (card,) = again.list_artifacts(run.info.run_id)
    assert Path(again.download_artifacts(run.info.run_id, card.path)).read_text() == "a card"


def test_the_commands(filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(filled).items():
        monkeypatch.setenv(name, value)
    run, place = CliRunner(), str(tmp_path / "backup")
    told = run.invoke(app, ["backup", place, "--json"])
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["rows"]["log"]["episodes"] == 1
    refused = run.invoke(app, ["restore", place])
    assert refused.exit_code == 1 and "error HOME_NOT_EMPTY" in refused.stderr
    done = run.invoke(app, ["restore", place, "--replace"])
    assert done.exit_code == 0 and "What was here before lies in" in done.stdout.replace("\n", " ")
    missing = run.invoke(app, ["restore", str(tmp_path / "absent"), "--json"])
    assert json.loads(missing.stderr)["code"] == "SOURCE_NOT_FOUND" and missing.exit_code == 2
