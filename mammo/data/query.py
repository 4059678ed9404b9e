"""SQL over the exam index, out of core: DuckDB reads the columns that a question needs.

The table is called ``exams`` and has the columns of
`mammo.data.index.INDEX_SCHEMA`. What does not fit in the memory limit is
spilled to a folder beside the store. A query reaches nothing but the index: no
other file, no network, no extension.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from mammo.data.index_schema import INDEX_SCHEMA, read_index_schema, require_index, to_frame
from mammo.data.staging import SPILL
from mammo.errors import DataError, DiskFull, SourceInvalid

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

BATCH_ROWS = 65_536
MEMORY_MB = 512
THREADS = 2

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}


@dataclass(frozen=True, eq=False)
class IndexQuery:
    """An open index; made by `open_index` and `query_frame`.

    Parameters of a statement stand as ``?`` in it. A wrong statement raises
    `ValueError` with DuckDB's message: statements are written by us.
    """

    _connection: DuckDBPyConnection = field(repr=False)
    _file: tuple[Path, int] | None = None

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Return the answer with the dtypes of `mammo.data.index.read_index`.

        Sums of integers are int64; a column without a type in the index, such
        as a count with nulls, has pandas' own.
        """
        with self._one_version():
            table = self._ask(sql, parameters).to_arrow_table()
        return to_frame(_narrow(table))

    def batches(
        self, sql: str, parameters: Sequence[object] = (), rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Yield the answer in batches of at most ``rows`` rows, without holding it all."""
        with self._one_version():
            yield from self._ask(sql, parameters).to_arrow_reader(rows)

    def _ask(self, sql: str, parameters: Sequence[object]) -> DuckDBPyRelation:
        answer = self._connection.sql(sql, params=list(parameters) or None)
        if answer is None:
            raise ValueError("a statement to the index must be a question, SELECT or WITH")
        return answer

    @contextmanager
    def _one_version(self) -> Iterator[None]:
        """Refuse what was read while an ingest put another index in its place."""
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            raise _refusal(error) from error
        if self._file is not None and _identity(self._file[0]) != self._file[1]:
            raise SourceInvalid(
                "the exam index was replaced by an ingest while it was read: "
                "run the same command again"
            )


@contextmanager
def open_index(
    path: Path, *, memory_mb: int = MEMORY_MB, threads: int = THREADS
) -> Iterator[IndexQuery]:
    """Open ``index.parquet`` for questions; columns that an older one lacks are null.

    ``memory_mb`` bounds what DuckDB holds; its answers and Python come on top.

    Raises
    ------
    IndexMissing
        Nothing has been ingested yet.
    SourceInvalid
        The file is no index of this version, or was replaced while it was read.
    """
    require_index(path)
    path = path.resolve()
    identity, names = _identity(path), read_index_schema(path).names
    spill = path.parent.parent / f"{SPILL}{secrets.token_hex(8)}"
    with _connect(spill, memory_mb, threads, allowed=[path]) as connection:
        source = f"read_parquet({_quoted(str(path))})"
        connection.execute(f"CREATE VIEW exams AS SELECT {_columns(names)} FROM {source}")
        connection.execute("SET lock_configuration = true")
        yield IndexQuery(connection, (path, identity))


@contextmanager
def open_indexes(
    paths: Mapping[str, Path], spill_in: Path, *, memory_mb: int = MEMORY_MB, threads: int = THREADS
) -> Iterator[IndexQuery]:
    """Open several indexes that stay as they are, each a table of the name it is given.

    Their bytes are those of data versions in DVC's cache. ``spill_in`` is the
    folder for what the memory does not hold. Raises SourceInvalid.
    """
    resolved = {name: path.resolve() for name, path in paths.items()}
    spill = spill_in / f"{SPILL}{secrets.token_hex(8)}"
    with _connect(spill, memory_mb, threads, allowed=list(resolved.values())) as connection:
        for name, path in resolved.items():
            columns = _columns(read_index_schema(path).names)
            source = f"read_parquet({_quoted(str(path))})"
            connection.execute(f"CREATE VIEW {_name(name)} AS SELECT {columns} FROM {source}")
        connection.execute("SET lock_configuration = true")
        yield IndexQuery(connection)


@contextmanager
def query_frame(
    frame: pd.DataFrame, *, memory_mb: int = MEMORY_MB, threads: int = THREADS
) -> Iterator[IndexQuery]:
    """Ask a frame in memory the same questions as an index.

    Columns of the index that it lacks are null; columns of its own are kept.
    """
    spill = Path(tempfile.gettempdir()) / f"{SPILL}{secrets.token_hex(8)}"
    with _connect(spill, memory_mb, threads) as connection:
        connection.register("given", _to_table(frame))
        own = [name for name in map(str, frame.columns) if name not in INDEX_SCHEMA.names]
        columns = ", ".join([_columns(list(frame.columns)), *map(_name, own)])
        connection.execute(f"CREATE VIEW exams AS SELECT {columns} FROM given")
        connection.execute("SET lock_configuration = true")
        yield IndexQuery(connection)


@contextmanager
def _connect(
    spill: Path, memory_mb: int, threads: int, allowed: Sequence[Path] = ()
) -> Iterator[DuckDBPyConnection]:
    import duckdb

    settings: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MiB",
        "threads": threads,
        "temp_directory": str(spill),
        "TimeZone": "UTC",
        "enable_progress_bar": False,
        "preserve_insertion_order": True,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "allowed_paths": [str(path) for path in allowed],
        "enable_external_access": False,  # the last: it forbids what was not allowed before it
    }
    try:
        with duckdb.connect(":memory:") as connection:
            for name, value in settings.items():
                connection.execute(f"SET {name} = {_literal(value)}")
            yield connection
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _columns(present: Sequence[str]) -> str:
    """Return the index's columns as SQL, null where the source lacks them."""
    return ", ".join(
        f"CAST({_name(one.name) if one.name in present else 'NULL'} AS {_SQL_TYPES[one.type]}) "
        f"AS {_name(one.name)}"
        for one in INDEX_SCHEMA
    )


def _to_table(frame: pd.DataFrame) -> pa.Table:
    """Return a frame as a table; columns of the index get its types, nulls allowed."""
    columns: dict[str, Any] = {}
    for name in map(str, frame.columns):
        known = name in INDEX_SCHEMA.names
        kind = INDEX_SCHEMA.field(name).type if known else None
        columns[name] = pa.Array.from_pandas(frame[name], type=kind)
    return pa.table(columns)


def _narrow(table: pa.Table) -> pa.Table:
    """Return the table with sums of integers, which DuckDB gives 128 bits, in 64."""
    fields = [
        pa.field(one.name, pa.int64()) if pa.types.is_decimal(one.type) and not one.type.scale
        else one for one in table.schema
    ]  # fmt: skip
    return table.cast(pa.schema(fields))


def _refusal(error: Exception) -> Exception:
    """Return what DuckDB's error means: a wrong statement, a full disk, a damaged file."""
    import duckdb

    wrong = (
        duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError,
        duckdb.PermissionException,
    )  # fmt: skip
    if isinstance(error, wrong):
        return ValueError(f"this cannot be asked of the index: {error}")
    if os.strerror(errno.ENOSPC) in str(error):
        return DiskFull(
            "a query over the exam index found no room on the disk for what its memory does not "
            "hold: make room, then run the same command again"
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return DataError(
            "a query over the exam index needs more memory than it was given: ask for less of the "
            "index, or open it with a larger memory_mb"
        )
    return SourceInvalid(
        f"the exam index cannot be read to its end ({type(error).__name__}): "
        "restore an older data version, or ingest again"
    )


def _identity(path: Path) -> int:
    return path.stat().st_ino if path.exists() else 0


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return str(value).lower() if isinstance(value, bool | int) else _quoted(str(value))
