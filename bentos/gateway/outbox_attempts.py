"""The senders' side of the outbox: an attempt is written before it is made, its end after.

So whoever comes after a kill knows which reports may have arrived (``uncertain``), and
asks the destination before it sends them again.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bentos.gateway.outbox import Outbox, replace_older
from bentos.gateway.outbox_tables import Delivery, DestinationLine
from bentos.gateway.tables import transaction

UNKNOWN_DESTINATION = "DESTINATION_UNKNOWN"


@dataclass(frozen=True)
class Attempts:
    """The deliveries to one destination, for the one sender that it has."""

    outbox: Outbox
    destination: str

    def recover(self, now: float) -> int:
        """Mark attempts that nobody saw the end of; return how many.

        To be called while no attempt to this destination is on its way.
        """
        with self.outbox.book() as book:
            query = "SELECT number, study FROM deliveries WHERE destination = ? AND state = ?"
            found = book.execute(query, (self.destination, "sending")).fetchall()
            for number, study in found:
                with transaction(book):
                    _back(book, number, now, uncertain=True)
                    replace_older(book, now, study)
        return len(found)

    def due(self, now: float, limit: int) -> list[Delivery]:
        """Return what is to be sent now, oldest first."""
        query = (
            "SELECT * FROM deliveries WHERE destination = ? AND state = 'waiting' "
            "AND next_try_at <= ? ORDER BY number LIMIT ?"
        )
        with self.outbox.book() as book:
            rows = book.execute(query, (self.destination, now, limit))
            return [Delivery.from_row(row) for row in rows]

    def next_due(self) -> float | None:
        """Return when the next delivery is due, Unix seconds; None where none waits."""
        query = (
            "SELECT min(next_try_at) FROM deliveries WHERE destination = ? AND state = 'waiting'"
        )
        with self.outbox.book() as book:
            found = book.execute(query, (self.destination,)).fetchone()[0]
        return None if found is None else float(found)

    def begin(self, number: int, now: float) -> bool:
        """Write that a delivery is about to be sent; False where it waits no more."""
        with self.outbox.book() as book, transaction(book):
            done = book.execute(
                "UPDATE deliveries SET state = 'sending', attempts = attempts + 1, "
                "attempt_at = ? WHERE number = ? AND state = 'waiting'",
                (now, number),
            )
        return done.rowcount == 1

    def end(self, one: Delivery, state: str, now: float, code: str | None, text: str = "") -> None:
        """Write that a delivery has arrived (``sent``) or was refused for good (``stuck``)."""
        over = now if state == "sent" else None
        with self.outbox.book() as book:
            with transaction(book):
                book.execute(
                    "UPDATE deliveries SET state = ?, over_at = ?, code = ?, text = ?, "
                    "uncertain = 0 WHERE number = ?",
                    (state, over, code, text, one.number),
                )
                replace_older(book, now, one.study)
            self.outbox.remove_over(book)

    def again(
        self, one: Delivery, next_try_at: float, code: str, text: str, *, uncertain: bool
    ) -> None:
        """Write that a delivery did not arrive, or may not have, and is to be tried again."""
        with self.outbox.book() as book:
            with transaction(book):
                _back(book, one.number, next_try_at, uncertain=uncertain)
                book.execute(
                    "UPDATE deliveries SET code = ?, text = ? WHERE number = ?",
                    (code, text, one.number),
                )
                replace_older(book, next_try_at, one.study)
            self.outbox.remove_over(book)

    def line(self) -> DestinationLine:
        """Return how the destination does."""
        query = "SELECT * FROM destinations WHERE name = ?"
        with self.outbox.book() as book:
            row = book.execute(query, (self.destination,)).fetchone()
        return DestinationLine(self.destination) if row is None else DestinationLine(**dict(row))

    def failed(self, next_try_at: float, code: str, text: str) -> None:
        """Write that the destination could not be reached, or takes nothing now."""
        with self.outbox.book() as book, transaction(book):
            book.execute(
                "INSERT INTO destinations (name, failures, next_try_at, code, text) "
                "VALUES (?, 1, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "failures = failures + 1, next_try_at = excluded.next_try_at, "
                "code = excluded.code, text = excluded.text",
                (self.destination, next_try_at, code, text),
            )

    def reached(self, now: float) -> None:
        """Write that the destination takes what it is sent."""
        with self.outbox.book() as book, transaction(book):
            book.execute(
                "INSERT INTO destinations (name, reached_at) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET failures = 0, next_try_at = 0, code = NULL, "
                "text = '', reached_at = excluded.reached_at",
                (self.destination, now),
            )


def set_aside_unknown(outbox: Outbox, known: set[str]) -> int:
    """Make deliveries stuck whose destination `peers.yaml` has no more; return how many."""
    marks = ", ".join("?" * len(known))
    with outbox.book() as book, transaction(book):
        done = book.execute(
            "UPDATE deliveries SET state = 'stuck', code = ?, text = ? WHERE state = 'waiting' "
            f"AND destination NOT IN ({marks})",
            (
                UNKNOWN_DESTINATION,
                "peers.yaml has no such destination any more: put it back, then "
                "`mammo outbox retry`, or `mammo outbox drop`",
                *sorted(known),
            ),
        )
    return done.rowcount


def _back(book: sqlite3.Connection, number: int, next_try_at: float, *, uncertain: bool) -> None:
    """Let an attempt's delivery wait again; once uncertain, it stays so until it is known."""
    book.execute(
        "UPDATE deliveries SET state = 'waiting', next_try_at = ?, "
        "uncertain = CASE WHEN ? THEN 1 ELSE uncertain END WHERE number = ? AND state = 'sending'",
        (next_try_at, uncertain, number),
    )
