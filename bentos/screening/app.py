"""The HTTP face of screening: what there is, how it starts and how it ends.

Nothing that could hold a patient's name reaches the log: no body, no file name,
no path as it was asked for, no text of an unexpected error.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from bentos.screening import schema
from bentos.screening.access import Access, SecurityHeaders, secure
from bentos.screening.edge import Watch, add_errors
from bentos.screening.exams import EXAMS, add_exams
from bentos.screening.image_routes import add_images
from bentos.screening.operations import add_operations
from bentos.screening.outcomes import add_outcomes
from bentos.screening.report_routes import add_reports
from bentos.screening.rollout import Load
from bentos.screening.running import live
from bentos.screening.stow_routes import add_stow
from bentos.screening.study_routes import add_studies
from bentos.screening.upload import BodyLimit
from bentos.screening.viewer_routes import add_viewer
from bentos.screening.work import Service
from bentos.screening.worklist import add_worklist
from mammo import INTENDED_USE, __version__
from mammo.settings import Settings, read_settings

DESCRIPTION = f"""Scores screening mammography exams sent as DICOM.

**{INTENDED_USE}**

Send all files of one exam together, or a ZIP of them. Files that cannot be read are
listed in `refused` and the exam is scored from the rest. Each request is scored and logged
anew, so the same exam sent twice gives two predictions in the log and the latest one counts;
an `Idempotency-Key` makes a request that is sent again the same request. Errors are
`application/problem+json` with a stable `code`.
"""
FRAMEWORK_ERROR = {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}


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
        Loads a release folder; verified against digest and signature when left out.
    embedded
        A release folder to serve while there is no pointer.
    """
    service = Service(settings or read_settings(), load, embedded)
    app = FastAPI(
        title="mammo screening",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lambda _app: live(service),
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    add_errors(app, service.rollout, service.metrics)
    add_exams(app, service)
    add_reports(app, service)
    add_images(app, service)
    add_worklist(app, service)
    add_studies(app, service)
    add_stow(app, service)
    add_outcomes(app, service)
    add_operations(app, service)
    add_viewer(app)
    _add_docs(app)
    app.openapi = _told_as_problems(app.openapi, service.settings)  # type: ignore[method-assign]
    _wrap(app, service)
    return app


def _wrap(app: FastAPI, service: Service) -> None:
    """Put the middlewares around the routes; the last is the outermost."""
    limit = service.settings.max_request_mb
    app.add_middleware(BodyLimit, exams_path=EXAMS, max_request_mb=limit)
    app.add_middleware(
        Access,
        settings=service.settings,
        tokens=service.tokens,
        on_refused=lambda code, _caller, _scope: service.metrics.refusals.labels(code).inc(),
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Watch, metrics=service.metrics)


def _told_as_problems(
    openapi: Callable[[], dict[str, Any]], settings: Settings
) -> Callable[[], dict[str, Any]]:
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
        return secure(document, settings)

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


def swagger_assets() -> Path:
    """Return the folder of Swagger UI's files, which BentoML brings along."""
    package = importlib.util.find_spec("bentoml")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "_internal" / "server" / "static_content"
