"""What comes over the wire: whole, broken off, slow, packed, and packed to do harm."""

from __future__ import annotations

import asyncio
import errno
import gc
import hashlib
import io
import os
import shutil
import stat
import struct
import tempfile
import weakref
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message, Scope

from bentos.screening import received
from bentos.screening.pace import BodyLimit
from bentos.screening.stow_body import receive_parts
from bentos.screening.upload import ReceivedFile, receive_files
from mammo.errors import MammoError

DICOM = b"\0" * 128 + b"DICM" + bytes(range(256)) * 40
MULTIPART = "multipart/form-data; boundary=edge"
NOWHERE = Path("/nowhere")
"""For bodies that memory holds: nothing of them may touch a disk."""


def form(*files: bytes, end: bytes = b"--edge--\r\n", fields: int = 0) -> bytes:
    head = (
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%d.dcm"\r\n\r\n%s\r\n'
    )
    field = b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    return field * fields + b"".join(head % (i, one) for i, one in enumerate(files)) + end


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def encrypted(data: bytes) -> bytes:
    """Set the flag of encryption in the local header and in the directory."""
    archive = bytearray(packed({"1.dcm": data}))
    archive[6] |= 1
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(archive)


def overstated(data: bytes) -> bytes:
    """Let the directory say that a file of many bytes has ten."""
    archive = bytearray(packed({"1.dcm": data}))
    struct.pack_into("<L", archive, archive.index(b"PK\x01\x02") + 24, 10)
    return bytes(archive)


def overlapping(names: int, megabytes: int) -> bytes:
    """A directory in which many names share one file's bytes (Fifield 2019, simplest form)."""
    kernel = packed({"0.dcm": b"\0" * (megabytes * 2**20)})
    start = kernel.index(b"PK\x01\x02")
    entry, end = kernel[start:-22], bytearray(kernel[-22:])
    struct.pack_into("<HHL", end, 8, names, names, names * len(entry))
    return kernel[:start] + entry * names + bytes(end)


async def _receive(
    kind: str, messages: Sequence[Message], folder: Path, more: Sequence[tuple[bytes, bytes]]
) -> list[ReceivedFile]:
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0)

    headers = [(b"content-type", kind.encode()), *more]
    scope = {"type": "http", "headers": headers}
    return await receive_files(Request(scope, receive), folder, max_file_mb=1, max_total_mb=3)


def receive(
    kind: str,
    *chunks: bytes,
    cut: bool = False,
    more: Sequence[tuple[bytes, bytes]] = (),
    folder: Path = NOWHERE,
) -> Any:
    """Return the files, or the code that the request is refused with."""
    messages = [{"type": "http.request", "body": one, "more_body": True} for one in chunks]
    end = {"type": "http.disconnect"} if cut else {"type": "http.request", "body": b""}
    try:
        return asyncio.run(_receive(kind, [*messages, end], folder, more))
    except MammoError as error:
        return error.code


@pytest.mark.parametrize("step", [1, 7, 64, 10**9])
def test_files_do_not_depend_on_how_the_body_is_cut(step: int) -> None:
    near = DICOM[:200] + b"\r\n--edg" + b"\r\n--edge"[:-1] + b"\r\r\n"  # almost a boundary
    body = form(DICOM[:300], near, b"", fields=2)
    chunks = [body[i : i + step] for i in range(0, len(body), step)]
    found = receive(MULTIPART, *chunks)
    assert found == [
        ReceivedFile("0.dcm", DICOM[:300]),
        ReceivedFile("1.dcm", near),
        ReceivedFile("2.dcm", b""),
    ]


@pytest.mark.parametrize("header", [b"idempotency-key", b"prefer"])
def test_digests_are_ready_where_they_are_asked_for(header: bytes) -> None:
    body = form(DICOM, b"other")
    digests = [hashlib.sha256(data).digest() for data in (DICOM, b"other")]
    found = receive(MULTIPART, body, more=[(header, b"x")])
    assert [vars(one)["sha256"] for one in found] == digests
    plain = receive(MULTIPART, body)
    assert not any("sha256" in vars(one) for one in plain)
    assert [one.sha256 for one in plain] == digests


