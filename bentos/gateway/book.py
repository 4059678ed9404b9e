"""What came in over DICOM and what became of it, read from ``gateway.sqlite`` alone.

    book = Book(settings.gateway_book)
    page = book.studies(limit=50, state="failed")
    book.study(page.studies[0].study)

A study is called by its exam's pseudonym; nothing here names a patient.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from bentos.gateway.tables import reading
from mammo.errors import StudyUnknown

State = Literal["receiving", "waiting", "scoring", "scored", "partly", "failed"]
"""Images still come; quiet, and in the queue or tried again; at the service; scored; scored
without something (an image left out, a view missing); cannot be scored, ``code`` says why."""
STATES: tuple[str, ...] = get_args(State)
MOST_STUDIES = 500
_LINES = """
SELECT s.*, c.answer, c.scored_at, c.images AS scored_images,
    (SELECT count(*) FROM images i WHERE i.study = s.key) AS images,
    (SELECT count(*) FROM incidents n WHERE n.study = s.key) AS incidents
FROM studies s LEFT JOIN scorings c ON c.study = s.key AND c.version = s.version
"""


@dataclass(frozen=True)
class StudyLine:
    """One study; times are UTC as ISO 8601, what is not known yet is None.

    ``study`` is the opaque key, the same text as the exam's pseudonym; ``exam``,
    ``request``, ``release``, ``score``, ``scale``, ``decision``, ``quality`` and
    ``abstention`` are of the latest scoring that gave an answer for this version;
    ``abstention`` is None where that answer did not know it.
    ``version`` counts the scorings, ``incidents`` what an administrator should look at.
    ``next_try_at`` is there while the service is away.
    """

    study: str
    state: State
    code: str | None
    text: str
    incident: bool
    incidents: int
    images: int
    version: int
    reported: int
    received_at: str
    last_received_at: str
    scored_at: str | None
    tries: int
    next_try_at: str | None
    exam: str | None
    request: str | None
    release: str | None
    score: float | None
    scale: int | None
    decision: str | None
    quality: tuple[str, ...]
    abstention: tuple[str, ...] | None
    cursor: int

    def to_json(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        reserves = None if self.abstention is None else list(self.abstention)
        return asdict(self) | {"quality": list(self.quality), "abstention": reserves}


@dataclass(frozen=True)
class ImageLine:
    """One object as it was received; ``code`` says why it was not scored, None where it was.

    ``source`` is the AE title it came from, or ``stow``; ``bytes`` the size of its data set.
    """

    image: str
    sop_class: str
    bytes: int
    source: str
    code: str | None
    received_at: str


@dataclass(frozen=True)
class IncidentLine:
    """Something an administrator should look at; ``kept`` where the other bytes are on disk."""

    image: str | None
    code: str
    text: str
    source: str
    kept: bool
    at: str


@dataclass(frozen=True)
class ScoringLine:
    """One scoring of a study, or one failure to score it."""

    version: int
    images: int
    state: State
    code: str | None
    text: str
    request: str | None
    scored_at: str


@dataclass(frozen=True)
class Study:
    """A study with everything that is known of it."""

    line: StudyLine
    images: tuple[ImageLine, ...]
    incidents: tuple[IncidentLine, ...]
    scorings: tuple[ScoringLine, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what JSON has of it; the lists under ``image_list`` and so on."""
        return self.line.to_json() | {
            "image_list": [asdict(one) for one in self.images],
            "incident_list": [asdict(one) for one in self.incidents],
            "scoring_list": [asdict(one) for one in self.scorings],
        }


@dataclass(frozen=True)
class Page:
    """Some studies, newest first; ``next`` is what ``before`` wants for the next page."""

    studies: tuple[StudyLine, ...]
    next: int | None


