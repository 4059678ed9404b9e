"""The columns of the exam index, and frames and tables in their types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mammo.errors import IndexMissing, SourceInvalid
from mammo.exam_features import EXPOSURE_NAMES
from mammo.preprocess import FEATURE_NAMES

FEATURE_COLUMNS = tuple(f"f_{name}" for name in FEATURE_NAMES)

INDEX_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("exam_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        ("laterality", pa.string()),
        ("view", pa.string()),
        ("manufacturer", pa.string()),
        ("model", pa.string()),
        ("software_version", pa.string()),
        ("scanner", pa.string()),
        ("site", pa.string()),
        ("acquired_on", pa.date32()),
        ("age_years", pa.int16()),
        ("density", pa.string()),
        ("cancer", pa.int8()),
        ("abnormal", pa.int8()),
        ("birads", pa.int8()),
        ("biopsied", pa.int8()),
        ("invasive", pa.int8()),
        ("difficult", pa.int8()),
        ("outcome_known_at", pa.timestamp("us", tz="UTC")),
        ("source", pa.string()),
        ("published_split", pa.string()),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("shard_row", pa.int32(), nullable=False),
        ("rows", pa.int32()),
        ("columns", pa.int32()),
        ("implant", pa.bool_()),
        ("spacing_mm", pa.float64()),
        ("quality", pa.string()),
        ("geometry", pa.string()),
        ("findings", pa.string()),
        ("phash", pa.string()),
        *[(name, pa.float32()) for name in FEATURE_COLUMNS],
        *[(name, pa.float64()) for name in EXPOSURE_NAMES],
    ]
)
"""Columns of the index, in order."""

ADDED_COLUMNS = frozenset(
    ("birads", "biopsied", "invasive", "difficult", "published_split", "phash", *EXPOSURE_NAMES)
)
"""Columns that came after the first version; an index without them is read with nulls."""
ORDER = ("source", "image_id", "sha256")
"""By what the rows of an index are ordered, as UTF-8 bytes, nulls last."""

_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def table_from_rows(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return an index table of plain dictionaries with the columns as keys."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=INDEX_SCHEMA)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame; small integers and booleans get nullable dtypes."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=_NULLABLE.get)
    return frame


def read_index_schema(path: Path) -> pa.Schema:
    """Return the columns that an index file has, those of this version alone.

    Raises
    ------
    IndexMissing
        There is no file.
    SourceInvalid
        It is no index of this version.
    """
    require_index(path)
    try:
        return known_columns(pq.read_schema(path), path)
    except pa.ArrowException as error:
        raise not_an_index(path, type(error).__name__) from error


def require_index(path: Path) -> None:
    """Raise IndexMissing where there is no index."""
    if not path.exists():
        raise IndexMissing("there is no exam index yet: run `mammo ingest` first")


def known_columns(found: pa.Schema, path: Path) -> pa.Schema:
    """Return the index's columns among those of a file; SourceInvalid where it is no index."""
    lacking = [
        name for name in INDEX_SCHEMA.names if name not in found.names and name not in ADDED_COLUMNS
    ]
    if lacking:
        raise not_an_index(path, f"it lacks {', '.join(lacking[:3])}{', ...' * (len(lacking) > 3)}")
    present = [one for one in INDEX_SCHEMA if one.name in found.names]
    for one in present:
        if found.field(one.name).type != one.type:
            kind = found.field(one.name).type
            raise not_an_index(path, f"{one.name} is {kind}, not {one.type}")
    return pa.schema(present)


def not_an_index(path: Path, why: str) -> SourceInvalid:
    """Return the refusal of a file that is no index, or a damaged one."""
    return SourceInvalid(
        f"{path.name} is not an exam index of this version ({why}): "
        "restore an older data version, or remove it and ingest again"
    )
