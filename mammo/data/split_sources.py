"""Where the rows to split come from: the index, another index file, or a set's table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from mammo.data.index import read_index
from mammo.data.leak_columns import COLUMNS
from mammo.data.patients import SPLIT_COLUMNS
from mammo.data.query import IndexQuery, open_index
from mammo.settings import Settings


def read_rows(
    table: Path | None, source: str | None, settings: Settings, *, dated_only: bool = False
) -> pd.DataFrame:
    """Return the rows with the columns that splits, balance and the leak check read.

    ``table`` is an index file (the installation's own if None), or with
    ``source`` the table of a set. Raises what reading them raises.
    """
    wanted = list(dict.fromkeys((*SPLIT_COLUMNS, *COLUMNS)))
    if source is None:
        rows = read_index(table or settings.index_path, columns=wanted)
    else:
        rows = _table_rows(table, source, settings)[wanted]
    return rows[rows["acquired_on"].notna()] if dated_only else rows


@contextmanager
def open_rows(
    table: Path | None, source: str | None, settings: Settings
) -> Iterator[tuple[pd.DataFrame, IndexQuery | None]]:
    """Give the rows to split, and for the leak check the open index, which is read in batches."""
    if source is not None:
        yield _table_rows(table, source, settings), None
        return
    path = table or settings.index_path
    with open_index(path) as query:
        yield read_index(path, columns=list(SPLIT_COLUMNS)), query


def _table_rows(table: Path | None, source: str, settings: Settings) -> pd.DataFrame:
    from mammo.data.sources.tabulate import tabulate

    return tabulate(source, table or Path(), settings.pseudonym_key())
