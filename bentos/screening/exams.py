"""The routes of exams: score, look up, heat map, findings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from bentos.screening import schema
from bentos.screening.access import require_own
from bentos.screening.answering import Answered, Order
from bentos.screening.asked import Asked, digest_files, require_same
from bentos.screening.jobs import new_job
from bentos.screening.upload import receive_files, require_some
from mammo.errors import ExamUnknown
from mammo.patience import Patience
from mammo.results import KeptResult

if TYPE_CHECKING:
    from bentos.screening.work import Service

EXAMS, JOBS = "/v1/exams", "/v1/jobs"
REPLAYED = "Idempotency-Replayed"

FILES_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "the DICOM files of one exam, in any order, or a ZIP",
                        }
                    },
                }
            },
            "application/dicom": {"schema": {"type": "string", "format": "binary"}},
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
HEADERS = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
            "description": "names the request: sent again, it gives the same answer "
            "and is logged once",
        },
        {
            "name": "Prefer",
            "in": "header",
            "schema": {"type": "string"},
            "description": "RFC 7240: `respond-async` for 202 and a job, `wait=SECONDS` to bound "
            "the wait",
            "example": "wait=60",
        },
    ]
}
Responses = dict[int | str, dict[str, Any]]
ACCEPTED: Responses = {
    202: {"model": schema.Job, "description": "Kept durably; the job's link tells more."}
}
PNG: Responses = {200: {"content": {"image/png": {}}, "description": "The views under their heat."}}


def add_exams(app: FastAPI, service: Service) -> None:
    """Add the routes."""
    _add_scoring(app, service)
    _add_lookup(app, service)
    _add_results(app, service)
    _add_jobs(app, service)


def _add_scoring(app: FastAPI, service: Service) -> None:
    @app.post(
        EXAMS,
        tags=["exams"],
        summary="Score one exam",
        response_model=schema.ScoredExam,
        responses=ACCEPTED | schema.problems(400, 408, 409, 413, 415, 422, 503, 504, 507),
        openapi_extra=FILES_BODY | HEADERS,
    )
    async def score_exam(request: Request) -> Response:
        """Score the views of one exam and answer when the prediction is in the log.

        With `Prefer: respond-async` the exam is kept and `202` names the job that
        scores it. With an `Idempotency-Key` the request may be sent again.
        """
        service.rollout.require()
        caller, limits = request.state.caller, service.settings
        asked = Asked.read(request.headers, caller.name, service.settings.exam_seconds)
        with service.admission.upload(_stated_bytes(request)):
            with service.metrics.stage("receive"):
                files = await receive_files(
                    request, limits.arriving_dir, limits.max_file_mb, limits.max_request_mb
                )
            require_some(files)
            request.state.file_names = [one.name for one in files]
            named = asked.repeatable or asked.later  # else nobody will ask whether it is the same
            digest: str = await service.run(digest_files, files) if named else ""
            if asked.later:
                job = new_job(asked.request_id, caller.name, sorted(caller.roles), files, digest)
                return await _accept(service, job, files)
            order = Order(
                asked.request_id, caller.name, tuple(sorted(caller.roles)), files, digest or None,
                Patience(asked.seconds), asked.repeatable, asked.study,
            )  # fmt: skip
            with service.admission.enter():
                request.state.waits_for_score = True  # `edge.Watch` knows when it began
                async with _watched(request, order.patience):
                    answered = await service.score(order)
                request.state.waits_for_score = not answered.replayed
                return _answer(answered)


def _stated_bytes(request: Request) -> int:
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isdigit() else 0


async def _accept(service: Service, job: Any, files: list[Any]) -> Response:
    kept = await service.run(service.jobs.accept, job, files)
    require_same(kept.files_sha256, job.files_sha256)
    service.runner.wake()
    answer = await service.run(service.tell_job, kept)
    headers = {"Location": f"{JOBS}/{kept.id}", "Preference-Applied": "respond-async"}
    return _json(answer.model_dump(mode="json"), 202, headers)


def _answer(answered: Answered) -> Response:
    return _json(answered.body, 200, {REPLAYED: "true"} if answered.replayed else {})


def _json(body: dict[str, Any], status: int, headers: dict[str, str]) -> Response:
    text = json.dumps(body, allow_nan=False, separators=(",", ":"))
    return Response(text, status, headers, "application/json")


@asynccontextmanager
async def _watched(request: Request, patience: Patience) -> AsyncIterator[None]:
    """End the patience of a caller who closes the connection."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        patience.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _add_lookup(app: FastAPI, service: Service) -> None:
    @app.get(
        f"{EXAMS}/{{exam}}",
        tags=["exams"],
        summary="The latest scoring of an exam",
        response_model=schema.LoggedExam,
        responses=schema.problems(404, 503),
    )
    async def get_exam(request: Request, exam: str) -> schema.LoggedExam:
        row = await service.run(service.durable.exam_report, exam)
        if row is None:
            raise ExamUnknown("No prediction is logged under this exam id.")
        await service.note(request, "read", exam, row["release_id"])
        answer: schema.LoggedExam = await service.run(service.tell_exam, row)
        return answer


def _add_results(app: FastAPI, service: Service) -> None:
    async def told(request: Request, exam: str, what: str, tell: str) -> Any:
        """Return what a kept result tells, once the audit log knows who saw it."""
        kept: KeptResult = await service.run(service.latest_kept, exam)
        content = await service.run(getattr(kept, tell))
        await service.note(request, what, exam, kept.answer["release"])
        return content

    @app.get(
        f"{EXAMS}/{{exam}}/heatmap.png",
        tags=["exams"],
        summary="Where the score comes from, as a picture",
        response_class=Response,
        responses=PNG | schema.problems(404, 503),
    )
    async def get_heatmap(request: Request, exam: str) -> Response:
        return Response(await told(request, exam, "heatmap", "heatmap_png"), media_type="image/png")

    @app.get(
        f"{EXAMS}/{{exam}}/findings",
        tags=["exams"],
        summary="Where the score comes from, as boxes",
        response_model=schema.FindingsAnswer,
        responses=schema.problems(404, 503),
    )
    async def get_findings(request: Request, exam: str) -> Any:
        return await told(request, exam, "findings", "findings")


def _add_jobs(app: FastAPI, service: Service) -> None:
    @app.get(
        f"{JOBS}/{{job}}",
        tags=["exams"],
        summary="How far an accepted exam is",
        response_model=schema.Job,
        responses=schema.problems(404, 503),
    )
    async def get_job(request: Request, job: str) -> schema.Job:
        stored = await service.run(service.jobs.read, job)
        require_own(request.state.caller, stored.who)
        answer: schema.Job = await service.run(service.tell_job, stored)
        if answer.exam is not None:
            await service.note(request, "job", answer.exam.exam, answer.exam.release)
        return answer
