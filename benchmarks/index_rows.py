"""An exam index of real proportions: RSNA's table, its women copied under new pseudonyms.

    python -m benchmarks.index_rows ../shared/data/rsna/train.csv index.parquet --copies 10

One copy has the 54,706 rows of the table. Labels, views, machines and ages are
the table's; what it lacks (dates, geometry, digests, features) is made up in its
usual length. Rows are written in the index's order, some at a time.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mammo.data.index_file import GROUP_ROWS, write_tables
from mammo.data.index_schema import FEATURE_COLUMNS, INDEX_SCHEMA

TABLE = Path(
    os.environ.get("MAMMO_TEST_DATA", Path(__file__).parents[2] / "shared/data")
) / "rsna/train.csv"  # fmt: skip
TABLE_ROWS = 54_706
SHARD_ROWS = 64
FIRST_DAY, DAYS = np.datetime64("2010-01-01"), 5400
"""Exams are spread evenly over about fifteen years."""
GEOMETRY = (
    '{"crop": [12, 0, 3316, 1804], "flipped": false, "height": 512, "scale": 0.154963, '
    '"shape": [3328, 2560], "width": 256}'
)
Words = NDArray[np.uint64]


def write_copies(table: Path, path: Path, copies: int) -> int:
    """Write an index of so many copies of the table; return its rows."""
    rows = pd.read_csv(table)
    total = len(rows) * copies
    order = np.argsort(_mix(np.arange(total, dtype=np.uint64), "image"))  # as image_id is ordered
    places = (order[start : start + GROUP_ROWS] for start in range(0, total, GROUP_ROWS))
    write_tables((make_rows(rows, place) for place in places), path, path.parent)
    return total


def rows_of_copy(table: Path, copy: int, count: int) -> pa.Table:
    """Return the first rows of one more copy, in the table's order."""
    rows = pd.read_csv(table)
    return make_rows(rows, len(rows) * copy + np.arange(count))


def make_rows(rows: pd.DataFrame, places: NDArray[np.int64]) -> pa.Table:
    """Return index rows of places in the endless list of copies."""
    copy, number = np.divmod(places, len(rows))
    told = rows.iloc[number].reset_index(drop=True)
    image = places.astype(np.uint64)
    patient = (copy * 10**6 + told["patient_id"].to_numpy()).astype(np.uint64)
    days = (_mix(patient, "day") % np.uint64(DAYS)).astype(np.int64)
    acquired = FIRST_DAY + days.astype("timedelta64[D]")
    machine = "machine-" + told["machine_id"].astype(str)
    values: dict[str, Any] = {
        "image_id": _ids("I", image, "image"),
        "exam_id": _ids("E", patient, "exam"),
        "patient_id": _ids("P", patient, "patient"),
        "laterality": told["laterality"],
        "view": told["view"],
        "manufacturer": pd.Series(["RSNA"] * len(told)),
        "model": machine,
        "scanner": "RSNA/" + machine,
        "site": "site-" + told["site_id"].astype(str),
        "acquired_on": pa.array(acquired, pa.date32()),
        "age_years": told["age"].round(),
        "density": told["density"],
        "cancer": told["cancer"],
        "birads": told["BIRADS"],
        "biopsied": told["biopsy"],
        "invasive": told["invasive"],
        "difficult": told["difficult_negative_case"].astype(int),
        "outcome_known_at": pa.array(
            (acquired + np.timedelta64(365, "D")).astype("datetime64[us]"),
            INDEX_SCHEMA.field("outcome_known_at").type,
        ),
        "source": pd.Series(["rsna"] * len(told)),
        "sha256": _hex(image, "sha256", 4),
        "shard": _hex(image // np.uint64(SHARD_ROWS), "shard", 2),
        "shard_row": places % SHARD_ROWS,
        "rows": np.full(len(told), 3328),
        "columns": np.full(len(told), 2560),
        "implant": told["implant"].astype(bool),
        "spacing_mm": np.full(len(told), 0.07),
        "quality": pd.Series([""] * len(told)),
        "geometry": pd.Series([GEOMETRY] * len(told)),
        "findings": pd.Series(["[]"] * len(told)),
        "phash": _hex(image, "phash", 4),
    }
    for name in FEATURE_COLUMNS:
        values[name] = (_mix(image, name) >> np.uint64(50)) / 16384
    return pa.table([_array(values.get(one.name), one, len(told)) for one in INDEX_SCHEMA],
                    schema=INDEX_SCHEMA)  # fmt: skip


def _array(values: Any, kind: pa.Field, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind.type)
    if isinstance(values, pa.Array):
        return values
    return pa.Array.from_pandas(pd.Series(values), type=kind.type, safe=True)


def _mix(numbers: Words, salt: str, word: int = 0) -> Words:
    """Return splitmix64 of each number: no two alike for one salt and word."""
    seed = int.from_bytes(hashlib.sha256(f"{word} {salt}".encode()).digest()[:8], "big")
    with np.errstate(over="ignore"):
        mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def _hex(numbers: Words, salt: str, words: int) -> pd.Series:
    """Return each number as ``words`` mixed words, 16 hex digits each."""
    parts = np.stack([_mix(numbers, salt, word) for word in range(words)], axis=1)
    text, width = parts.astype(">u8").tobytes().hex(), 16 * words
    return pd.Series([text[at : at + width] for at in range(0, len(text), width)], dtype=object)


def _ids(letter: str, numbers: Words, salt: str) -> pd.Series:
    return f"{letter}-" + _hex(numbers, salt, 1)


def main() -> None:
    """Write an index."""
    parser = argparse.ArgumentParser(description="RSNA's table as an exam index, in copies")
    parser.add_argument("table", type=Path)
    parser.add_argument("path", type=Path)
    parser.add_argument("--copies", type=int, default=1)
    given = parser.parse_args()
    print(write_copies(given.table, given.path, given.copies), "rows")


if __name__ == "__main__":
    main()