class Book:
    """Reads the book of a gateway; a book that is not there has no studies."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def studies(
        self,
        limit: int = 50,
        before: int | None = None,
        *,
        state: str | None = None,
        search: str | None = None,
        incident: bool = False,
    ) -> Page:
        """Return a page of studies, the latest to arrive first.

        ``search`` is the beginning of a key or any part of it; ``incident`` keeps the
        studies that have one. At most `MOST_STUDIES` a page.
        """
        limit = max(1, min(limit, MOST_STUDIES))
        wanted, values = ["1"], list[Any]()
        for clause, value in (
            ("s.number < ?", before),
            ("s.state = ?", state),
            ("s.key LIKE ? ESCAPE '\\'", search and f"%{_escaped(search)}%"),
        ):
            if value is not None and value != "":
                wanted.append(clause)
                values.append(value)
        if incident:
            wanted.append("EXISTS (SELECT 1 FROM incidents n WHERE n.study = s.key)")
        order = f"WHERE {' AND '.join(wanted)} ORDER BY s.number DESC LIMIT ?"
        with reading(self.path) as book:
            rows = [] if book is None else book.execute(_LINES + order, (*values, limit + 1))
            lines = [_study_line(row) for row in rows]
        more = len(lines) > limit
        return Page(tuple(lines[:limit]), lines[limit - 1].cursor if more else None)

    def study(self, key: str) -> Study:
        """Return a study by its key. Raises `StudyUnknown`."""
        with reading(self.path) as book:
            found = None if book is None else _everything_of(book, key)
        if found is None:
            raise StudyUnknown(
                "No study of this key came in over DICOM; `mammo studies` lists those that did."
            )
        return found

    def loose_incidents(self, limit: int = 20) -> tuple[IncidentLine, ...]:
        """Return the latest incidents of which nobody knows the study, newest first."""
        query = "SELECT * FROM incidents WHERE study IS NULL ORDER BY number DESC LIMIT ?"
        with reading(self.path) as book:
            rows = [] if book is None else book.execute(query, (limit,)).fetchall()
        return tuple(map(_incident_line, rows))

    def counts(self) -> dict[str, int]:
        """Return how many studies are in each state, and ``incident``: how many have one."""
        told = dict.fromkeys((*STATES, "incident"), 0)
        with reading(self.path) as book:
            if book is not None:
                told |= dict(book.execute("SELECT state, count(*) FROM studies GROUP BY state"))
                (told["incident"],) = book.execute(
                    "SELECT count(DISTINCT study) FROM incidents"
                ).fetchone()
        return told


_TABLES = ("images", "incidents", "scorings")
_OF_STUDY = "SELECT rowid, * FROM {} WHERE study = ? ORDER BY rowid"


def _everything_of(book: sqlite3.Connection, key: str) -> Study | None:
    line = book.execute(_LINES + "WHERE s.key = ?", (key,)).fetchone()
    if line is None:
        return None
    rows = [book.execute(_OF_STUDY.format(table), (key,)).fetchall() for table in _TABLES]
    refused = json.loads(rows[2][-1]["refused"]) if rows[2] else {}
    return Study(
        _study_line(line),
        tuple(_image_line(row, refused) for row in rows[0]),
        tuple(map(_incident_line, rows[1])),
        tuple(map(_scoring_line, rows[2])),
    )


def _escaped(search: str) -> str:
    return search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _at(seconds: float | None) -> str | None:
    return None if not seconds else datetime.fromtimestamp(seconds, UTC).isoformat()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _study_line(row: sqlite3.Row) -> StudyLine:
    answer = json.loads(row["answer"] or "{}")
    return StudyLine(
        study=row["key"],
        state=row["state"],
        code=row["code"],
        text=row["text"],
        incident=row["incidents"] > 0,
        incidents=row["incidents"],
        images=row["images"],
        version=row["version"],
        reported=row["reported"],
        received_at=_time(row["first_received_at"]),
        last_received_at=_time(row["last_received_at"]),
        scored_at=_at(row["scored_at"]),
        tries=row["tries"],
        next_try_at=_at(row["next_try_at"]) if row["state"] == "waiting" else None,
        exam=answer.get("exam"),
        request=answer.get("request"),
        release=answer.get("release"),
        score=answer.get("score"),
        scale=answer.get("scale"),
        decision=answer.get("decision"),
        quality=tuple(answer.get("quality", ())),
        abstention=_reserves(answer),
        cursor=row["number"],
    )


def _reserves(answer: dict[str, Any]) -> tuple[str, ...] | None:
    """Return an answer's abstention codes: none without an answer, None where it has none."""
    told = answer.get("abstention") if answer else ()
    return None if told is None else tuple(told)


def _image_line(row: sqlite3.Row, refused: dict[str, str]) -> ImageLine:
    names = ("sop_class", "bytes", "source")
    return ImageLine(
        image=row["key"],
        received_at=_time(row["received_at"]),
        code=row["code"] or refused.get(row["key"]),
        **{one: row[one] for one in names},
    )


def _incident_line(row: sqlite3.Row) -> IncidentLine:
    names = ("image", "code", "text", "source")
    kept = row["file"] is not None
    return IncidentLine(kept=kept, at=_time(row["at"]), **{one: row[one] for one in names})


def _scoring_line(row: sqlite3.Row) -> ScoringLine:
    answer = json.loads(row["answer"] or "{}")
    names = ("version", "images", "state", "code", "text")
    return ScoringLine(
        request=answer.get("request"),
        scored_at=_time(row["scored_at"]),
        **{one: row[one] for one in names},
    )
