"""The index on disk: read by column and by batch, written row group by row group.

Memory is bounded by a row group, so that an index of ten million rows is read
and written in what one of fifty thousand takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.compute import Expression

from mammo.data.durable import write_file
from mammo.data.index_schema import (
    INDEX_SCHEMA,
    ORDER,
    known_columns,
    not_an_index,
    require_index,
)

GROUP_ROWS = 65_536
"""Rows of a row group, of the last too few: some 40 MB in memory, 5 MB on disk."""


def count_rows(path: Path) -> int:
    """Return how many mammograms an index has, from its footer alone.

    Raises `IndexMissing` and `SourceInvalid` as `mammo.data.index.read_index` does.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def scan_index(
    path: Path, columns: Sequence[str], rows: int = GROUP_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of an index in its order, in batches of at most ``rows`` rows.

    Columns that an older index lacks are null. The file that was there at the
    first batch is read to its end, also when an ingest replaces it. Raises
    `IndexMissing` and `SourceInvalid` as `mammo.data.index.read_index` does.
    """
    wanted = _select(columns)
    with _opened(path) as file:
        present = known_columns(file.schema_arrow, path).names
        names = [name for name in wanted.names if name in present]
        for batch in file.iter_batches(rows, columns=names, use_threads=False):
            yield _completed(batch, wanted)


def read_table(path: Path, columns: Sequence[str] | None, where: Expression | None) -> pa.Table:
    """Return some columns of the rows that ``where`` keeps; see `mammo.data.index.read_index`."""
    wanted = INDEX_SCHEMA if columns is None else _select(columns)
    with _opened(path) as file:
        present = known_columns(file.schema_arrow, path).names
        if where is None:
            names = [name for name in wanted.names if name in present]
            return _completed(file.read(columns=names), wanted)
    with path.open("rb") as handle:
        part = ds.ParquetFileFormat().make_fragment(handle)
        try:
            table = part.to_table(schema=INDEX_SCHEMA, columns=wanted.names, filter=where)
        except pa.ArrowException as error:
            raise not_an_index(path, type(error).__name__) from error
        return table.cast(wanted)


def write_tables(tables: Iterable[pa.Table], path: Path, drafts: Path) -> None:
    """Write ordered tables as an index, in one step and in row groups of `GROUP_ROWS`.

    Equal rows give equal bytes, however they are divided into tables. At no time
    more than a row group and a table are held.

    Raises
    ------
    DiskFull, StoreReadOnly
        It cannot be written; what was there is still there.
    """
    write_file(path, lambda handle: _write(handle, tables), drafts)


def sort_rows(table: pa.Table) -> pa.Table:
    """Return the rows in the order of an index."""
    return table.sort_by([(name, "ascending") for name in ORDER])


class _Sink:
    """What Arrow writes to; it keeps what the disk answered, which Arrow's errors hide."""

    closed = False

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.refusal: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return self._handle.write(content)
        except OSError as error:
            self.refusal = error
            raise

    def flush(self) -> None:
        """Do nothing: the draft is flushed once, when it is whole."""

    close = flush


def _write(handle: BinaryIO, tables: Iterable[pa.Table]) -> None:
    sink = _Sink(handle)
    try:
        with pq.ParquetWriter(pa.PythonFile(sink, "w"), INDEX_SCHEMA, compression="zstd") as writer:
            for group in _groups(tables):
                # in one chunk: where chunks end, pages would
                writer.write_table(group.combine_chunks(), row_group_size=GROUP_ROWS)
    except (pa.ArrowException, OSError) as error:
        if sink.refusal is not None:
            raise sink.refusal from error
        raise


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the tables' rows in tables of `GROUP_ROWS`; the last may have fewer."""
    held = INDEX_SCHEMA.empty_table()
    for table in tables:
        held = pa.concat_tables([held, table])
        while held.num_rows >= GROUP_ROWS:
            yield held.slice(0, GROUP_ROWS)
            held = held.slice(GROUP_ROWS)
    if held.num_rows:
        yield held


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open an index; what Arrow cannot read is refused by name."""
    require_index(path)
    with path.open("rb") as handle:
        try:
            yield pq.ParquetFile(handle, pre_buffer=False)
        except pa.ArrowException as error:
            raise not_an_index(path, type(error).__name__) from error


def _select(columns: Sequence[str]) -> pa.Schema:
    unknown = [name for name in columns if name not in INDEX_SCHEMA.names]
    if unknown:
        raise ValueError(f"the index has no columns {', '.join(unknown)}")
    return pa.schema([INDEX_SCHEMA.field(name) for name in columns])


def _completed(found: Any, wanted: pa.Schema) -> Any:
    """Return a batch or a table with the wanted columns, null where it lacks one."""
    columns = [
        found.column(one.name) if one.name in found.schema.names
        else pa.nulls(found.num_rows, one.type) for one in wanted
    ]  # fmt: skip
    return type(found).from_arrays(columns, schema=wanted)
