"""Writes into the book what came in; the file of an object is on the disk before."""

from __future__ import annotations

import sqlite3
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

    def book(self, one: Arrival, source: str, now: float) -> Booked:
        """Book an object whose file is in the inbox; durable when this returns."""
        with self._alone() as book:
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
            # it was removed after its days, and is here again
            book.execute("UPDATE images SET file = ? WHERE key = ?", (one.file, one.image))
            _touch_study(book, one.study, now, arrives=counts(one.code))
            return "new"

    def refuse(
        self, study: str | None, image: str | None, code: str, text: str, source: str, now: float
    ) -> None:
        """Note that something was not taken; of a study, where it is known of which."""
        with self._alone() as book:
            if study is not None:
                _touch_study(book, study, now, arrives=False)
            add_incident(book, (study, image, code, text, None, None, source, now))


def _add_image(book: sqlite3.Connection, one: Arrival, source: str, now: float) -> None:
    _touch_study(book, one.study, now, arrives=counts(one.code))
    book.execute(
        "INSERT INTO images (key, study, sop_class, syntax, sha256, bytes, file, source, code,"
        " received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (one.image, one.study, one.sop_class, one.syntax, one.sha256, len(one.data), one.file,
         source, one.code, now),
    )  # fmt: skip


def _add_other_bytes(book: sqlite3.Connection, one: Arrival, source: str, now: float) -> None:
    """Note an incident, unless the same bytes made one before."""
    seen = book.execute(
        "SELECT 1 FROM incidents WHERE image = ? AND sha256 = ?", (one.image, one.sha256)
    ).fetchone()
    if seen is not None:
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
