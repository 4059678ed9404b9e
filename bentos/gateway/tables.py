"""The tables of ``gateway.sqlite`` and how they are opened.

Several processes share the file: the gateway writes, the service writes what comes by
STOW-RS, and everybody reads. A transaction is on the disk when it returns (WAL with
``synchronous=FULL``). Original UIDs, names and paths are in no column: a study is the
exam's pseudonym and an image the image's (`mammo.dicom.deidentify.pseudonym`), as in
the answers of the service.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

BUSY_SECONDS = 30.0
"""How long a writer waits for another; each holds the file for milliseconds."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS studies (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    code TEXT,
    text TEXT NOT NULL DEFAULT '',
    arrivals INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0,
    reported INTEGER NOT NULL DEFAULT 0,
    first_received_at REAL NOT NULL,
    last_received_at REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_try_at REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS studies_by_state ON studies (state, next_try_at);
CREATE INDEX IF NOT EXISTS studies_unreported ON studies (number) WHERE reported < version;
CREATE TABLE IF NOT EXISTS images (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    study TEXT NOT NULL REFERENCES studies (key),
    sop_class TEXT NOT NULL,
    syntax TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    file TEXT NOT NULL,
    source TEXT NOT NULL,
    code TEXT,
    received_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS images_by_study ON images (study, number);
CREATE TABLE IF NOT EXISTS incidents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    study TEXT,
    image TEXT,
    code TEXT NOT NULL,
    text TEXT NOT NULL,
    sha256 TEXT,
    file TEXT,
    source TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS incidents_by_study ON incidents (study, number);
CREATE TABLE IF NOT EXISTS scorings (
    study TEXT NOT NULL REFERENCES studies (key),
    version INTEGER NOT NULL,
    images_sha256 TEXT NOT NULL,
    images INTEGER NOT NULL,
    last_image INTEGER NOT NULL,
    state TEXT NOT NULL,
    code TEXT,
    text TEXT NOT NULL DEFAULT '',
    answer TEXT,
    refused TEXT NOT NULL DEFAULT '{}',
    seed TEXT,
    scored_at REAL NOT NULL,
    PRIMARY KEY (study, version)
);
"""
"""``studies.arrivals`` counts the images of a study as they came, ``version`` its scorings,
``reported`` is the last scoring whose reports are in the outbox. ``images.code`` says why an
image is not scored. ``file`` is relative to the inbox, empty once the object was removed;
of an incident, set where the other bytes are kept. ``scorings.images`` counts those sent to
the service, ``last_image`` is the number of the study's last object at that time, ``refused``
has the codes of images that the service refused, ``seed`` is that of the documents
(`mammo.reports.ReportMaterial.seed`), which a later scoring's replace."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the book to write, made with its tables on first use, mode 0600 in a folder 0700.

    The connection is in autocommit mode: a transaction begins with ``BEGIN IMMEDIATE``
    (`transaction`). It may be used by one thread at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = not path.exists()
    if fresh:
        path.touch(mode=0o600)
    book = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    book.row_factory = sqlite3.Row
    book.execute("PRAGMA journal_mode=WAL")
    book.execute("PRAGMA synchronous=FULL")
    book.executescript(SCHEMA)
    return book


@contextmanager
def transaction(book: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Do all of a block or nothing; on the disk when the block is left."""
    book.execute("BEGIN IMMEDIATE")
    try:
        yield book
        book.execute("COMMIT")
    except BaseException:
        if book.in_transaction:
            book.execute("ROLLBACK")
        raise


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Give the book to read from, None where no gateway has ever made one."""
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as book:
        book.row_factory = sqlite3.Row
        book.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        known = book.execute("SELECT 1 FROM sqlite_master WHERE name = 'scorings'").fetchone()
        yield book if known else None


class SharedBook:
    """A connection to write, which several threads of a process use in turn."""

    def __init__(self, path: Path) -> None:
        self._lock, self._book = threading.RLock(), connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._book.close()

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        """Do a block as one transaction, with no other thread in between."""
        with self._lock, transaction(self._book) as book:
            yield book