@pytest.mark.parametrize(
    "body", [form(DICOM, b"other"), form(DICOM, DICOM)[:-20]], ids=["whole", "cut"]
)
def test_files_are_freed_with_the_last_that_holds_them(body: bytes) -> None:
    """A cycle would keep 50 MB an exam until the garbage collector comes by."""
    made = []
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(received.Arriving, "settle", _settle_noting(made))
            found = receive(MULTIPART, body, b"")
        del found
        assert made
        assert all(one() is None for one in made)
    finally:
        gc.enable()


def _settle_noting(made: list[Any]) -> Any:
    settle = received.Arriving.settle

    def settle_noting(self: received.Arriving, digest: bool) -> None:
        settle(self, digest)
        made.append(weakref.ref(self))
        made.append(weakref.ref(self._settled))

    return settle_noting


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("cut", [False, True], ids=["ends", "disconnects"])
def test_half_sent_form_is_refused(share: float, cut: bool) -> None:
    body = form(DICOM, DICOM)
    assert receive(MULTIPART, body[: int(share * len(body))], cut=cut) == "BODY_INCOMPLETE"


@pytest.mark.parametrize("kind", ["application/dicom", "application/zip", "image/png"])
def test_half_sent_file_is_refused(kind: str) -> None:
    code = "UNSUPPORTED_BODY" if kind == "image/png" else "BODY_INCOMPLETE"
    assert receive(kind, DICOM[:500], cut=True) == code


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("multipart/form-data", form(DICOM), "BAD_REQUEST"),
        ("multipart/form-data; boundary=", form(DICOM), "BAD_REQUEST"),
        ("multipart/form-data; boundary=" + 300 * "x", form(DICOM), "BAD_REQUEST"),
        (MULTIPART, b"no boundary here", "BAD_REQUEST"),
        (MULTIPART, b"--edge\r\n\r\nno name\r\n--edge--\r\n", "BAD_REQUEST"),
        (MULTIPART, form(*[b"x"] * 65), "TOO_LARGE"),
        (MULTIPART, form(fields=65), "BAD_REQUEST"),
        (MULTIPART, form(b"x", b"x" * (2**20 + 1)), "TOO_LARGE"),
        ("application/dicom", b"x" * (2**20 + 1), "TOO_LARGE"),
        ("application/zip", DICOM, "ARCHIVE_INVALID"),
        ("", DICOM, "UNSUPPORTED_BODY"),
    ],
)
def test_refusals(kind: str, body: bytes, code: str) -> None:
    assert receive(kind, body) == code


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        ("application/zip", lambda archive: archive),
        ("application/octet-stream", lambda archive: archive),
        (MULTIPART, form),
    ],
)
def test_files_inside_a_zip(kind: str, wrap: Any) -> None:
    archive = packed(
        {
            "exam/": b"",
            "exam/b.dcm": DICOM,
            "exam/a.dcm": b"other",
            "__MACOSX/exam/._b.dcm": b"left over",
            "exam/.DS_Store": b"left over",
            "DICOMDIR": b"left over",
        }
    )
    found = receive(kind, wrap(archive))
    assert found == [ReceivedFile("exam/b.dcm", DICOM), ReceivedFile("exam/a.dcm", b"other")]


def test_zip_among_files_keeps_its_place() -> None:
    found = receive(MULTIPART, form(DICOM, packed({"in.dcm": b"in"}), b"last"))
    assert [one.name for one in found] == ["0.dcm", "in.dcm", "2.dcm"]


def test_zip_of_an_exam_may_be_above_the_limit_of_a_file() -> None:
    files = {f"{i}.dcm": DICOM * 60 for i in range(2)}
    archive = packed(files, zipfile.ZIP_STORED)
    assert len(archive) > 2**20
    assert [one.data for one in receive(MULTIPART, form(archive))] == list(files.values())


