"""The searches behind the leak check, over keys: sort once, compare within each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mammo.data.leak_columns import NOTHING, Keys, LeakColumns
from mammo.data.likeness import near_pairs

PATIENT, EXAM, FILE = "patient_in_two_parts", "exam_in_two_parts", "file_in_two_parts"
PIXELS, ALIKE = "pixels_in_two_parts", "alike_in_two_parts"
SHARED_PATIENTS, SHARED_PIXELS = "sets_share_patients", "sets_share_pixels"
NAMED = 1000
"""Leaks of each kind that are listed; all are counted."""
MOST_ALIKE = 2_000_000
"""Different hashes up to which near-identical images are searched; equal ones always are."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Found:
    """How many there are of a kind, and the rows (with the distance in bits) of the first."""

    kind: str
    across: bool
    count: int
    groups: tuple[tuple[Rows, int | None], ...]


def find_equal(columns: LeakColumns) -> list[Found]:
    """Return what stands in two parts because a key is the same."""
    inside = columns.part >= 0
    single = np.arange(1, len(columns.file) + 1, dtype=np.uint64)
    # rows without a digest are different files
    file = np.where(columns.file == NOTHING, single, columns.file)
    questions: list[tuple[str, Keys, Sequence[Any]]] = [
        (PATIENT, columns.patient, [columns.part]),
        (EXAM, columns.exam, [columns.part]),
        (FILE, columns.file, [columns.part]),
        (PIXELS, columns.pixels, [columns.part, columns.patient, file]),
    ]
    return [_differing(kind, True, key, inside, differ) for kind, key, differ in questions]


def find_shared(columns: LeakColumns) -> list[Found]:
    """Return what two sets have in common, wherever it stands."""
    whole = np.ones(len(columns.part), dtype=bool)
    pixels = np.where(columns.pixels == NOTHING, columns.file, columns.pixels)
    source, patient = columns.source, columns.patient
    return [
        _differing(SHARED_PATIENTS, False, patient, whole, [source]),
        _differing(SHARED_PIXELS, False, pixels, whole, [source, patient]),
    ]


def find_alike(columns: LeakColumns, near_bits: int) -> tuple[Found, str]:
    """Return near-identical images in two parts under two patients, and why not, if not."""
    order, start = _runs(columns.pixels, columns.part >= 0)
    nothing = Found(ALIKE, True, 0, ())
    if len(start) > MOST_ALIKE:
        why = f"{len(start):,} images are too many, above {MOST_ALIKE:,} only equal"
        return nothing, f"{why} ones are looked for"
    first = np.minimum.reduceat(order, start) if len(start) else order
    by_place = np.argsort(first)
    hashes = columns.text(first[by_place], "phash")
    part, patient = (_ends(key, order, start) for key in (columns.part, columns.patient))
    count = 0
    groups: list[tuple[Rows, int | None]] = []
    for one, other, bits in near_pairs(hashes, near_bits):
        runs = by_place[one], by_place[other]
        different = _differ(part, *runs) & _differ(patient, *runs) & (bits > 0)
        count += int(different.sum())
        for n in np.flatnonzero(different)[: NAMED - len(groups)]:
            rows = np.sort(first[[runs[0][n], runs[1][n]]])
            groups.append((rows, int(bits[n])))
    return Found(ALIKE, True, count, tuple(groups)), ""


def _differing(
    kind: str, across: bool, key: Keys, inside: npt.NDArray[np.bool_], differ: Sequence[Any]
) -> Found:
    """Return the rows of equal key among which each column of ``differ`` has two values."""
    order, start = _runs(key, inside)
    if not len(start):
        return Found(kind, across, 0, ())
    wanted = np.ones(len(start), dtype=bool)
    for column in differ:
        low, high = _ends(column, order, start)
        wanted &= low != high
    stop = np.append(start[1:], len(order))
    runs = np.flatnonzero(wanted)
    # the first in the index first: the order of keys means nothing to a reader
    runs = runs[np.argsort(order[start[runs]], kind="stable")]
    groups = ((_telling(order[start[n] : stop[n]], differ[0]), None) for n in runs[:NAMED])
    return Found(kind, across, len(runs), tuple(groups))


def _runs(key: Keys, inside: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Return the rows that have a key, ordered by it, and where each key begins."""
    rows = np.flatnonzero(inside & (key != NOTHING)).astype(np.int64)
    order = rows[np.argsort(key[rows], kind="stable")]
    ordered = key[order]
    start = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(order) else order
    return order, start.astype(np.int64)


def _ends(column: Any, order: Rows, start: Rows) -> tuple[Any, Any]:
    """Return the least and the greatest value of a column in each run."""
    if not len(start):
        return column[:0], column[:0]
    ordered = column[order]
    return np.minimum.reduceat(ordered, start), np.maximum.reduceat(ordered, start)


def _differ(ends: tuple[Any, Any], one: Rows, other: Rows) -> npt.NDArray[np.bool_]:
    low, high = ends
    different: npt.NDArray[np.bool_] = np.minimum(low[one], low[other]) != np.maximum(
        high[one], high[other]
    )
    return different


def _telling(rows: Rows, column: Any) -> Rows:
    """Put one row of each value of the column first: ten rows of one part would not tell."""
    _, first = np.unique(column[rows], return_index=True)
    rest = np.delete(rows, first)
    return np.concatenate([np.sort(rows[first]), rest])
