"""The route of outcomes: what became of exams, weeks or years later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request

from bentos.screening import schema

if TYPE_CHECKING:
    from bentos.screening.work import Service

OutcomesIn = schema.OutcomeIn | list[schema.OutcomeIn]


def add_outcomes(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.post(
        "/v1/outcomes",
        tags=["outcomes"],
        summary="Tell what became of exams",
        response_model=schema.OutcomesAnswer,
        responses=schema.problems(400, 413, 415, 422, 503, 507),
    )
    async def add_outcomes(request: Request, outcomes: OutcomesIn) -> schema.OutcomesAnswer:
        """Store one outcome or a list; the same outcome again changes nothing.

        A list with a malformed outcome is refused as a whole. An outcome of an
        exam that was never scored here is stored and counted.
        """
        several = outcomes if isinstance(outcomes, list) else [outcomes]
        answer: schema.OutcomesAnswer = await service.run(service.store, several)
        await service.note_each(
            request, "outcome", list(dict.fromkeys(one.exam for one in several))
        )
        return answer
