"""A set's index rows from its table alone, before (or without) its images.

The frame has the columns and types of `mammo.data.index.INDEX_SCHEMA`. What only
pixels or headers tell is null; ``shard`` and ``sha256`` are ``""`` and
``shard_row`` is -1, which says that no image was read: an empty digest is no
digest, and two rows that have it are not the same file. Ids are the pseudonyms
that `mammo ingest` gives the same images under the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammo.dicom.deidentify import Kind, pseudonym
from mammo.errors import SourceInvalid

if TYPE_CHECKING:
    import pandas as pd

NO_IMAGE: Mapping[str, Any] = {"sha256": "", "shard": "", "shard_row": -1, "findings": "[]"}
"""What stands in the columns that cannot be null while no image was read."""


def tabulate(source: str, path: Path, key: bytes) -> pd.DataFrame:
    """Return the index rows that a set's table alone can give.

    Parameters
    ----------
    source
        Name of the source, as in `mammo ingest --source NAME`.
    path
        The set's folder, or its main table.
    key
        The key of pseudonyms.

    Raises
    ------
    SourceNotFound
        The table is not there.
    SourceInvalid
        The source is unknown or has no table; `TableInvalid` where the table has
        structural faults, or too many bad rows. A few bad rows are left out.
    """
    from mammo.data.sources.registry import SOURCES, find_source

    found = find_source(source)
    if found.tabulate is None:
        able = ", ".join(sorted(name for name, one in SOURCES.items() if one.tabulate))
        raise SourceInvalid(f"source {source!r} has no table; those that have one are {able}")
    return found.tabulate(Path(path), key)


def index_from_columns(columns: Mapping[str, Any], rows: int) -> pd.DataFrame:
    """Return an index frame of whole columns; what is not given is null or as in `NO_IMAGE`.

    A value is a sequence of ``rows`` values (None is null), or one for all rows.
    """
    import pyarrow as pa

    from mammo.data.index import INDEX_SCHEMA, to_frame

    given = {**NO_IMAGE, **columns}
    if unknown := given.keys() - set(INDEX_SCHEMA.names):
        raise ValueError(f"{', '.join(sorted(unknown))} are no columns of the index")
    arrays = [_array(given.get(field.name), rows, field.type) for field in INDEX_SCHEMA]
    return to_frame(pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA))


def pseudonyms(key: bytes, kind: Kind, values: Iterable[str]) -> list[str]:
    """Return the pseudonym of each value; each distinct one is hashed once."""
    texts = list(values)
    known = {text: pseudonym(key, kind, text) for text in dict.fromkeys(texts)}
    return [known[text] for text in texts]


def flags(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of 0 and 1, True and False as Int8; null where empty or absent."""
    from mammo.data.tables import to_bool

    texts = rows[column] if column in rows else rows.index.to_series().map(lambda _: "")
    known = {text: to_bool(text) for text in texts.unique()}
    return texts.map(known).astype("boolean").astype("Int8")


def whole_numbers(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of whole numbers such as ``0.0`` as Int64; null where empty or absent."""
    import pandas as pd

    if column not in rows:
        return pd.Series(None, index=rows.index, dtype="Int64")
    return pd.to_numeric(rows[column], errors="coerce").astype("Int64")


def _array(values: Any, rows: int, kind: Any) -> Any:
    """Return an Arrow array of ``rows`` values of that type."""
    import pyarrow as pa

    if values is None or isinstance(values, (str, int, float)):
        return pa.array([values] * rows, type=kind)
    return pa.array(values, type=kind, from_pandas=True)
