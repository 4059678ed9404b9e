"""The viewer at ``/``: a page and the files that it is made of, all from this machine.

The page is the same for everybody and holds nothing of an exam; what it shows it asks for with
the reader's token.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from bentos.screening.viewer.bundle import DIST, PAGE

FILES = "/viewer"


class ViewerFiles(StaticFiles):
    """The bundle's files; a browser asks each time whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with the file, or 304 where the browser has it."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def add_viewer(app: FastAPI) -> None:
    """Add the page and its files."""
    app.mount(FILES, ViewerFiles(directory=DIST), name="viewer-files")

    @app.get("/", include_in_schema=False)
    async def viewer() -> FileResponse:
        return FileResponse(DIST / PAGE, media_type="text/html")
