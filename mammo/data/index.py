"""The exam index: one Parquet row per mammogram.

Beside what the header says (see `mammo.exam.Mammogram`) a row holds the labels
of its breast, since when they are known, where its prepared pixels lie
(``shard``, ``shard_row``), how they map back to the original image
(``geometry``) and a few cheap image features (``f_...``). All ids are
pseudonyms. Unlabelled is null, never negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow.compute import Expression

from mammo.data.index_file import (
    count_rows,
    read_table,
    scan_index,
    sort_rows,
    write_tables,
)
from mammo.data.index_schema import (
    FEATURE_COLUMNS,
    INDEX_SCHEMA,
    read_index_schema,
    table_from_rows,
    to_frame,
)
from mammo.errors import SourceInvalid

__all__ = [
    "DENSE",
    "FEATURE_COLUMNS",
    "INDEX_SCHEMA",
    "TARGETS",
    "count_rows",
    "empty_index",
    "index_from_rows",
    "join_outcomes",
    "read_index",
    "read_index_schema",
    "scan_index",
    "target_values",
    "to_frame",
    "write_index",
]

DENSE = {"A": 0, "B": 0, "C": 1, "D": 1, "F": 0, "G": 0}
"""Dense tissue: ACR C and D; of mini-MIAS' fatty, glandular, dense only the last."""
TARGETS = ("cancer", "abnormal", "dense")


def empty_index() -> pd.DataFrame:
    """Return an index without rows, with every column in its type."""
    return to_frame(INDEX_SCHEMA.empty_table())


def index_from_rows(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return an index frame of plain dictionaries with the columns as keys."""
    return to_frame(table_from_rows(rows))


def read_index(
    path: Path, columns: Sequence[str] | None = None, where: Expression | None = None
) -> pd.DataFrame:
    """Read the exam index, or some of its columns and rows.

    Parameters
    ----------
    columns
        The columns to read, in the order wanted; all by default. Others are not
        read from the disk.
    where
        Rows to keep, a `pyarrow.compute` expression such as
        ``pc.field("source") == "rsna"``; it may name columns that are not read.

    Returns
    -------
    pandas.DataFrame
        One row per mammogram; columns of `INDEX_SCHEMA`; small integers and
        booleans as nullable dtypes, dates as ``datetime.date`` or None. Columns
        that an index of an older version lacks are null.

    Raises
    ------
    IndexMissing
        Nothing has been ingested yet.
    SourceInvalid
        The file is no index of this version.
    """
    return to_frame(read_table(path, columns, where))


def write_index(frame: pd.DataFrame, path: Path, drafts: Path | None = None) -> None:
    """Write the index in one step, ordered by image; equal frames give equal bytes.

    ``drafts`` is where it is written first: the folder of ``path`` by default.
    See `mammo.data.index_merge` for how an index is extended.
    """
    table = pa.Table.from_pandas(
        frame[INDEX_SCHEMA.names], schema=INDEX_SCHEMA, preserve_index=False
    ).replace_schema_metadata(None)
    write_tables([sort_rows(table)], path, drafts or path.parent)


def target_values(index: pd.DataFrame, target: str) -> pd.Series:
    """Return the label of each row's breast, 0, 1 or null (Int8).

    ``target`` is one of `TARGETS`; ``dense`` comes from the density letter.
    """
    if target == "dense":
        return index["density"].map(DENSE).astype("Int8")
    if target not in TARGETS:
        raise SourceInvalid(f"target {target!r} is unknown; allowed are {', '.join(TARGETS)}")
    return index[target].astype("Int8")


def join_outcomes(index: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Fill ``cancer`` and ``outcome_known_at`` from outcomes that came later.

    Parameters
    ----------
    index
        The exam index; not changed.
    outcomes
        Columns ``exam_id``, ``laterality`` (null: the exam as a whole),
        ``cancer`` and ``known_at``.

    Notes
    -----
    The newest ``known_at`` wins, so an interval cancer replaces the negative
    that was known before it. An outcome of a breast goes before one of its
    exam. A positive exam without a side marks each breast that has no outcome
    of its own: a weak label, right for the exam.
    """
    result = index.copy()
    if outcomes.empty:
        return result
    newest = _newest_outcomes(outcomes)
    exams = newest[newest["laterality"].isna()].drop(columns="laterality")
    breasts = newest[newest["laterality"].notna()]
    keys = result[["exam_id", "laterality"]]
    of_breast = keys.merge(breasts, on=["exam_id", "laterality"], how="left")
    of_exam = keys.merge(exams, on="exam_id", how="left")
    found = of_breast["cancer"].notna()
    cancer = of_breast["cancer"].where(found, of_exam["cancer"])
    known_at = of_breast["known_at"].where(found, of_exam["known_at"])
    before = result["outcome_known_at"].reset_index(drop=True)
    labelled = result["cancer"].notna().reset_index(drop=True)
    stale = labelled & before.notna() & (before > known_at)
    use = (cancer.notna() & ~stale).to_numpy()
    result.loc[use, "cancer"] = cancer[use].astype("Int8").to_numpy()
    result.loc[use, "outcome_known_at"] = known_at[use].to_numpy()
    result["outcome_known_at"] = pd.to_datetime(result["outcome_known_at"], utc=True)
    return result


def _newest_outcomes(outcomes: pd.DataFrame) -> pd.DataFrame:
    frame = outcomes[["exam_id", "laterality", "cancer", "known_at"]].copy()
    frame["laterality"] = frame["laterality"].astype(object).where(frame["laterality"].notna())
    frame["cancer"] = frame["cancer"].astype("Int8")
    frame["known_at"] = pd.to_datetime(frame["known_at"], utc=True)
    # at the same instant the positive wins: it is the one that must not be lost
    ordered = frame.sort_values(["known_at", "cancer"], kind="stable")
    return ordered.drop_duplicates(["exam_id", "laterality"], keep="last")
