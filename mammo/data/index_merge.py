"""An index that grows: what of new files it knows already, and how rows come into it.

Both read the index once, batch by batch. Extending merges the ordered file with
the ordered new rows, so that the same rows give the same bytes in whatever
ingests they came.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mammo.data.index_file import GROUP_ROWS, scan_index, sort_rows, write_tables
from mammo.data.index_schema import INDEX_SCHEMA, ORDER, not_an_index

Key = tuple[tuple[bool, bytes], ...]


def find_known(path: Path, column: str, values: Collection[str]) -> frozenset[str]:
    """Return those of ``values`` that stand in a column of the index.

    Memory goes with ``values``, not with the index; without an index nothing is
    known. Raises SourceInvalid where the file is no index.
    """
    if not values or not path.exists():
        return frozenset()
    asked, found = pa.array(sorted(values), pa.string()), set[str]()
    for batch in scan_index(path, [column]):
        held = batch.column(0)
        found.update(held.filter(pc.is_in(held, value_set=asked)).to_pylist())
    return frozenset(found)


def distinct_values(path: Path, column: str) -> frozenset[str]:
    """Return what stands in a text column of the index; nothing where there is none."""
    if not path.exists():
        return frozenset()
    parts = (pc.unique(batch.column(0)).to_pylist() for batch in scan_index(path, [column]))
    return frozenset(value for part in parts for value in part if value is not None)


def extend_index(path: Path, rows: pa.Table, drafts: Path) -> None:
    """Merge new rows into the index, or make it of them, in one step.

    Raises
    ------
    SourceInvalid
        What is there is no index, or its rows are out of order.
    DiskFull, StoreReadOnly
        It cannot be written; what was there is still there.
    """
    added = sort_rows(rows)
    tables = _merge(path, added) if path.exists() else iter([added])
    write_tables(tables, path, drafts)


def _merge(path: Path, added: pa.Table) -> Iterator[pa.Table]:
    """Yield the index's rows and the added ones in order, in tables of some row groups' size."""
    keys = [_key(added, number) for number in range(added.num_rows)]
    taken, last = 0, None
    for batch in scan_index(path, INDEX_SCHEMA.names, GROUP_ROWS):
        held = pa.Table.from_batches([batch])
        if last is not None and _key(held, 0) < last:
            raise not_an_index(path, "its rows are out of order")
        last = _key(held, held.num_rows - 1)
        upto = bisect_right(keys, last, lo=taken)
        yield _together(held, added.slice(taken, upto - taken))
        taken = upto
    yield added.slice(taken)


def _together(held: pa.Table, added: pa.Table) -> pa.Table:
    return sort_rows(pa.concat_tables([held, added])) if added.num_rows else held


def _key(table: pa.Table, row: int) -> Key:
    """Return by what a row is ordered; nulls come last."""
    values = (table.column(name)[row].as_py() for name in ORDER)
    return tuple((value is None, (value or "").encode()) for value in values)
