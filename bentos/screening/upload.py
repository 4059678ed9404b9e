"""Takes in the files of a request, within limits.

A file above 32 MB goes to an unnamed temporary file while it comes, and the
first byte above a limit ends the reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import SpooledTemporaryFile

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mammo.errors import EmptyRequest, RequestError, TooLarge, UnsupportedBody

MB = 2**20
SPOOL_BYTES = 32 * MB
JSON_LIMIT_MB = 16
MAX_FILES = 64
RAW_TYPES = ("application/dicom", "application/octet-stream")


@dataclass(frozen=True)
class ReceivedFile:
    """A file's bytes and the name under which the caller sent it."""

    name: str
    data: bytes


async def receive_files(request: Request, max_file_mb: int) -> list[ReceivedFile]:
    """Return the files of a multipart or application/dicom request, in order.

    Raises EmptyRequest, TooLarge, UnsupportedBody, and RequestError for a body
    that is not well-formed.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _receive_multipart(request, max_file_mb)
    if kind in RAW_TYPES:
        return await _receive_raw(request, max_file_mb)
    async for chunk in request.stream():
        if chunk:
            raise UnsupportedBody(
                f"The body is {kind or 'of no stated type'}; send multipart/form-data with one "
                "to many DICOM files, or one file as application/dicom."
            )
    return []


async def _receive_multipart(request: Request, max_file_mb: int) -> list[ReceivedFile]:
    parser = _LimitedParser(request.headers, request.stream(), max_files=MAX_FILES)
    parser.max_file_bytes = max_file_mb * MB
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RequestError(f"The multipart body is malformed: {error.message}") from error
    uploads = [item for _, item in form.multi_items() if isinstance(item, UploadFile)]
    try:
        return [ReceivedFile(one.filename or "", await one.read()) for one in uploads]
    finally:
        await form.close()


async def _receive_raw(request: Request, max_file_mb: int) -> list[ReceivedFile]:
    size = 0
    with SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        async for chunk in request.stream():
            size += len(chunk)
            _require_within(size, max_file_mb * MB, "The file")
            spool.write(chunk)
        spool.seek(0)
        return [ReceivedFile("", spool.read())] if size else []


class _LimitedParser(MultiPartParser):
    """Starlette's parser, ended by the first byte above a file's limit."""

    spool_max_size = SPOOL_BYTES
    max_file_bytes = 0
    _part_bytes = 0
    _parts = 0

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._part_bytes = 0
        self._parts += 1

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._part_bytes += end - start
        _require_within(self._part_bytes, self.max_file_bytes, f"File {self._parts}")
        super().on_part_data(data, start, end)


def _require_within(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise TooLarge(
            f"{what} is above the limit of {limit // MB} MB. "
            "MAMMO_MAX_FILE_MB and MAMMO_MAX_REQUEST_MB set the limits."
        )


def require_some(files: list[ReceivedFile]) -> None:
    """Raise EmptyRequest when no file came."""
    if not files:
        raise EmptyRequest("No file came with the request; send one to many DICOM files.")


class BodyLimit:
    """ASGI middleware: bounds the body of a request.

    A stated length above the limit is refused before a byte is read, an
    unstated one at the first byte above. The server throws away what still
    comes after the answer.
    """

    def __init__(self, app: ASGIApp, exams_path: str, max_request_mb: int) -> None:
        self._app = app
        self._exams_path = exams_path
        self._max_request_mb = max_request_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counted body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = (self._max_request_mb if scope["path"] == self._exams_path else JSON_LIMIT_MB) * MB
        stated = dict(scope["headers"]).get(b"content-length", b"")
        size = int(stated) if stated.isdigit() else 0

        async def receive_counted() -> Message:
            nonlocal size
            _require_within(size, limit, "The request")
            message = await receive()
            if not stated:
                size += len(message.get("body", b""))
            _require_within(size, limit, "The request")
            return message

        await self._app(scope, receive_counted, send)
