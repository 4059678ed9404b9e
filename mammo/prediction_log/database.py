"""The database behind the log: opened late, written by one at a time, brought up to date."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import sqlalchemy as sa

from mammo.prediction_log.engine import BUSY_SECONDS, log_url, open_engine
from mammo.prediction_log.refusals import told
from mammo.prediction_log.tables import METADATA

MAKING_TABLES = 0x6D616D6D6F
"""Number of the PostgreSQL advisory lock under which tables are made: "mammo"."""


class Database:
    """Tables behind a SQLAlchemy URL; cheap to make, nothing is opened until used.

    Parameters
    ----------
    url
        ``sqlite:///…``, ``postgresql+pg8000://…`` or ``postgresql://…`` (taken as
        pg8000); `Settings.log_url` gives it.
    pooled
        Keep connections to SQLite open between calls, for a process that never
        forks: an append takes a fraction of the time, since closing the last
        connection rewrites the journal.
    busy_seconds
        How long to wait for a lock that another process holds.

    Every method raises `LogUnavailable` where the database is gone, stays locked
    or refuses, and `DiskFull` where it has no room; then nothing was changed,
    unless the connection broke while a commit was under way.
    """

    def __init__(
        self, url: str | sa.URL, *, pooled: bool = False, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self.url = log_url(url)
        self._sqlite = self.url.drivername.startswith("sqlite")
        self._engine = open_engine(self.url, pooled=pooled, busy_seconds=busy_seconds)

    def create(self) -> Self:
        """Make the folder, the tables and columns where they are missing; any number of times."""
        if self._sqlite and self.url.database:
            with told():
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        with self._writing() as connection:
            if connection.dialect.name == "postgresql":  # two that make a table at once collide
                lock = sa.text("SELECT pg_advisory_xact_lock(:number)")
                connection.execute(lock, {"number": MAKING_TABLES})
            METADATA.create_all(connection)
            for table in METADATA.sorted_tables:
                _add_missing_columns(connection, table)
        return self

    @contextmanager
    def _writing(self, table: sa.Table | None = None) -> Iterator[sa.Connection]:
        """Open a transaction that is alone in writing (to ``table``) and commit it."""
        writer = self._engine.execution_options(mammo_write=True)
        with told(), writer.begin() as connection:
            if connection.dialect.name == "postgresql" and table is not None:
                # one writer at a time: ids become visible in rising order
                connection.execute(sa.text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))
            yield connection

    def close(self) -> None:
        """Close the connections kept open; the log may be used again."""
        self._engine.dispose()

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with told(), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _columns(self, query: sa.Select[Any]) -> dict[str, tuple[Any, ...]]:
        """Return the result by columns: no dictionary is made of each of its rows."""
        with told(), self._engine.connect() as connection:
            result = connection.execute(query)
            names, rows = list(result.keys()), result.fetchall()
        return dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))

    def _frame(self, query: sa.Select[Any]) -> pd.DataFrame:
        with told(), self._engine.connect() as connection:
            result = connection.execute(query)
            return pd.DataFrame(result.mappings().all(), columns=list(result.keys()))


def _add_missing_columns(connection: sa.Connection, table: sa.Table) -> None:
    """Add the columns and indexes that a log made by an earlier version lacks."""
    inspector = sa.inspect(connection)
    known = {one["name"] for one in inspector.get_columns(table.name)}
    quote = connection.dialect.identifier_preparer.quote
    for column in table.columns:
        if column.name not in known:
            kind = column.type.compile(connection.dialect)
            connection.exec_driver_sql(
                f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(column.name)} {kind}"
            )
    made = {one["name"] for one in inspector.get_indexes(table.name)}
    for index in table.indexes:
        if index.name not in made:
            index.create(connection)


def plain(value: Any) -> Any:
    """Return the value as JSON and SQL know it: NumPy numbers plain, NaN and inf as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Return runs of at most ``size`` items; SQLite bounds the parameters of a query."""
    return (items[start : start + size] for start in range(0, len(items), size))
