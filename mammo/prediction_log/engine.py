"""Engines for several writing processes."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

BUSY_TIMEOUT_MS = 30_000


def open_server(url: sa.URL) -> sa.Engine:
    """Open a database server; a connection that died is replaced."""
    return sa.create_engine(url, pool_pre_ping=True)


def open_sqlite(url: sa.URL, *, pooled: bool) -> sa.Engine:
    """Open SQLite for several writing processes.

    Unless ``pooled``, no connection is kept between calls: one that a fork
    inherits breaks the locks of its parent when it closes.
    """
    pool = QueuePool if pooled else NullPool
    engine = sa.create_engine(url, poolclass=pool, connect_args={"timeout": BUSY_TIMEOUT_MS / 1e3})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, not the driver
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA synchronous=FULL")
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1e3
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
