"""What stands on two sides of a split: patients, exams, files, and images alike.

Splitting by pseudonym is not enough: the same woman may come in two sets under
two pseudonyms, the same file twice, or saved anew. So the check compares
patients, exams, digests of files and perceptual hashes (`mammo.data.likeness`),
and tells which sets share patients though nothing leaks yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from mammo.data.leak_columns import NOTHING, LeakColumns, read_columns
from mammo.data.leak_search import (
    ALIKE,
    EXAM,
    FILE,
    PATIENT,
    PIXELS,
    SHARED_PATIENTS,
    SHARED_PIXELS,
    Found,
    find_alike,
    find_equal,
    find_shared,
)
from mammo.data.likeness import NEAR_BITS
from mammo.data.query import IndexQuery
from mammo.errors import PatientLeak

SHOWN = 10
"""Rows and patients that a listed leak names."""
FOUND: Mapping[str, tuple[tuple[str, str], str]] = {
    PATIENT: (
        ("patient stands in more than one part", "patients stand in more than one part"),
        "assign patients, not images",
    ),
    EXAM: (
        ("exam stands in more than one part", "exams stand in more than one part"),
        "assign patients, not images; an exam filed under two patients has to be corrected first",
    ),
    FILE: (
        ("file stands in more than one part", "files stand in more than one part"),
        "the same file came twice: keep one of its rows, or both patients on one side",
    ),
    PIXELS: (
        (
            "image stands in more than one part under different patients",
            "images stand in more than one part under different patients",
        ),
        "this is one woman under two pseudonyms: keep both on one side, or leave one out",
    ),
    ALIKE: (
        (
            "pair of near-identical images stands in two parts under different patients",
            "pairs of near-identical images stand in two parts under different patients",
        ),
        "look at them (`mammo explore`); of one woman keep both patients on one side",
    ),
    SHARED_PATIENTS: (
        (
            "patient stands in two sets under one pseudonym",
            "patients stand in two sets under one pseudonym",
        ),
        "either both sets have these women, or they number their patients alike; "
        "a split by patient keeps them on one side either way",
    ),
    SHARED_PIXELS: (
        (
            "image stands in two sets under different patients",
            "images stand in two sets under different patients",
        ),
        "the sets share these women: leave one of the sets' rows out before splitting",
    ),
}
"""What is said of each kind that was found, and the way out."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing that stands in two parts (``across``), or is only told (sets that share).

    ``index_rows`` count the index's rows from 1, ``patients`` are pseudonyms;
    both hold the first `SHOWN`. ``bits`` is how far two hashes are apart, of 256.
    """

    kind: str
    across: bool
    parts: tuple[str, ...]
    sources: tuple[str, ...]
    patients: tuple[str, ...]
    index_rows: tuple[int, ...]
    bits: int | None = None


@dataclass(frozen=True)
class LeakReport:
    """What the check found.

    ``rows`` lists up to `NAMED` of each kind, ``counts`` has all that stand in
    two parts and ``told`` those that do not; ``unchecked`` says of a kind why
    it could not be looked for, and ``lacking`` in how many images of a part,
    where it could in others.
    """

    rows: tuple[Leak, ...]
    counts: dict[str, int]
    told: dict[str, int]
    unchecked: dict[str, str]
    lacking: dict[str, int]
    images: int
    patients: int
    parts: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True when nothing stands in two parts."""
        return not any(self.counts.values())

    def sentences(self) -> tuple[str, ...]:
        """Return the result in words: leaks first, then what is told, what was not checked."""
        leaks = [self._sentence(kind, across=True) for kind, n in self.counts.items() if n]
        told = [self._sentence(kind, across=False) for kind, n in self.told.items() if n]
        by = _listed([name for kind, name in _COMPARED.items() if kind in self.counts])
        parts = "1 part" if len(self.parts) == 1 else f"{len(self.parts)} parts"
        seen = (
            f"{self.patients:,} patients with {self.images:,} images in {parts} "
            f"were compared by {by}."
        )
        whole = [f"Nothing stands in two parts: {seen}"] if self.passed else [seen]
        left = [f"Not compared by {what}: {why}." for what, why in self._left()]
        part = [
            f"{n:,} of these images have no {WHAT[kind]}: they were not compared by {names}."
            for kind, names in ((FILE, "file"), (PIXELS, "pixels and likeness"))
            if (n := self.lacking.get(kind))
        ]
        return (*leaks, *whole, *part, *told, *left)

    def _left(self) -> list[tuple[str, str]]:
        """Return the names of what was not checked, by the reason."""
        reasons = dict.fromkeys(self.unchecked.values())
        named = {why: [k for k, w in self.unchecked.items() if w == why] for why in reasons}
        return [(_listed([_COMPARED[k] for k in kinds]), why) for why, kinds in named.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data; pseudonyms and row numbers only."""
        return asdict(self) | {"passed": self.passed, "sentences": list(self.sentences())}

    def _sentence(self, kind: str, *, across: bool) -> str:
        count = (self.counts if across else self.told)[kind]
        first = next(row for row in self.rows if row.kind == kind)
        (one, many), way_out = FOUND[kind]
        parts = f"parts {_listed(first.parts)}, " if across else ""
        sets = f"sets {_listed(first.sources)}, " if len(first.sources) > 1 else ""
        rows = _listed([str(row) for row in first.index_rows])
        what = f"1 {one}" if count == 1 else f"{count:,} {many}"
        return f"{what} (first: {parts}{sets}index rows {rows}): {way_out}."


WHAT = {FILE: "digest of their file", PIXELS: "perceptual hash"}
_COMPARED = {
    PATIENT: "patient", EXAM: "exam", FILE: "file", PIXELS: "pixels", ALIKE: "likeness",
}  # fmt: skip


def find_leaks(
    index: pd.DataFrame | IndexQuery,
    assignment: pd.Series[Any],
    *,
    near_bits: int = NEAR_BITS,
) -> LeakReport:
    """Look for everything that stands in two parts of a split.

    Parameters
    ----------
    index
        Rows of the exam index, or an open one, which is read in batches.
    assignment
        Part of each row (aligned with a frame) or of each patient (indexed by
        ``patient_id``); null and negative numbers are no part.
    near_bits
        Perceptual hashes at most so many of 256 bits apart are near-identical.
    """
    columns = read_columns(index, assignment)
    equal, shared = find_equal(columns), find_shared(columns)
    unchecked = _unchecked(columns)
    alike, too_many = find_alike(columns, near_bits)
    if too_many:
        unchecked[ALIKE] = too_many
    leaking = [*equal, *([] if ALIKE in unchecked else [alike])]
    inside = columns.part >= 0
    return LeakReport(
        rows=tuple(_leaks(columns, [*leaking, *shared])),
        counts={one.kind: one.count for one in leaking if one.kind not in unchecked},
        told={one.kind: one.count for one in shared},
        unchecked=unchecked,
        lacking={
            kind: int((keys[inside] == NOTHING).sum())
            for kind, keys in ((FILE, columns.file), (PIXELS, columns.pixels))
            if kind not in unchecked
        },
        images=int(inside.sum()),
        patients=len(np.unique(columns.patient[inside])),
        parts=columns.parts,
    )


def require_no_leak(index: pd.DataFrame | IndexQuery, assignment: pd.Series[Any]) -> LeakReport:
    """Return the report of `find_leaks`; raise PatientLeak with its sentences on a leak."""
    report = find_leaks(index, assignment)
    if not report.passed:
        kinds = sum(1 for found in report.counts.values() if found)
        raise PatientLeak(" ".join(report.sentences()[:kinds]))
    return report


def leak_table(report: LeakReport) -> pd.DataFrame:
    """Return the listed leaks as rows: kind, across, parts, sources, patients, index_rows, bits."""
    names = [one.name for one in fields(Leak)]
    return pd.DataFrame([asdict(row) for row in report.rows], columns=names)


def count_table(report: LeakReport) -> pd.DataFrame:
    """Return one row per kind of leak: kind, leaks (null where not checked), checked."""
    kinds = list(_COMPARED)
    return pd.DataFrame(
        {
            "kind": kinds,
            "leaks": pd.array([report.counts.get(kind) for kind in kinds], dtype="Int64"),
            "checked": [kind in report.counts for kind in kinds],
        }
    )


def _unchecked(columns: LeakColumns) -> dict[str, str]:
    no_hash = "no row has a perceptual hash of its pixels: a table alone has none"
    why = {} if columns.pixels.any() else {PIXELS: no_hash, ALIKE: no_hash}
    if not columns.file.any():
        why[FILE] = "no row has a digest of its file: a table alone has none"
    return why


def _leaks(columns: LeakColumns, found: Sequence[Found]) -> list[Leak]:
    """Name the patients and sets of the rows that were found, in one more reading."""
    shown = [(one, group[:SHOWN], bits) for one in found for group, bits in one.groups]
    places = np.unique(np.concatenate([rows for _, rows, _ in shown])) if shown else np.array([])
    if not places.size:
        return []
    patient = dict(zip(places.tolist(), columns.text(places, "patient_id"), strict=True))
    source = dict(zip(places.tolist(), columns.text(places, "source"), strict=True))
    return [
        Leak(
            kind=one.kind,
            across=one.across,
            parts=tuple(columns.parts[n] for n in np.unique(columns.part[rows]) if n >= 0),
            sources=tuple(sorted({source[row] for row in rows.tolist()})),
            patients=tuple(sorted({patient[row] for row in rows.tolist()})),
            index_rows=tuple(row + 1 for row in rows.tolist()),
            bits=bits,
        )
        for one, rows, bits in shown
    ]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
