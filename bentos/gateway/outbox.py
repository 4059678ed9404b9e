"""The outbox: reports that are on the disk before anybody is told that they will be sent.

    outbox = Outbox(settings)
    outbox.put(study_key, version, [("cad", sop_class_uid, sop_instance_uid, content), ...])

What goes where is `peers.yaml`'s (`bentos.gateway.peers`). `put` may be repeated: a
report goes to a destination once, whatever happens. The senders (`bentos.gateway.sending`)
take from it by `bentos.gateway.outbox_attempts`.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager

from bentos.gateway.outbox_tables import (
    OPEN,
    OUTBOX_SCHEMA,
    Delivery,
    DestinationLine,
)
from bentos.gateway.peer import Kind
from bentos.gateway.peers import PEERS_FILE, Peers, PeersFile
from bentos.gateway.tables import connect, transaction
from mammo.data.durable import make_folder, storing, sweep_drafts, write_file
from mammo.errors import DeliveryUnknown
from mammo.settings import Settings

Report = tuple[Kind, str, str, bytes]
"""Kind, SOP Class UID (0008,0016), SOP Instance UID (0008,0018), the DICOM file."""
FOLDER = "outbox"
ORPHAN_SECONDS = 3600.0
_OPEN = ", ".join(f"'{one}'" for one in OPEN)
_WHERE_OPEN = f" WHERE state IN ({_OPEN})"
_log = logging.getLogger("mammo.gateway.outbox")


class Outbox:
    """The reports of one installation on their way; safe for several threads and processes.

    Parameters
    ----------
    settings
        Its ``gateway_book`` holds the tables, ``gateway_dir`` / ``outbox`` the bytes.
    peers
        Who gets what, asked anew at each `put`; ``<home>/peers.yaml`` by default.

    Every method raises DiskFull or StoreReadOnly where the disk refuses; nothing of it is
    done then.
    """

    def __init__(self, settings: Settings, peers: Callable[[], Peers] | None = None) -> None:
        self.folder = settings.gateway_dir / FOLDER
        self._path, self._lock = settings.gateway_book, threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self.peers = peers or PeersFile(settings.home / PEERS_FILE).current
        self.changed = threading.Condition()

    def put(
        self, study_key: str, version: int, reports: Sequence[Report], now: float | None = None
    ) -> int:
        """Keep reports for everybody who gets their kind; return how many deliveries are new.

        They are on the disk on return. A report that a destination has, or will get, under
        the same SOP Instance UID changes nothing: its first bytes count. What is not sent
        yet of a lower ``version`` of the study is replaced, of whatever kind; what comes
        later than a higher version is replaced at once.
        """
        at = time.time() if now is None else now
        wanted = [
            (report, peer.name)
            for report in reports
            for peer in self.peers().destinations(report[0])
        ]
        if not wanted:
            return 0
        with self._lock, self.book() as book:
            with transaction(book):  # another process may be about to remove the same bytes
                files = {report[2]: self._write(report[3]) for report, _ in wanted}
                new = sum(
                    _insert(book, study_key, version, one, to, files[one[2]], at)
                    for one, to in wanted
                )
                replace_older(book, at, study_key)
            self.remove_over(book)
            self._remove_unnamed(book, set(files.values()))
        with self.changed:
            self.changed.notify_all()
        return new

    def _write(self, content: bytes) -> str:
        name = f"{hashlib.sha256(content).hexdigest()}.dcm"
        make_folder(self.folder, mode=0o700)
        if not (self.folder / name).exists():
            write_file(self.folder / name, lambda stream: stream.write(content), self.folder)
        return name

    def deliveries(
        self,
        *,
        state: str | None = None,
        study: str | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[Delivery]:
        """Return deliveries, newest first; ``before`` is the number of the last one seen."""
        wanted = {"state = ?": state, "study = ?": study, "number < ?": before}
        asked = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(asked) or "1"
        query = f"SELECT * FROM deliveries WHERE {where} ORDER BY number DESC LIMIT ?"
        with self._lock, self.book() as book:
            rows = book.execute(query, (*asked.values(), limit))
            return [Delivery.from_row(row) for row in rows]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many deliveries each destination has in each state."""
        query = "SELECT destination, state, count(*) FROM deliveries GROUP BY destination, state"
        found: dict[str, dict[str, int]] = {}
        with self._lock, self.book() as book:
            for destination, state, count in book.execute(query):
                found.setdefault(destination, {})[state] = count
        return found

    def destinations(self) -> list[DestinationLine]:
        """Return how every destination does that was ever tried."""
        with self._lock, self.book() as book:
            rows = book.execute("SELECT * FROM destinations ORDER BY name")
            return [DestinationLine(**dict(row)) for row in rows]

    def retry(self, number: int, now: float | None = None) -> Delivery:
        """Send a delivery that is stuck or waits as soon as can be.

        Raises DeliveryUnknown where there is none, or it is over.
        """
        at = time.time() if now is None else now
        with self._lock, self.book() as book:
            with transaction(book):
                _require_open(book, number)
                book.execute(
                    "UPDATE deliveries SET state = 'waiting', next_try_at = ? WHERE number = ?",
                    (at, number),
                )
                book.execute(
                    "UPDATE destinations SET next_try_at = ? WHERE name = "
                    "(SELECT destination FROM deliveries WHERE number = ?)",
                    (at, number),
                )
            found = _find(book, number)
        with self.changed:
            self.changed.notify_all()
        return found

    def drop(self, number: int, now: float | None = None) -> Delivery:
        """Give a delivery up that is stuck or waits; its bytes are removed.

        Raises DeliveryUnknown where there is none, or it is over.
        """
        at = time.time() if now is None else now
        with self._lock, self.book() as book:
            with transaction(book):
                _require_open(book, number)
                book.execute(
                    "UPDATE deliveries SET state = 'dropped', over_at = ? WHERE number = ?",
                    (at, number),
                )
            self.remove_over(book)
            return _find(book, number)

    def sweep(self) -> int:
        """Remove files that no open delivery names: what a kill left, what was replaced.

        Returns how many. A file younger than an hour may be one that is just being put.
        """
        with self._lock, self.book() as book:
            self.remove_over(book)
            sweep_drafts(self.folder)
            found = {one.name: one.stat().st_mtime for one in self.folder.glob("*.dcm")}
            old = {name for name, at in found.items() if time.time() - at > ORPHAN_SECONDS}
            return self._remove_unnamed(book, old)

    def _remove_unnamed(self, book: sqlite3.Connection, files: AbstractSet[str]) -> int:
        """Remove those files that no delivery names: their bytes have arrived, or never will."""
        with transaction(book):
            named = {row[0] for row in book.execute("SELECT file FROM deliveries")}
            for file in files - named:
                (self.folder / file).unlink(missing_ok=True)
        return len(files - named)

    def remove_over(self, book: sqlite3.Connection) -> None:
        """Remove the bytes that every delivery is over with, and forget their names."""
        query = (
            f"SELECT DISTINCT file FROM deliveries WHERE state NOT IN ({_OPEN}) AND file <> '' "
            f"AND file NOT IN (SELECT file FROM deliveries{_WHERE_OPEN})"
        )
        with transaction(book):
            for (file,) in book.execute(query).fetchall():
                (self.folder / file).unlink(missing_ok=True)
                book.execute("UPDATE deliveries SET file = '' WHERE file = ?", (file,))

    @contextmanager
    def book(self) -> Iterator[sqlite3.Connection]:
        """Give the database to the one thread that holds the lock; refusals get their codes."""
        with self._lock, storing(self._path.parent):
            if self._connection is None:
                self._connection = connect(self._path)
                self._connection.executescript(OUTBOX_SCHEMA)
            yield self._connection

    def close(self) -> None:
        """Close the database; the next call opens it again."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
            self._connection = None


def replace_older(book: sqlite3.Connection, at: float, study: str) -> None:
    """Give up what is not sent of a study that has a newer scoring."""
    book.execute(
        "UPDATE deliveries SET state = 'replaced', over_at = ? WHERE study = ? "
        "AND state IN ('waiting', 'stuck') "
        "AND version < (SELECT max(version) FROM deliveries WHERE study = ?)",
        (at, study, study),
    )


def _insert(
    book: sqlite3.Connection,
    study: str,
    version: int,
    report: Report,
    destination: str,
    file: str,
    at: float,
) -> int:
    kind, sop_class, sop_instance, content = report
    done = book.execute(
        "INSERT OR IGNORE INTO deliveries (study, version, kind, destination, sop_class, "
        "sop_instance, file, bytes, put_at, next_try_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (study, version, kind, destination, sop_class, sop_instance, file, len(content), at, at),
    )
    return done.rowcount


def _find(book: sqlite3.Connection, number: int) -> Delivery:
    row = book.execute("SELECT * FROM deliveries WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise DeliveryUnknown(f"there is no delivery {number}; `mammo outbox list` shows them")
    return Delivery.from_row(row)


def _require_open(book: sqlite3.Connection, number: int) -> Delivery:
    found = _find(book, number)
    if found.state not in ("waiting", "stuck"):
        raise DeliveryUnknown(
            f"delivery {number} is {found.state}; allowed are those that wait or are stuck"
        )
    return found
