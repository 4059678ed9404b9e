"""The states that a study goes through, written into the book.

    receiving -> waiting -> scoring -> scored | partly | failed
        ^___________________________________________|    a late image

Each step is one transaction. What a killed process left in `scoring` begins anew
(`recover`): the request's Idempotency-Key makes it the same request.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bentos.gateway.book import State
from bentos.gateway.bookings import add_incident
from bentos.gateway.objects import counts
from bentos.gateway.tables import SharedBook


@dataclass(frozen=True)
class Image:
    """One object of a study; ``file`` is in the inbox, ``code`` says why it is not scored."""

    key: str
    file: str
    sha256: str
    code: str | None


@dataclass(frozen=True)
class StudyWork:
    """A study that was claimed to be scored: its objects as they were at that moment."""

    study: str
    arrivals: int
    version: int
    tries: int
    last_image: int
    images: tuple[Image, ...]

    @property
    def scored(self) -> tuple[Image, ...]:
        """The images that the service is asked about, in the order of arrival."""
        return tuple(one for one in self.images if one.code is None)

    @property
    def left_out(self) -> tuple[Image, ...]:
        """The images that are told by their SOP class and not scored."""
        return tuple(one for one in self.images if one.code is not None and counts(one.code))

    @property
    def images_sha256(self) -> str:
        """What tells this set of images from another of the same study."""
        digests = sorted(one.sha256 for one in self.scored)
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    @property
    def key(self) -> str:
        """The Idempotency-Key: the same images of the same study are the same request."""
        return f"gateway-{self.study}-{self.images_sha256}"


@dataclass(frozen=True)
class Outcome:
    """What became of a scoring; ``answer`` is a `ScoredExam` as JSON, ``seed`` its documents'.

    ``refused`` are the codes of images that the service did not take, by image.
    """

    state: State
    code: str | None = None
    text: str = ""
    answer: Mapping[str, Any] | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    seed: str | None = None


class Ledger(SharedBook):
    """The book, for who has studies scored; safe to call from several threads."""

    def recover(self) -> int:
        """Put back what a killed process was scoring; return how many studies."""
        with self._lock:
            return self._book.execute(
                "UPDATE studies SET state = 'waiting', next_try_at = 0 WHERE state = 'scoring'"
            ).rowcount

    def settle(self, now: float, quiet_seconds: float) -> int:
        """Let studies wait for their scoring for which no image came for so long."""
        with self._lock:
            return self._book.execute(
                "UPDATE studies SET state = 'waiting', next_try_at = 0, tries = 0, code = NULL,"
                " text = '' WHERE state = 'receiving' AND last_received_at <= ?",
                (now - quiet_seconds,),
            ).rowcount

    def claim(self, now: float) -> StudyWork | None:
        """Take the study whose time came first; None where none waits whose time has come."""
        with self._alone() as book:
            row = book.execute(
                "SELECT * FROM studies WHERE state = 'waiting' AND next_try_at <= ?"
                " ORDER BY next_try_at, number LIMIT 1",
                (now,),
            ).fetchone()
            if row is None:
                return None
            book.execute("UPDATE studies SET state = 'scoring' WHERE key = ?", (row["key"],))
            (last,) = book.execute(
                "SELECT coalesce(max(number), 0) FROM images WHERE study = ?", (row["key"],)
            ).fetchone()
            return StudyWork(
                study=row["key"],
                arrivals=row["arrivals"],
                version=row["version"],
                tries=row["tries"],
                last_image=last,
                images=_images(book, row["key"], last),
            )

    def put_back(self, work: StudyWork, code: str, text: str, next_try_at: float) -> None:
        """Let a study wait until ``next_try_at``: the service was away, not the study wrong."""
        with self._lock:
            self._book.execute(
                "UPDATE studies SET state = 'waiting', code = ?, text = ?, tries = tries + 1,"
                " next_try_at = ? WHERE key = ? AND state = 'scoring'",
                (code, text, next_try_at, work.study),
            )

    def finish(self, work: StudyWork, outcome: Outcome, now: float) -> int:
        """Book the end of a scoring; return its version.

        Where an image came meanwhile, the study is receiving again.
        """
        version = work.version + 1
        answer = None if outcome.answer is None else json.dumps(outcome.answer, allow_nan=False)
        told = (outcome.state, outcome.code, outcome.text)
        with self._alone() as book:
            book.execute(
                "INSERT INTO scorings (study, version, images_sha256, images, last_image, state,"
                " code, text, answer, refused, scored_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (work.study, version, work.images_sha256, len(work.scored), work.last_image,
                 *told, answer, json.dumps(dict(outcome.refused)), now),
            )  # fmt: skip
            book.execute(
                "UPDATE studies SET state = CASE WHEN arrivals = ? THEN ? ELSE 'receiving' END,"
                " code = ?, text = ?, version = ?, tries = 0, next_try_at = 0 WHERE key = ?",
                (work.arrivals, *told, version, work.study),
            )
        return version

    def unreported(self) -> list[tuple[str, int]]:
        """Return the studies whose latest scoring has no reports in the outbox yet."""
        with self._lock:
            rows = self._book.execute(
                "SELECT key, version FROM studies WHERE reported < version ORDER BY number"
            ).fetchall()
        return [(row["key"], row["version"]) for row in rows]

    def scoring(self, study: str, version: int) -> tuple[Outcome, tuple[Image, ...]]:
        """Return one scoring of a study, and its objects at that time in the order of arrival."""
        with self._alone() as book:
            row = book.execute(
                "SELECT * FROM scorings WHERE study = ? AND version = ?", (study, version)
            ).fetchone()
            images = _images(book, study, row["last_image"])
        answer = None if row["answer"] is None else json.loads(row["answer"])
        refused = json.loads(row["refused"])
        outcome = Outcome(row["state"], row["code"], row["text"], answer, refused, row["seed"])
        return outcome, images

    def forget_files(self, before: float) -> list[str]:
        """Take the files of studies that are over since then out of the book; return them."""
        where = (
            "file != '' AND study IN (SELECT key FROM studies WHERE last_received_at < ?"
            " AND state IN ('scored', 'partly', 'failed') AND reported >= version)"
        )
        with self._alone() as book:
            files = book.execute(f"SELECT file FROM images WHERE {where}", (before,)).fetchall()
            others = book.execute(
                f"SELECT file FROM incidents WHERE file IS NOT NULL AND {where}", (before,)
            ).fetchall()
            book.execute(f"UPDATE images SET file = '' WHERE {where}", (before,))
            book.execute(f"UPDATE incidents SET file = NULL WHERE {where}", (before,))
        return [row["file"] for row in (*files, *others)]

    def has_file(self, file: str) -> bool:
        """True when a file of the inbox is an object's, or an incident's."""
        study = file.split("/")[0]
        with self._lock:
            return any(
                self._book.execute(
                    f"SELECT 1 FROM {table} WHERE study = ? AND file = ?", (study, file)
                ).fetchone()
                for table in ("images", "incidents")
            )

    def remove_file(self, inbox: Path, file: str) -> bool:
        """Remove a file of the inbox unless it is an object's or an incident's; True if it went.

        Under the book's lock: who books it meanwhile, also in another process, has done so
        before and keeps it, or finds it gone (`Bookings.book`).
        """
        with self._alone():
            if self.has_file(file):
                return False
            (inbox / file).unlink(missing_ok=True)
            return True

    def note_fault(self, study: str, code: str, text: str, now: float) -> None:
        """Note a fault of ours about a study, as an incident."""
        with self._alone() as book:
            add_incident(book, (study, None, code, text, None, None, "gateway", now))

    def earlier_seed(self, study: str, version: int) -> str | None:
        """Return the seed of the documents that a scoring's documents replace, or None."""
        with self._lock:
            row = self._book.execute(
                "SELECT seed FROM scorings WHERE study = ? AND version < ? AND seed IS NOT NULL"
                " ORDER BY version DESC LIMIT 1",
                (study, version),
            ).fetchone()
        return None if row is None else str(row["seed"])

    def set_reported(self, study: str, version: int, seed: str | None) -> None:
        """Note that a version's reports are in the outbox (``seed``), or that there are none."""
        with self._alone() as book:
            book.execute(
                "UPDATE scorings SET seed = ? WHERE study = ? AND version = ?",
                (seed, study, version),
            )
            book.execute(
                "UPDATE studies SET reported = max(reported, ?) WHERE key = ?", (version, study)
            )

    def next_due(self, quiet_seconds: float) -> float | None:
        """Return when the next study is due, in seconds since 1970; None where none is."""
        with self._lock:
            (at,) = self._book.execute(
                "SELECT min(CASE state WHEN 'receiving' THEN last_received_at + ? ELSE next_try_at"
                " END) FROM studies WHERE state IN ('receiving', 'waiting')",
                (quiet_seconds,),
            ).fetchone()
        return None if at is None else float(at)


def _images(book: sqlite3.Connection, study: str, last: int) -> tuple[Image, ...]:
    rows = book.execute(
        "SELECT key, file, sha256, code FROM images WHERE study = ? AND number <= ?"
        " ORDER BY number",
        (study, last),
    )
    return tuple(Image(*row) for row in rows)
