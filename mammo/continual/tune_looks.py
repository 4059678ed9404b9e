"""How often tuning looked at a holdout: one book for all studies of an installation.

A look is written down before a score of it is computed. The book is kept by a digest of the
holdout's patients: another study, space or configuration on the same patients looks at what
earlier ones have seen.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.continual.tune_gain import Gain
from mammo.release import write_json

BOOK = "holdout_looks.json"
Book = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Look:
    """What a look at the holdout told: its place among all looks at these patients, from 1."""

    gain: Gain
    number: int
    total: int


def patients_digest(rows: pd.DataFrame) -> str:
    """Return a digest of whose rows these are; new images or outcomes of them change nothing."""
    told = "\n".join(sorted(rows["patient_id"].astype(str).unique()))
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def look_once(
    folder: Path, patients: str, study: str, key: str, measure: Callable[[], Gain]
) -> Look:
    """Return a look at a holdout by the digest of its patients; ``measure`` it if it is new.

    ``key`` says what is held against what: the same in the same study is the same look
    again, and is not counted anew. One that was killed before its gain was known is
    measured again under its number.
    """
    with _open_book(folder) as book:
        looks = book.setdefault(patients, [])
        place = _find(looks, study, key)
        if place == len(looks):
            looks.append({"study": study, "key": key, "gain": None})
    known = looks[place]["gain"]
    if known is not None:
        return Look(Gain.from_dict(known), place + 1, len(looks))
    gain = measure()
    with _open_book(folder) as book:  # others may have written meanwhile, and only appended
        looks = book[patients]
        looks[place]["gain"] = gain.to_dict()
    return Look(gain, place + 1, len(looks))


def _find(looks: list[dict[str, Any]], study: str, key: str) -> int:
    """Return the place of a look; one behind the last where there is none such."""
    same = [i for i, one in enumerate(looks) if (one["study"], one["key"]) == (study, key)]
    return same[0] if same else len(looks)


@contextmanager
def _open_book(folder: Path) -> Iterator[Book]:
    """Hold the book, and write it whole when the block ends."""
    path = folder / BOOK
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        book: Book = json.loads(path.read_text()) if path.is_file() else {}
        yield book
        write_json(path, book)
