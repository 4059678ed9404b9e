"""The routes of studies: what came in by DICOM and what became of it.

They read the gateway's book and nothing else: they answer while the gateway is down, and
an installation that never had one has no studies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel

from bentos.gateway.book import MOST_STUDIES, Book, ImageLine, IncidentLine, ScoringLine, StudyLine
from bentos.screening import schema
from bentos.screening.gateway_metrics import GatewayCollector

if TYPE_CHECKING:
    from bentos.screening.work import Service

STUDIES = "/v1/studies"
State = Literal["receiving", "waiting", "scoring", "scored", "partly", "failed"]
Limit = Annotated[int, Query(ge=1, le=MOST_STUDIES)]
Before = Annotated[int | None, Query(ge=1, description="`next` of the page before")]
Search = Annotated[str | None, Query(max_length=64, description="any part of a study's key")]


class StudiesAnswer(BaseModel):
    """Some studies, newest first; ``next`` is what ``before`` wants for the next page.

    ``loose_incidents`` are the latest of which nobody knows the study, such as a file that
    is no DICOM.
    """

    studies: list[StudyLine]
    next: int | None
    counts: dict[str, int]
    loose_incidents: list[IncidentLine] = []


class StudyAnswer(BaseModel):
    """One study: its state, each object that came, incidents, and every scoring."""

    study: StudyLine
    images: list[ImageLine]
    incidents: list[IncidentLine]
    scorings: list[ScoringLine]


def add_studies(app: FastAPI, service: Service) -> None:
    """Add the routes, and what `/metrics` tells of the gateway."""
    service.metrics.own.register(GatewayCollector(service.settings))
    book = Book(service.settings.gateway_book)

    @app.get(
        STUDIES,
        tags=["studies"],
        summary="What came in by DICOM, newest first",
        response_model=StudiesAnswer,
        responses=schema.problems(400),
    )
    async def list_studies(
        limit: Limit = 50,
        before: Before = None,
        state: State | None = None,
        search: Search = None,
        incident: bool = False,
    ) -> Any:
        """List studies with their states; `incident` keeps those an administrator should see."""

        def read() -> StudiesAnswer:
            page = book.studies(limit, before, state=state, search=search, incident=incident)
            return StudiesAnswer(
                studies=list(page.studies),
                next=page.next,
                counts=book.counts(),
                loose_incidents=list(book.loose_incidents()),
            )

        return await service.run(read)

    @app.get(
        f"{STUDIES}/{{study}}",
        tags=["studies"],
        summary="One study that came in by DICOM",
        response_model=StudyAnswer,
        responses=schema.problems(404),
    )
    async def get_study(request: Request, study: str) -> Any:
        """Tell everything of a study; who looked stands in the audit log."""
        found = await service.run(book.study, study)
        await service.note(request, "study", found.line.exam, found.line.release)
        return StudyAnswer(
            study=found.line,
            images=list(found.images),
            incidents=list(found.incidents),
            scorings=list(found.scorings),
        )
