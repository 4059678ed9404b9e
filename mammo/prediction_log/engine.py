"""Engines for several writing processes, and URLs as they are given."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from mammo.errors import SettingsInvalid

BUSY_SECONDS = 30.0
POSTGRES = "postgresql+pg8000"


def log_url(url: str | sa.URL) -> sa.URL:
    """Return the URL with the driver that is installed: ``postgresql://`` means pg8000."""
    given = sa.make_url(url)
    return given.set(drivername=POSTGRES) if given.drivername in _SHORT else given


_SHORT = ("postgresql", "postgres")


def open_engine(url: sa.URL, *, pooled: bool, busy_seconds: float) -> sa.Engine:
    """Open SQLite or a server; ``busy_seconds`` bound the wait for a lock or an answer.

    Raises SettingsInvalid where the driver of the URL is not installed.
    """
    try:
        if url.get_backend_name() == "sqlite":
            return open_sqlite(url, pooled=pooled, busy_seconds=busy_seconds)
        return open_server(url, busy_seconds=busy_seconds)
    except (ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        raise SettingsInvalid(
            f"MAMMO_DATABASE_URL asks for {url.drivername}, and its driver is not installed. "
            "Tried is postgresql+pg8000 (`pip install -e '.[postgres]'` in the checkout), "
            "or SQLite without it."
        ) from error


def open_server(url: sa.URL, *, busy_seconds: float = BUSY_SECONDS) -> sa.Engine:
    """Open a database server; a connection that died is replaced.

    A lock that others hold longer than ``busy_seconds`` is an error, and so is a
    server that says nothing for a second more: a cut cable closes no connection.
    """
    arguments = {"timeout": busy_seconds + 1} if url.get_driver_name() == "pg8000" else {}
    engine = sa.create_engine(
        url,
        pool_pre_ping=True,
        connect_args=arguments,
        pool_timeout=busy_seconds,
        hide_parameters=True,  # an error's text would quote exams and what callers wrote
    )
    if url.get_backend_name() == "postgresql":
        sa.event.listen(engine, "connect", _PreparePostgres(busy_seconds))
    return engine


class _PreparePostgres:
    def __init__(self, busy_seconds: float) -> None:
        self.lock_timeout_ms = max(1, round(busy_seconds * 1000))

    def __call__(self, connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = {self.lock_timeout_ms}")
        # an answered prediction is on disk, whatever the server's default is
        cursor.execute("SET synchronous_commit = on")
        cursor.close()
        connection.commit()


def open_sqlite(url: sa.URL, *, pooled: bool, busy_seconds: float = BUSY_SECONDS) -> sa.Engine:
    """Open SQLite for several writing processes.

    Unless ``pooled``, no connection is kept between calls: one that a fork
    inherits breaks the locks of its parent when it closes.
    """
    pool = QueuePool if pooled else NullPool
    engine = sa.create_engine(
        url, poolclass=pool, connect_args={"timeout": busy_seconds}, hide_parameters=True
    )
    sa.event.listen(engine, "connect", _PrepareSqlite(busy_seconds))
    sa.event.listen(engine, "begin", _begin_sqlite)
    if pooled and url.database:
        watch = _SameFile(Path(url.database))
        sa.event.listen(engine, "connect", watch.remember)
        sa.event.listen(engine, "checkout", watch.require)
    return engine


class _SameFile:
    """Replaces a kept connection whose file was removed or put back from a backup.

    SQLite would go on and write to a file that has no name any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def remember(self, _connection: Any, record: Any) -> None:
        """Note which file a new connection has opened."""
        record.info["file"] = self._identity()

    def require(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """Let the pool open another connection where the file is not the same."""
        if record.info.get("file") != self._identity():
            raise sa.exc.DisconnectionError("the file of the log was replaced")


class _PrepareSqlite:
    def __init__(self, busy_seconds: float) -> None:
        self.busy_seconds = busy_seconds

    def __call__(self, connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun by _begin_sqlite
        connection.execute(f"PRAGMA busy_timeout={round(self.busy_seconds * 1000)}")
        connection.execute("PRAGMA synchronous=FULL")
        deadline = time.monotonic() + self.busy_seconds
        # switching to WAL does not wait for other processes on its own
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            _switch_to_wal(connection, deadline)


def _switch_to_wal(connection: Any, deadline: float) -> None:
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    except connection.OperationalError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.05)


def _begin_sqlite(connection: sa.Connection) -> None:
    # a transaction that reads first and writes later fails at once if another wrote between
    immediate = connection.get_execution_options().get("mammo_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
