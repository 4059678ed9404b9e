"""Takes in the files of a request, within limits.

    files = await receive_files(request, settings.arriving_dir, settings.max_file_mb)

A request is multipart/form-data, one DICOM file, or a ZIP; a part may be a ZIP,
too. What is large goes to unnamed files in the home while it comes, and the first
byte above a limit ends the reading. A body that breaks off leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect

from bentos.screening.multipart_body import Multipart
from bentos.screening.pace import BodyLimit
from bentos.screening.received import (
    MB,
    MEMORY_BYTES,
    Arriving,
    ReceivedFile,
    looks_like_zip,
)
from bentos.screening.zip_body import Archive
from mammo.errors import ArchiveInvalid, BodyIncomplete, EmptyRequest, TooLarge, UnsupportedBody

__all__ = ["BodyLimit", "ReceivedFile", "receive_files", "require_some"]

MAX_FILES = 64
MAX_TOTAL_MB = 800
RAW_TYPES = ("application/dicom", "application/octet-stream")
ZIP_TYPES = ("application/zip", "application/x-zip-compressed")


async def receive_files(
    request: Request, folder: Path, max_file_mb: int, max_total_mb: int = MAX_TOTAL_MB
) -> list[ReceivedFile]:
    """Return the files of a request in order, those inside a ZIP in its place.

    ``folder`` holds what is large while it comes. ``max_file_mb`` bounds each DICOM
    file, ``max_total_mb`` all of them together, unpacked.

    Raises
    ------
    EmptyRequest, TooLarge, UnsupportedBody
    RequestError
        The multipart body is not well-formed.
    BodyIncomplete
        The caller left, or the multipart body has no end.
    ArchiveInvalid, ArchiveBomb
        See :mod:`bentos.screening.zip_body`.
    DiskFull
        What is held on disk while it comes does not fit there.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    async with aclosing(_chunks(request)) as chunks:
        if kind == "multipart/form-data":
            arrived = await _receive_parts(request, chunks, folder, max_file_mb)
        elif kind in RAW_TYPES + ZIP_TYPES:
            arrived = await _receive_whole(chunks, folder, max_file_mb, kind in ZIP_TYPES)
        else:
            await _refuse_body(chunks, kind)
            return []
    try:
        return await anyio.to_thread.run_sync(_unpack, arrived, max_file_mb, max_total_mb)
    finally:
        for one in arrived:
            one.close()


def require_some(files: list[ReceivedFile]) -> None:
    """Raise EmptyRequest when no file came."""
    if not files:
        raise EmptyRequest("No file came with the request; send one to many DICOM files.")


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes. Raises BodyIncomplete when the caller leaves."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise BodyIncomplete(
            "The connection ended before the body did; nothing was scored. Send it again."
        ) from None


async def _refuse_body(chunks: AsyncIterator[bytes], kind: str) -> None:
    async for _ in chunks:
        raise UnsupportedBody(
            f"The body is {kind or 'of no stated type'}; send multipart/form-data with one to many "
            "DICOM files, one file as application/dicom, or a ZIP of them as application/zip."
        )


async def _receive_parts(
    request: Request, chunks: AsyncIterator[bytes], folder: Path, max_file_mb: int
) -> list[Arriving]:
    form = Multipart(request.headers["content-type"], folder, max_file_mb * MB, MAX_FILES)
    # a digest tells whether a request that comes again is the same; others need none
    digest = any(name in request.headers for name in ("idempotency-key", "prefer"))
    loop, settling = asyncio.get_running_loop(), []
    try:
        async for chunk in chunks:
            form.feed(chunk)
            settling += [loop.run_in_executor(None, one.settle, digest) for one in form.whole()]
            if form.held_bytes > MEMORY_BYTES:
                await anyio.to_thread.run_sync(form.spill)
        await asyncio.gather(*settling)
        return form.finish()
    finally:
        form.close()


async def _receive_whole(
    chunks: AsyncIterator[bytes], folder: Path, max_file_mb: int, is_zip: bool
) -> list[Arriving]:
    arriving = Arriving("", max_file_mb * MB, folder)
    try:
        async for chunk in chunks:
            arriving.write(chunk, "The file")
            if arriving.held_bytes > MEMORY_BYTES:
                await anyio.to_thread.run_sync(arriving.spill)
    except BaseException:
        arriving.close()
        raise
    if is_zip and arriving.size and not looks_like_zip(arriving.start):
        arriving.close()
        raise ArchiveInvalid("The body is stated to be a ZIP and is none.")
    return [arriving] if arriving.size else []


def _unpack(arrived: list[Arriving], max_file_mb: int, max_total_mb: int) -> list[ReceivedFile]:
    """Read what arrived into memory, each ZIP as the files inside (a thread's work)."""
    files: list[ReceivedFile] = []
    left = max_total_mb * MB
    for position, one in enumerate(arrived, start=1):
        if looks_like_zip(one.start):
            archive = Archive(one.open(), one.size, f"File {position}", max_file_mb * MB)
            found = archive.read(left, MAX_FILES - len(files))
        else:
            found = [one.receive()]
        files += found
        left -= sum(len(file.data) for file in found)
    if len(files) > MAX_FILES:
        raise TooLarge(f"The request has {len(files)} files; at most {MAX_FILES} are read.")
    return files
