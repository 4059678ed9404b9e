"""Writes into the book what came in; the file of an object is on the disk before."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from bentos.gateway.arrival import Arrival
from bentos.gateway.objects import counts
from bentos.gateway.tables import SharedBook

Booked = Literal["new", "known", "incident"]
"""Not seen before; the same bytes again; the same UID with other bytes."""
SAME_UID_OTHER_BYTES = "SAME_UID_OTHER_BYTES"
OTHER_BYTES = "An object came again under the same UID with other bytes; the first one counts."


class Bookings(SharedBook):
    """The book, for those who take images in; safe to call from several threads."""

    def known(self, image: str) -> tuple[str, str, str] | None:
        """Return digest, transfer syntax and file of an object that was booked."""
        with self._lock:
            row = self._book.execute(
                "SELECT sha256, syntax, file FROM images WHERE key = ?", (image,)
            ).fetchone()
        return None if row is None else tuple(row)

    def book(self, one: Arrival, path: Path, source: str, now: float) -> Booked | None:
        """Book an object whose file is at ``path``; durable when this returns.

        None where no file is there (any more), and nothing is booked. A file that is there
        stays: the sweep removes under the same lock, and only what no row names.
        """
        with self._alone() as book:
            if not path.exists():
                _forget_file(book, one)
                return None
            booked = _booked(book, one, source, now)
            _begin_days_anew(book, one.study, now)
            return booked

    def refuse(
        self, study: str | None, image: str | None, code: str, text: str, source: str, now: float
    ) -> None:
        """Note that something was not taken; of a study, where it is known of which."""
        with self._alone() as book:
            if study is not None:
                _touch_study(book, study, now, arrives=False)
            add_incident(book, (study, image, code, text, None, None, source, now))


def _booked(book: sqlite3.Connection, one: Arrival, source: str, now: float) -> Booked:
    row = book.execute(
        "SELECT sha256, syntax, file FROM images WHERE key = ?", (one.image,)
    ).fetchone()
    if row is None:
        _add_image(book, one, source, now)
        return "new"
    if (row["sha256"], row["syntax"]) != (one.sha256, one.syntax):
        _add_other_bytes(book, one, source, now)
        return "incident"
    if row["file"]:
        return "known"
    # it was removed after its days, or lost, and is here again
    book.execute("UPDATE images SET file = ? WHERE key = ?", (one.file, one.image))
    _touch_study(book, one.study, now, arrives=counts(one.code))
    return "new"


def _forget_file(book: sqlite3.Connection, one: Arrival) -> None:
    """Take a file that is gone out of the book, so that the object counts as new once written."""
    gone = (one.image, one.file)
    book.execute("UPDATE images SET file = '' WHERE key = ? AND file = ?", gone)
    book.execute("UPDATE incidents SET file = NULL WHERE image = ? AND file = ?", gone)


def _begin_days_anew(book: sqlite3.Connection, study: str, now: float) -> None:
    """Let a study that is over keep its files: else the sweep comes between two of its images."""
    book.execute(
        "UPDATE studies SET last_received_at = ? WHERE key = ?"
        " AND state IN ('scored', 'partly', 'failed')",
        (now, study),
    )


def _add_image(book: sqlite3.Connection, one: Arrival, source: str, now: float) -> None:
    _touch_study(book, one.study, now, arrives=counts(one.code))
    book.execute(
        "INSERT INTO images (key, study, sop_class, syntax, sha256, bytes, file, source, code,"
        " received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (one.image, one.study, one.sop_class, one.syntax, one.sha256, len(one.data), one.file,
         source, one.code, now),
    )  # fmt: skip


def _add_other_bytes(book: sqlite3.Connection, one: Arrival, source: str, now: float) -> None:
    """Note an incident, unless the same bytes made one before; it has its file (again)."""
    seen = book.execute(
        "UPDATE incidents SET file = ? WHERE image = ? AND sha256 = ?",
        (one.file, one.image, one.sha256),
    ).rowcount
    if seen:
        return
    _touch_study(book, one.study, now, arrives=False)
    add_incident(
        book,
        (
            one.study,
            one.image,
            SAME_UID_OTHER_BYTES,
            OTHER_BYTES,
            one.sha256,
            one.file,
            source,
            now,
        ),
    )


def _touch_study(book: sqlite3.Connection, study: str, now: float, *, arrives: bool) -> None:
    """Make the study's row; with ``arrives``, let its images be waited for (again)."""
    book.execute(
        "INSERT INTO studies (key, state, first_received_at, last_received_at)"
        " VALUES (?, 'receiving', ?, ?) ON CONFLICT (key) DO NOTHING",
        (study, now, now),
    )
    if arrives:
        book.execute(
            "UPDATE studies SET arrivals = arrivals + 1, last_received_at = ? WHERE key = ?",
            (now, study),
        )
        # what is scored just now is found out of date when that ends
        book.execute(
            "UPDATE studies SET state = 'receiving', code = NULL, text = '', tries = 0"
            " WHERE key = ? AND state != 'scoring'",
            (study,),
        )


def add_incident(book: sqlite3.Connection, values: tuple[object, ...]) -> None:
    """Write a row of incidents: study, image, code, text, sha256, file, source, at."""
    book.execute(
        "INSERT INTO incidents (study, image, code, text, sha256, file, source, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
