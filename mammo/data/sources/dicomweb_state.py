"""What has been fetched from an archive, and up to which day; survives a power cut.

One SQLite file beside the fetched files. It holds keyed hashes of UIDs, counts and
one date: no identifier can be found from it. Instances are entered after their file
is on the disk, so what is entered is there.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from datetime import date
from pathlib import Path

from mammo.data.durable import make_folder, storing

TABLES = """
CREATE TABLE IF NOT EXISTS instances (hash TEXT PRIMARY KEY, code TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS studies (hash TEXT PRIMARY KEY, instances INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS watermark (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), day TEXT);
"""


class FetchState:
    """The memory of one archive; a context manager."""

    def __init__(self, folder: Path, url: str, key: bytes) -> None:
        make_folder(folder, mode=0o700)
        name = hashlib.sha256(url.encode()).hexdigest()[:16]
        self._key, self._folder = key, folder
        with storing(folder):
            self._db = sqlite3.connect(folder / f"{name}.db", isolation_level=None, timeout=60)
            self._db.executescript("PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;" + TABLES)

    def __enter__(self) -> FetchState:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def hash(self, uid: str) -> str:
        """Return the keyed hash under which a UID is known here; 32 hex digits."""
        return hmac.new(self._key, uid.encode(), hashlib.sha256).hexdigest()[:32]

    def watermark(self) -> date | None:
        """Return the study date up to which everything was fetched, None at first."""
        row = self._db.execute("SELECT day FROM watermark").fetchone()
        return date.fromisoformat(row[0]) if row else None

    def knows(self, hashed: str) -> bool:
        """Return True for an instance that was fetched, or refused for good."""
        asked = "SELECT 1 FROM instances WHERE hash = ?"
        return self._db.execute(asked, (hashed,)).fetchone() is not None

    def enter(self, hashed: str, code: str = "") -> None:
        """Enter an instance whose file is on the disk, or the code of its refusal."""
        with storing(self._folder):
            self._db.execute("INSERT OR REPLACE INTO instances VALUES (?, ?)", (hashed, code))

    def study_is_done(self, hashed: str, instances: int | None) -> bool:
        """Return True when the study had as many instances when it was last fetched whole."""
        if instances is None:
            return False
        asked = "SELECT 1 FROM studies WHERE hash = ? AND instances = ?"
        return self._db.execute(asked, (hashed, instances)).fetchone() is not None

    def finish_study(self, hashed: str, instances: int | None) -> None:
        """Enter a study of which every mammogram is here."""
        with storing(self._folder):
            self._db.execute("INSERT OR REPLACE INTO studies VALUES (?, ?)", (hashed, instances))

    def raise_watermark(self, day: date) -> None:
        """Move the watermark forward to ``day``; it never goes back."""
        with storing(self._folder):
            self._db.execute(
                "INSERT INTO watermark VALUES (1, ?) ON CONFLICT (only_row) "
                "DO UPDATE SET day = max(day, excluded.day)",
                (day.isoformat(),),
            )
