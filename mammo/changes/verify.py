"""Verifies the history of changes: each record by itself, and all of them as a chain.

    report = verify_changes(settings)
    report.intact                     # False where anything is wrong
    report.wrong                      # (number, how, message), in the order of the history

What is compared: the chain (numbers and hashes), the signature, the schema, the release on the
disk, the gate's row and the approval in the log, the clause of the plan, and the copy beside the
release. Whoever holds the key and the database can write another history; a copy of the newest
record's hash kept elsewhere (``head``) finds that, and records cut off the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mammo.changes.compared import Compared, How
from mammo.changes.plan_file import read_plan
from mammo.changes.record import CHANGE_RECORD
from mammo.changes.signing import (
    Record,
    check_signature,
    follows,
    hash_of,
    is_signed,
    keys_of_records,
)
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from mammo.signing import Trusted


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong. ``number`` is the record's place in the log, from 1."""

    number: int
    how: How
    message: str


@dataclass(frozen=True)
class ChangesReport:
    """What verifying found. ``notes`` are worth knowing and wrong in nothing.

    ``unsigned`` counts the records from before records were signed; ``head`` is
    ``NUMBER:HASH`` of the newest record, to be kept elsewhere.
    """

    records: int
    unsigned: int
    head: str | None
    wrong: tuple[Wrong, ...]
    notes: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """True where nothing is wrong."""
        return not self.wrong

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"intact": self.intact}


def verify_changes(
    settings: Settings, head: str | None = None, *, deep: bool = True
) -> ChangesReport:
    """Verify every record of the log.

    ``head`` is a head kept elsewhere. Not ``deep`` checks the chain and its ends alone. Raises
    PlanInvalid, if deep, where the home's plan cannot be read.
    """
    log = PredictionLog(settings.log_url).create()
    records = [one["record"] for one in log.changes()]
    unsigned = next((at for at, one in enumerate(records) if is_signed(one)), len(records))
    wrong: list[Wrong] = [*_check_chain(records, unsigned, keys_of_records(settings.keys_dir))]
    wrong += _check_ends(settings, records, head)
    notes: tuple[str, ...] = ()
    if deep:
        facts = Compared(settings, log, read_plan(settings))
        for number, record in enumerate(records[unsigned:], unsigned + 1):
            if is_signed(record):
                wrong += (Wrong(number, how, told) for how, told in facts.check(record))
        notes = tuple(facts.notes(records, unsigned))
    newest = f"{len(records)}:{hash_of(records[-1])}" if records else None
    ordered = tuple(sorted(wrong, key=lambda one: one.number))
    return ChangesReport(len(records), unsigned, newest, ordered, notes)


def _check_chain(records: Sequence[Record], first: int, trusted: Trusted) -> Iterator[Wrong]:
    """Follow the chain from the first signed record on.

    A record whose own signature does not hold, or that is misplaced, breaks the link of the
    next one, too: that is told once.
    """
    sound = True
    for place, record in enumerate(records[first:], first):
        number = place + 1
        if not is_signed(record):
            yield Wrong(number, "unsigned", "it comes after signed records and is not signed")
            sound = False
            continue
        told = check_signature(record, trusted)
        if told is not None:
            how: How = "edited" if "edited" in told else "key unknown"
            yield Wrong(number, how, told)
        elif sound and not _is_next(records, place, first):
            yield _misplaced(records, place, first)
        sound = told is None


def _is_next(records: Sequence[Record], place: int, first: int) -> bool:
    """Whether a record is the one after the record before it."""
    record = records[place]
    expected = place + 1 if place == first else records[place - 1]["number"] + 1
    return bool((record["number"], record["before"]) == (expected, follows(records[:place])))


def _misplaced(records: Sequence[Record], place: int, first: int) -> Wrong:
    """Say how a genuine record came to a place where it does not belong."""
    record, number = records[place], place + 1
    stated = record["number"]
    if place == first and first and stated == number:
        return Wrong(number, "edited", "a record of before it, which has no signature, was edited")
    hashes = {hash_of(one) for one in records}
    if record["before"] in hashes or record["before"] is None:
        return Wrong(number, "reordered", f"it is record {stated} and stands in place {number}")
    told = f"it is record {stated} in place {number}: the record it follows is gone"
    return Wrong(number, "removed", told)


def _check_ends(settings: Settings, records: Sequence[Record], head: str | None) -> Iterator[Wrong]:
    """Check what the chain cannot show: a move without its record, records cut off the end."""
    pointer = read_pointer(settings.pointer_path)
    at = ((pointer or {}).get("moved") or {}).get("at")
    if at is not None and all(one.get("at") != at for one in records):
        told = "the pointer's last move has no record: run the deployment again, which writes it"
        yield Wrong(len(records) + 1, "not recorded", told)
    known = {hash_of(one) for one in records}
    for path in sorted(settings.releases_dir.glob(f"*/{CHANGE_RECORD}")):
        copy = _read(path)
        if copy is None or (is_signed(copy) and hash_of(copy) not in known):
            told = f"the record beside {path.parent.name} is not in the log"
            number = int((copy or {}).get("number") or len(records))
            yield Wrong(number, "copy differs", told)
    if head is not None:
        stated, _, digest = head.partition(":")
        place = int(stated) if stated.isdigit() else 0
        if not 0 < place <= len(records) or hash_of(records[place - 1]) != digest:
            told = f"record {stated} is not the one whose hash was kept, or is gone"
            yield Wrong(place, "cut off", told)


def _read(path: Any) -> Record | None:
    try:
        content: Record = json.loads(path.read_text())
    except ValueError:
        return None
    return content
