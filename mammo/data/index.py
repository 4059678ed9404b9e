"""The exam index: one Parquet row per mammogram.

Beside what the header says (see `mammo.exam.Mammogram`) a row holds the labels
of its breast, since when they are known, where its prepared pixels lie
(``shard``, ``shard_row``), how they map back to the original image
(``geometry``) and a few cheap image features (``f_...``). All ids are
pseudonyms. Unlabelled is null, never negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mammo.data.durable import write_file
from mammo.errors import IndexMissing, SourceInvalid
from mammo.preprocess import FEATURE_NAMES

FEATURE_COLUMNS = tuple(f"f_{name}" for name in FEATURE_NAMES)
DENSE = {"A": 0, "B": 0, "C": 1, "D": 1, "F": 0, "G": 0}
"""Dense tissue: ACR C and D; of mini-MIAS' fatty, glandular, dense only the last."""
TARGETS = ("cancer", "abnormal", "dense")

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
    ]
)
"""Columns of the index, in order."""

_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def empty_index() -> pd.DataFrame:
    """Return an index without rows, with every column in its type."""
    return _to_frame(INDEX_SCHEMA.empty_table())


def index_from_rows(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return an index frame of plain dictionaries with the columns as keys."""
    return _to_frame(pa.Table.from_pylist([dict(row) for row in rows], schema=INDEX_SCHEMA))


def read_index(path: Path) -> pd.DataFrame:
    """Read the exam index.

    Returns
    -------
    pandas.DataFrame
        One row per mammogram; columns of `INDEX_SCHEMA`; small integers and
        booleans as nullable dtypes, dates as ``datetime.date`` or None.

    Raises
    ------
    IndexMissing
        Nothing has been ingested yet.
    SourceInvalid
        The file is no index of this version.
    """
    if not path.exists():
        raise IndexMissing("there is no exam index yet: run `mammo ingest` first")
    try:
        table = pq.read_table(path)
        return _to_frame(table.select(INDEX_SCHEMA.names).cast(INDEX_SCHEMA))
    except (pa.ArrowException, KeyError) as error:
        raise SourceInvalid(
            f"{path.name} is not an exam index of this version ({type(error).__name__}): "
            "restore an older data version, or remove it and ingest again"
        ) from error


def write_index(frame: pd.DataFrame, path: Path, drafts: Path | None = None) -> None:
    """Write the index in one step, ordered by image; equal frames give equal bytes.

    ``drafts`` is where it is written first: the folder of ``path`` by default.
    """
    ordered = frame.sort_values(["source", "image_id", "sha256"], kind="stable")
    table = pa.Table.from_pandas(
        ordered[INDEX_SCHEMA.names], schema=INDEX_SCHEMA, preserve_index=False
    ).replace_schema_metadata(None)
    written = pa.BufferOutputStream()  # the file is written by us: Arrow's errors hide the cause
    pq.write_table(table, written, compression="zstd")
    write_file(path, lambda handle: handle.write(written.getvalue()), drafts or path.parent)


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


def _to_frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=_NULLABLE.get)
    return frame