def test_dicom_file_that_begins_like_a_zip_is_a_dicom_file() -> None:
    both = b"PK\x03\x04" + DICOM[4:]
    assert receive("application/dicom", both) == [ReceivedFile("", both)]


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (packed({"1.dcm": DICOM})[:-9], "ARCHIVE_INVALID"),
        (packed({"1.dcm": DICOM})[:200], "ARCHIVE_INVALID"),
        (packed({"1.dcm": DICOM}, zipfile.ZIP_STORED).replace(b"DICM", b"MCID"), "ARCHIVE_INVALID"),
        (packed({"1.dcm": DICOM}, zipfile.ZIP_BZIP2), "ARCHIVE_INVALID"),
        (packed({"1.dcm": DICOM}, zipfile.ZIP_LZMA), "ARCHIVE_INVALID"),
        (packed({"1.zip": packed({"1.dcm": DICOM})}), "ARCHIVE_INVALID"),
        (encrypted(DICOM), "ARCHIVE_INVALID"),
        (overstated(b"\0" * 10**5), "ARCHIVE_INVALID"),
        (packed({f"{i}.dcm": b"x" for i in range(65)}), "TOO_LARGE"),
        (packed({"1.dcm": bytes(range(256)) * 5000}), "TOO_LARGE"),
        (packed({f"{i}.dcm": bytes(range(256)) * 4000 for i in range(4)}), "TOO_LARGE"),
        (packed({"1.dcm": b"\0" * (20 * 2**20)}), "ARCHIVE_BOMB"),
        (overlapping(names=64, megabytes=1), "ARCHIVE_BOMB"),
    ],
    ids=[
        "cut off", "cut in a file", "wrong checksum", "bzip2", "lzma", "nested", "encrypted",
        "lies about its size", "many files", "large file", "large together", "bomb", "overlapping",
    ],
)  # fmt: skip
def test_zips_that_are_refused(archive: bytes, code: str) -> None:
    assert receive("application/zip", archive) == code


def test_empty_zip_holds_no_file() -> None:
    assert receive("application/zip", packed({})) == []


def test_large_body_waits_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the home, that nobody else reads; the system's folder for all is not even there."""
    spilt: list[int] = []
    folder = tmp_path / "arriving"

    def spill(self: received.Arriving) -> None:
        spilt.append(self.held_bytes)
        whole(self)
        opened = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.exists()]
        assert folder in [one.parent for one in opened]

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))

    whole = received.Arriving.spill
    monkeypatch.setattr("bentos.screening.upload.MEMORY_BYTES", 5000)
    monkeypatch.setattr(received.Arriving, "spill", spill)
    body = form(DICOM, packed({"in.dcm": DICOM}), DICOM)
    chunks = [body[i : i + 999] for i in range(0, len(body), 999)]
    found = receive(MULTIPART, *chunks, folder=folder)
    assert [one.data for one in found] == [DICOM] * 3
    assert len(spilt) > 3
    assert max(spilt) <= 6000
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and list(folder.iterdir()) == []


