"""The HTTP face of screening: parse, call the library, translate the answer.

Nothing that could hold a patient's name reaches the log: no body, no file name,
no path as it was asked for, no text of an unexpected error.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bentos.screening import schema
from bentos.screening.edge import Watch, add_errors
from bentos.screening.metrics import Metrics
from bentos.screening.rollout import Load, Rollout
from bentos.screening.upload import BodyLimit, ReceivedFile, receive_files, require_some
from mammo import INTENDED_USE, __version__
from mammo.errors import ExamUnknown
from mammo.prediction_log import PredictionLog
from mammo.reading import ViewReader
from mammo.screening import ExamReport, Screener
from mammo.settings import Settings, read_settings

EXAMS = "/v1/exams"

DESCRIPTION = f"""Scores screening mammography exams sent as DICOM.

**{INTENDED_USE}**

Send all files of one exam together. Files that cannot be read are listed in `refused`
and the exam is scored from the rest. Each request is scored and logged anew, so the same
exam sent twice gives two predictions in the log; the latest one counts. Errors are
`application/problem+json` with a stable `code`.
"""

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
                            "description": "the DICOM files of one exam, in any order",
                        }
                    },
                }
            },
            "application/dicom": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

FRAMEWORK_ERROR = {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}
OutcomesIn = schema.OutcomeIn | list[schema.OutcomeIn]


class Service:
    """What the routes work with: settings, log, rollout and metrics."""

    def __init__(self, settings: Settings, load: Load | None, embedded: Path | None) -> None:
        self.settings = settings
        self.reader = ViewReader.of(settings) if load is None else None
        load = load or partial(Screener.load, reader=self.reader)
        self.log = PredictionLog(settings.log_url, pooled=True)
        self.rollout = Rollout(settings.pointer_path, load, embedded)
        self.metrics = Metrics(self.rollout)
        self.threads = anyio.CapacityLimiter(max(2, os.cpu_count() or 1))

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``work`` in a thread, so that the event loop lives."""
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self.threads)

    def score(self, files: list[ReceivedFile]) -> ExamReport:
        """Score an exam and commit the prediction to the log; then it may be answered.

        Files go by their position: names stay with the caller.
        """
        current = self.rollout.require()
        numbered = [(str(i), one.data) for i, one in enumerate(files, start=1)]
        key, site = self.settings.pseudonym_key(), self.settings.site
        with self.metrics.stage("score"):
            report = current.screener.score_files(numbered, key=key, site=site)
        with self.metrics.stage("log"):
            self.log.append_exam(report.to_log_rows())
        self.metrics.count_report(report)
        return report

    def store(self, outcomes: list[schema.OutcomeIn]) -> schema.OutcomesAnswer:
        """Store outcomes; those already known word for word change nothing."""
        new = self.log.add_outcomes([one.to_outcome() for one in outcomes])
        known = self.log.known_exams(one.exam for one in outcomes)
        unknown = sum(one.exam not in known for one in outcomes)
        counts = {"new": new, "repeated": len(outcomes) - new, "exam_unknown": unknown}
        for kind, number in counts.items():
            self.metrics.outcomes.labels(kind).inc(number)
        return schema.OutcomesAnswer(
            received=len(outcomes),
            new=new,
            repeated=len(outcomes) - new,
            exams_unknown=unknown,
        )


