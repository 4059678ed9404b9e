"""The list of past exams: the prediction log, the gateway's book, and what failed, as one.

    GET /v1/exams?limit=50&before=CURSOR&search=TEXT&state=STATE

An exam of the log is one line, its latest answered scoring, with what the book says of its
study. A study is a line of its own while nothing of it is logged. A request that failed
before its exam was known is one, too, until the same request is answered. Each of the
three is read backwards by its own number, so that a page costs the same wherever it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Query, Request

from bentos.gateway.book import Book
from bentos.screening import schema
from bentos.screening.exams import EXAMS
from bentos.screening.worklist_lines import failed_line, scored_line, study_line, study_marks
from mammo.contract_worklist import ExamState, WorklistAnswer
from mammo.errors import RequestError

if TYPE_CHECKING:
    from bentos.screening.work import Service

CURSOR = r"^[a-z-]+\.[0-9]{1,15}(_[a-z-]+\.[0-9]{1,15})*$"
BATCH = 200
MOST_LOOKED_AT = 2000
"""Lines that one page looks at where a state is asked for that few exams are in."""
OPEN_STATES: tuple[ExamState, ...] = ("receiving", "waiting", "scoring", "failed")
"""States in which a study may have no line in the log."""


@dataclass(frozen=True)
class Asked:
    """What a page is asked for; ``before`` are the numbers after which each source goes on."""

    limit: int
    search: str
    state: ExamState | None
    before: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A line, where its source goes on behind it, and where it belongs in time."""

    at: datetime
    source: str
    number: int
    line: dict[str, Any]


def add_worklist(app: FastAPI, service: Service) -> None:
    """Add the route."""
    book = Book(service.settings.gateway_book)

    @app.get(
        EXAMS,
        tags=["exams"],
        summary="Past exams, the newest first",
        response_model=WorklistAnswer,
        responses=schema.problems(400, 503),
    )
    async def get_exams(
        request: Request,
        limit: int = Query(default=50, ge=1, le=200),
        before: str | None = Query(
            default=None, pattern=CURSOR, description="`next` of the page before"
        ),
        search: str = Query(
            default="", max_length=200, description="a part of exam, site, scanner or release"
        ),
        state: ExamState | None = None,
    ) -> Any:
        """List them; no line names a patient."""
        asked = Asked(limit, search.strip(), state, read_cursor(before))
        answer = await service.run(Pages(service, book).page, asked)
        await service.note(request, "worklist", None, None)
        return answer


class Pages:
    """Reads pages of the list."""

    def __init__(self, service: Service, book: Book) -> None:
        self._service, self._log, self._book = service, service.log, book

    def page(self, asked: Asked) -> dict[str, Any]:
        """Return a page, as `WorklistAnswer`."""
        newest = merge(*self._sources(asked), key=lambda one: one.at, reverse=True)
        lines, numbers = list[dict[str, Any]](), dict(asked.before)
        for place in islice(newest, MOST_LOOKED_AT):
            numbers[place.source] = place.number
            if asked.state in (None, place.line["state"]):
                lines.append(place.line)
            if len(lines) == asked.limit:
                break
        more = next(newest, None) is not None
        return {"exams": lines, "next": write_cursor(numbers) if more else None}

    def _sources(self, asked: Asked) -> list[Iterator[Place]]:
        """Return what can have a line in the state asked for; the log has all that were scored."""
        if asked.state is None:
            studies = [self._studies(asked, one) for one in OPEN_STATES]
            return [self._scored(asked), self._failed(asked), *studies]
        if asked.state not in OPEN_STATES:
            return [self._scored(asked)]
        failed = [self._failed(asked)] if asked.state == "failed" else []
        return [self._studies(asked, asked.state), *failed]

    def _scored(self, asked: Asked) -> Iterator[Place]:
        before = asked.before.get("log")
        size = min(BATCH, asked.limit + 1)
        while rows := self._log.exam_lines(before=before, limit=size, search=asked.search):
            marks = study_marks(self._service.settings.gateway_book, _exams(rows))
            outcomes = self._log.exam_outcomes(_exams(rows))
            for row in rows:
                exam = row["exam_id"]
                line = scored_line(self._service, row, marks.get(exam), outcomes.get(exam))
                yield Place(row["scored_at"], "log", row["id"], line)
            before, size = rows[-1]["id"], BATCH

    def _failed(self, asked: Asked) -> Iterator[Place]:
        before = asked.before.get("failed")
        while rows := self._log.failed_requests(before=before, limit=BATCH, search=asked.search):
            for row in rows:
                yield Place(row["at"], "failed", row["id"], failed_line(row))
            before = rows[-1]["id"]

    def _studies(self, asked: Asked, state: ExamState) -> Iterator[Place]:
        """Yield studies in a state: without ``asked.state``, those that the log does not have."""
        name = f"book-{state}"
        before: int | None = asked.before.get(name)
        while True:
            page = self._book.studies(BATCH, before, state=state, search=asked.search)
            known = self._log.lines_of([one.study for one in page.studies])
            outcomes = self._log.exam_outcomes(list(known))
            for one in page.studies:
                row = known.get(one.study)
                if row is not None and asked.state is None:
                    continue
                line = study_line(self._service, one, row, outcomes.get(one.study))
                at = datetime.fromisoformat(one.received_at)
                yield Place(at, name, one.cursor, line)
            if (before := page.next) is None:
                return


def _exams(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["exam_id"] for row in rows]


def write_cursor(numbers: dict[str, int]) -> str:
    """Return where to go on, as one word for a URL: ``failed.3_log.120``."""
    return "_".join(f"{name}.{number}" for name, number in sorted(numbers.items()))


def read_cursor(text: str | None) -> dict[str, int]:
    """Return where to go on. Raises RequestError for what no page has said."""
    if text is None:
        return {}
    if not re.fullmatch(CURSOR, text):
        raise RequestError(
            "`before` is no cursor of this list; take `next` of the page before, or leave it out."
        )
    parts = (part.split(".") for part in text.split("_"))
    return {name: int(number) for name, number in parts}
