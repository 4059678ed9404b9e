"""The parts of a multipart/related body (RFC 2387), as STOW-RS sends them (PS3.18 8.6.1.2)."""

from __future__ import annotations

from pathlib import Path

import anyio
from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from bentos.screening.multipart_body import Multipart
from bentos.screening.received import MEMORY_BYTES, Arriving
from mammo.errors import BodyIncomplete, TooLarge, UnsupportedBody

MOST_PARTS = 256
DICOM = "application/dicom"


class RelatedParts(Multipart):
    """Takes the body chunk by chunk; each part is one DICOM file."""

    def __init__(self, content_type: str, folder: Path, max_file_bytes: int) -> None:
        super().__init__(content_type, folder, max_file_bytes, MOST_PARTS)
        self._kind = b""

    def _begin_part(self) -> None:
        super()._begin_part()
        self._kind = b""

    def _end_header(self) -> None:
        if self._field.lower() == b"content-type":
            self._kind = self._value
        super()._end_header()

    def _end_headers(self) -> None:
        kind = parse_options_header(self._kind)[0]
        if kind != DICOM.encode():
            raise UnsupportedBody(f"A part is of another type than {DICOM}; no other is taken.")
        if len(self._files) == MOST_PARTS:
            raise TooLarge(f"The request has more than the {MOST_PARTS} parts that are taken.")
        self._current = Arriving("", self._max_file_bytes, self._folder)
        self._files.append(self._current)


async def receive_parts(request: Request, folder: Path, max_file_bytes: int) -> list[Arriving]:
    """Return the files of a STOW-RS request in order; the caller closes each.

    ``folder`` holds what is large while it comes.

    Raises
    ------
    UnsupportedBody, TooLarge, BodyIncomplete, DiskFull
    RequestError
        The body is not well-formed.
    """
    told = request.headers.get("content-type", "")
    kind, options = parse_options_header(told)
    if kind != b"multipart/related" or options.get(b"type", DICOM.encode()) != DICOM.encode():
        raise UnsupportedBody(f'The body must be multipart/related; type="{DICOM}".')
    parts = RelatedParts(told, folder, max_file_bytes)
    try:
        async for chunk in request.stream():
            parts.feed(chunk)
            if parts.held_bytes > MEMORY_BYTES:
                await anyio.to_thread.run_sync(parts.spill)
        return parts.finish()
    except ClientDisconnect:
        raise BodyIncomplete(
            "The connection ended before the body did; nothing was kept. Send it again."
        ) from None
    finally:
        parts.close()