def create_app(
    settings: Settings | None = None,
    *,
    load: Load | None = None,
    embedded: Path | None = None,
) -> FastAPI:
    """Build the app; files and database are first touched when it starts.

    Parameters
    ----------
    settings
        Read from the environment when left out.
    load
        Loads a release folder; `Screener.load` when left out.
    embedded
        A release folder to serve while there is no pointer.
    """
    service = Service(settings or read_settings(), load, embedded)
    app = FastAPI(
        title="mammo screening",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lambda _app: _live(service),
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    add_errors(app, service.rollout, service.metrics)
    _add_exams(app, service)
    _add_outcomes(app, service)
    _add_release(app, service)
    _add_health(app, service)
    _add_docs(app)
    app.openapi = _told_as_problems(app.openapi)  # type: ignore[method-assign]
    app.add_middleware(BodyLimit, exams_path=EXAMS, max_request_mb=service.settings.max_request_mb)
    app.add_middleware(Watch, metrics=service.metrics)
    return app


@asynccontextmanager
async def _live(service: Service) -> AsyncIterator[None]:
    """Open the log, load the release, then follow the pointer until shutdown."""
    _quieten_readers()
    if service.reader is not None:
        service.reader.start()  # its processes start while the release loads
    await asyncio.to_thread(service.log.create)
    await asyncio.to_thread(service.rollout.check)
    following = asyncio.create_task(service.rollout.follow())
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        service.log.close()


def _quieten_readers() -> None:
    """Keep the DICOM library from writing values of headers, names among them, to the log."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")


def _add_exams(app: FastAPI, service: Service) -> None:
    @app.post(
        EXAMS,
        tags=["exams"],
        summary="Score one exam",
        response_model=schema.ScoredExam,
        responses=schema.problems(400, 413, 415, 422, 503),
        openapi_extra=FILES_BODY,
    )
    async def score_exam(request: Request) -> schema.ScoredExam:
        service.rollout.require()
        with service.metrics.stage("receive"):
            files = await receive_files(request, service.settings.max_file_mb)
        require_some(files)
        names = request.state.file_names = [one.name for one in files]
        return schema.ScoredExam.of(await service.run(service.score, files), names)

    @app.get(
        f"{EXAMS}/{{exam}}",
        tags=["exams"],
        summary="The latest scoring of an exam",
        response_model=schema.LoggedExam,
        responses=schema.problems(404),
    )
    async def get_exam(exam: str) -> schema.LoggedExam:
        row = await service.run(service.log.exam_report, exam)
        if row is None:
            raise ExamUnknown("No prediction is logged under this exam id.")
        return schema.LoggedExam.of(row)


def _add_outcomes(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/outcomes",
        tags=["outcomes"],
        summary="Tell what became of exams",
        response_model=schema.OutcomesAnswer,
        responses=schema.problems(413, 422),
    )
    async def add_outcomes(outcomes: OutcomesIn) -> schema.OutcomesAnswer:
        """Store one outcome or a list; the same outcome again changes nothing.

        A list with a malformed outcome is refused as a whole. An outcome of an
        exam that was never scored here is stored and counted.
        """
        several = outcomes if isinstance(outcomes, list) else [outcomes]
        answer: schema.OutcomesAnswer = await service.run(service.store, several)
        return answer


def _add_release(app: FastAPI, service: Service) -> None:
    @app.get(
        "/v1/release",
        tags=["release"],
        summary="The release in service",
        response_model=schema.ReleaseAnswer,
        responses=schema.problems(503),
    )
    async def get_release() -> schema.ReleaseAnswer:
        return schema.ReleaseAnswer.of(service.rollout.require(), service.rollout.refused)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["health"], summary="Does the process live?")
    async def healthz() -> schema.HealthAnswer:
        return schema.HealthAnswer()

    @app.get(
        "/readyz",
        tags=["health"],
        summary="Can it score?",
        responses=schema.problems(503),
    )
    async def readyz() -> schema.ReadyAnswer:
        refused = schema.RefusedRelease.of(service.rollout.refused)
        return schema.ReadyAnswer(release=service.rollout.require().release.id, refused=refused)

    @app.get("/metrics", tags=["health"], summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        text = await service.run(generate_latest, service.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _told_as_problems(openapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Let the document say what refusals are: problem+json, never the framework's own."""

    def told() -> dict[str, Any]:
        document = openapi()
        operations = [one for path in document["paths"].values() for one in path.values()]
        for responses in (operation["responses"] for operation in operations):
            for status in [one for one in responses if not one.startswith("2")]:
                content = responses[status].get("content", {})
                model = content.pop("application/json", None)
                if model == FRAMEWORK_ERROR:
                    del responses[status]
                elif model is not None:
                    content[schema.PROBLEM] = model
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document

    return told


def _add_docs(app: FastAPI) -> None:
    """Serve the OpenAPI page from files on this machine: a hospital has no internet."""
    app.mount("/docs/assets", StaticFiles(directory=swagger_assets()), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon-light-32x32.png",
        )

    @app.get("/", include_in_schema=False)
    async def index() -> RedirectResponse:
        return RedirectResponse("/docs")


def swagger_assets() -> Path:
    """Return the folder of Swagger UI's files, which BentoML brings along."""
    package = importlib.util.find_spec("bentoml")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "_internal" / "server" / "static_content"