def test_large_stow_waits_in_the_same_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bentos.screening.stow_body.MEMORY_BYTES", 5000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    head = b"--edge\r\nContent-Type: application/dicom\r\n\r\n"
    body = (head + DICOM + b"\r\n") * 2 + b"--edge--\r\n"
    left = [body[i : i + 999] for i in range(0, len(body), 999)]

    async def come() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    kind = b'multipart/related; type="application/dicom"; boundary=edge'
    request = Request({"type": "http", "headers": [(b"content-type", kind)]}, come)
    parts = asyncio.run(receive_parts(request, tmp_path / "arriving", 2**20))
    assert (tmp_path / "arriving").is_dir()
    assert [one.receive().data for one in parts] == [DICOM] * 2
    for one in parts:
        one.close()


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (errno.ENOSPC, "DISK_FULL"),
        (errno.EDQUOT, "DISK_FULL"),
        (errno.EROFS, "STORE_READ_ONLY"),
        (errno.EACCES, "STORE_READ_ONLY"),
    ],
    ids=errno.errorcode.get,
)
@pytest.mark.parametrize("made", ["folder", "file"])
def test_a_disk_that_takes_nothing_is_told(
    made: str, refused: int, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(refused, os.strerror(refused))

    monkeypatch.setattr("bentos.screening.upload.MEMORY_BYTES", 10)
    if made == "file":
        monkeypatch.setattr(received, "TemporaryFile", refuse)
    else:
        monkeypatch.setattr(Path, "mkdir", refuse)
    assert receive("application/dicom", DICOM, folder=tmp_path / "arriving") == code


@pytest.mark.parametrize(
    ("spare", "taken"), [(len(DICOM), True), (len(DICOM) - 1, False)], ids=["just", "a byte short"]
)
def test_what_comes_leaves_room_for_the_log(
    spare: int, taken: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A body in chunks states no length: only the disk itself can say that it is too much."""
    usage = shutil.disk_usage(tmp_path)._replace(free=received.LEAST_FREE_BYTES + spare)
    opened: list[Path] = []

    def open_there(dir: Path) -> Any:
        opened.append(dir)
        return tempfile.TemporaryFile(dir=dir)

    monkeypatch.setattr("bentos.screening.upload.MEMORY_BYTES", 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    monkeypatch.setattr(received, "TemporaryFile", open_there)
    folder = tmp_path / "arriving"
    found = receive("application/dicom", DICOM, folder=folder)
    assert found == ([ReceivedFile("", DICOM)] if taken else "DISK_FULL")
    assert opened == [folder] * taken


async def _pace(pauses: AsyncIterator[bytes], **limits: float) -> tuple[str, list[Message]]:
    """Send pieces to an app behind the limit; return how it ended, and what was sent."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        try:
            while (await receive()).get("more_body"):
                pass
            outcome.append("whole")
        except MammoError as error:
            outcome.append(error.code)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        try:
            return {"type": "http.request", "body": await anext(pauses), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    outcome: list[str] = []
    limit = BodyLimit(app, "/v1/exams", 1, **limits)
    await limit({"type": "http", "path": "/v1/exams", "headers": []}, receive, send)
    return outcome[0], sent


async def _pieces(count: int, size: int, pause: float) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(pause)
        yield b"x" * size


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ((5, 1000, 0.0), "whole"),
        ((20, 20_000, 0.02), "whole"),
        ((1, 10, 5.0), "REQUEST_TIMEOUT"),
        ((100, 10, 0.02), "REQUEST_TIMEOUT"),
        ((2, 2**20, 0.0), "TOO_LARGE"),
    ],
    ids=["at once", "steady", "stops", "trickles", "too much"],
)
def test_pace_of_a_body(pieces: tuple[int, int, float], outcome: str) -> None:
    limits = {"idle_seconds": 0.2, "least_kb_per_second": 100.0}
    ended, sent = asyncio.run(_pace(_pieces(*pieces), **limits))
    assert ended == outcome
    closes = (b"connection", b"close") in sent[0]["headers"]
    assert closes == (outcome == "REQUEST_TIMEOUT")


def test_waiting_for_the_caller_to_leave_is_not_bounded() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        assert not (await receive()).get("more_body")
        left.append((await receive())["type"])

    async def receive() -> Message:
        if asked:
            await asyncio.sleep(0.2)
            return {"type": "http.disconnect"}
        asked.append(1)
        return {"type": "http.request", "body": b"all"}

    left: list[str] = []
    asked: list[int] = []
    limit = BodyLimit(app, "/v1/exams", 1, idle_seconds=0.05)
    asyncio.run(limit({"type": "http", "path": "/", "headers": []}, receive, receive))
    assert left == ["http.disconnect"]
