"""The index as the leak check reads it: a number per row and column, no text.

Ten million rows are five arrays of 8 bytes a row; the text of an index of that
size would be some gigabytes. Numbers are 64-bit hashes: two different values
among ten million share one with a probability of 3 in a million.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammo.data.patients import part_of_rows
from mammo.data.query import IndexQuery

Keys = npt.NDArray[np.uint64]
COLUMNS = ("patient_id", "exam_id", "sha256", "phash", "source")
BLANK = "0" * 64
"""The perceptual hash of an image without structure: it is like no other either."""
NOTHING = np.uint64(0)
"""Stands for null and for an empty text: a row without a digest is like no other."""


@dataclass(frozen=True, eq=False)
class LeakColumns:
    """Keys of the columns, `NOTHING` where a row has no value; ``part`` -1 for no part."""

    patient: Keys
    exam: Keys
    file: Keys
    pixels: Keys
    source: Keys
    part: npt.NDArray[np.int64]
    parts: tuple[str, ...]
    _index: pd.DataFrame | IndexQuery = field(repr=False)

    def text(self, rows: npt.NDArray[np.int64], column: str) -> list[str]:
        """Return a column's text at these rows (ascending places in the index)."""
        found: list[str] = []
        start = 0
        for batch in _batches(self._index, (column,)):
            stop = start + len(batch)
            inside = rows[(rows >= start) & (rows < stop)] - start
            found += [str(value) for value in batch[column].iloc[inside]]
            start = stop
        return found


def read_columns(index: pd.DataFrame | IndexQuery, assignment: pd.Series[Any]) -> LeakColumns:
    """Read the index once; of an `IndexQuery` a batch at a time.

    ``assignment`` is aligned with a frame, or indexed by ``patient_id``; of an
    index that is only queried it has to be the latter.
    """
    keys: dict[str, list[Keys]] = {name: [] for name in COLUMNS}
    told: list[pd.Series[Any]] = []
    for batch in _batches(index, COLUMNS):
        told.append(part_of_rows(batch, assignment))
        for name in COLUMNS:
            keys[name].append(_keys(batch[name], BLANK if name == "phash" else ""))
    codes, parts = pd.factorize(pd.concat(told, ignore_index=True), sort=True)
    patient, exam, file, pixels, source = (np.concatenate(keys[name]) for name in COLUMNS)
    return LeakColumns(
        patient, exam, file, pixels, source,
        codes.astype(np.int64), tuple(str(part) for part in parts), index,
    )  # fmt: skip


def _batches(index: pd.DataFrame | IndexQuery, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    if isinstance(index, pd.DataFrame):
        yield index.reindex(columns=list(columns))
        return
    empty = True
    for batch in index.batches(f"SELECT {', '.join(columns)} FROM exams"):
        empty = False
        yield batch.to_pandas()
    if empty:
        yield pd.DataFrame(columns=list(columns))


def _keys(values: pd.Series[Any], blank: str) -> Keys:
    text = values.astype(object).to_numpy()
    there = values.notna().to_numpy() & (text != "") & (text != blank)
    keys = np.zeros(len(text), dtype=np.uint64)
    hashed = pd.util.hash_array(text[there], categorize=True)
    keys[there] = np.where(hashed == NOTHING, np.uint64(1), hashed)
    return keys
