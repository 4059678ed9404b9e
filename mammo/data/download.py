"""One file from a far side: resumed where it broke off, checked, then put in place.

Bytes go to a part file in a hidden folder beside the data; what the far side
said of the file (size, ETag, MD5) lies next to it, so that a later run, also
after a ``kill -9``, goes on only if the far file is still the same (RFC 9110
section 13.1.5, If-Range). Only a whole, checked and flushed file gets its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mammo.data.download_retry import Passing, Patience
from mammo.data.durable import make_folder, storing, write_file, write_text
from mammo.errors import ChecksumMismatch, DiskFull, DownloadInterrupted, SourceInvalid
from mammo.folder_entries import sync_folder

WORK = ".download"
"""Hidden folder below the data set's: part files, the journal, the listing."""
CHUNK_BYTES = 2**17
"""Read at a time; less than this is lost when a connection breaks."""
SPARE_BYTES = 2**28
"""What is left free on the disk, 256 MB: a full disk harms others too."""
AGAIN = "run the same command again: it goes on where it stopped"


@dataclass(frozen=True)
class Told:
    """What the far side says of a file before its bytes come.

    ``validator`` is a strong ETag or a Last-Modified date; without one a broken
    download begins anew. ``md5`` is in hex. ``zipped`` is True when a ZIP with
    the one file comes in its place.
    """

    bytes: int | None = None
    validator: str | None = None
    md5: str | None = None
    zipped: bool = False


@dataclass(frozen=True)
class Answer:
    """A file's bytes from ``start`` on."""

    told: Told
    start: int
    chunks: Iterable[bytes]


Open = Callable[[int, str | None], AbstractContextManager[Answer]]
"""Called with how many bytes are here and the validator under which they came."""
Count = Callable[[int], None]
"""Called with bytes received; below zero when they were thrown away."""


@dataclass(frozen=True)
class Download:
    """Where files go and how patiently; ``stop`` ends the work at the next chunk."""

    folder: Path
    patience: Patience
    stop: threading.Event
    count: Count

    @property
    def work(self) -> Path:
        """The hidden folder of what is not finished."""
        return self.folder / WORK


class Part:
    """The unfinished bytes of one file, and what was told of it when they came."""

    def __init__(self, work: Path, name: str) -> None:
        stem = hashlib.sha256(name.encode()).hexdigest()[:24]
        self.path = work / f"{stem}.part"
        self._told = work / f"{stem}.json"

    def state(self) -> tuple[int, str | None]:
        """Return how many bytes may be kept, and the validator that they belong to."""
        try:
            told = Told(**json.loads(self._told.read_text()))
            size = self.path.stat().st_size
        except (FileNotFoundError, ValueError, TypeError):
            return 0, None
        return (size, told.validator) if told.validator else (0, None)

    def begin(self, told: Told) -> None:
        """Throw away what is here; the note on the new bytes is written before they come."""
        self.discard()
        write_text(self._told, json.dumps(asdict(told)), self._told.parent)

    def size(self) -> int:
        """Return the bytes here, 0 when there are none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def discard(self) -> None:
        """Remove the bytes, then the note."""
        self.path.unlink(missing_ok=True)
        self._told.unlink(missing_ok=True)


def require_name(name: str) -> str:
    """Return a far side's file name if it stays below the folder.

    Raises
    ------
    SourceInvalid
        It is absolute, climbs, is hidden, or holds characters that no file of a set has.
    """
    parts = PurePosixPath(name).parts
    odd = any(not letter.isprintable() or letter in "\\:" for letter in name)
    if not parts or odd or name.startswith("/") or any(part.startswith(".") for part in parts):
        raise SourceInvalid(
            "the far side names a file that would lie outside the folder or be hidden: nothing "
            "of it was written; check the address that the download goes to"
        )
    return name


def fetch_file(
    name: str, open_at: Open, download: Download, enter: Callable[[str, str], None]
) -> str:
    """Bring one file to ``download.folder / name``; return its SHA-256 in hex.

    ``enter`` is called with name and SHA-256 just before the file gets its name.

    Raises
    ------
    DownloadInterrupted
        The connection broke too often, or the run was stopped; the part file is kept.
    ChecksumMismatch
        Twice other bytes came than the far side's MD5 promises.
    DiskFull, StoreReadOnly
        The folder cannot take the file.
    """
    target = download.folder / require_name(name)
    part = Part(download.work, name)
    make_folder(download.work, mode=0o700)
    with storing(download.folder):
        for last in (False, True):
            told = _receive_patiently(name, part, open_at, download)
            sha256, md5 = file_digests(part.path)
            if told.md5 is None or told.md5 == md5:
                break
            download.count(-part.size())
            part.discard()
            if last:
                raise ChecksumMismatch(
                    f"{name}: the far side promises MD5 {told.md5} and twice sent {md5}; nothing "
                    "was kept. Try later; if it stays so, a proxy on the way changes files"
                )
        if told.zipped:
            return _unzip(part, target, name, download, enter)
        enter(name, sha256)
        _place(part.path, target)
        part.discard()
    return sha256


def file_digests(path: Path) -> tuple[str, str]:
    """Return SHA-256 and MD5 of a file in hex, read once."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what cannot end; ``needed`` are the bytes that are still to come.

    Raises
    ------
    DiskFull
        Less is free than is needed and `SPARE_BYTES`.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(place).free
    if free < needed + SPARE_BYTES:
        raise DiskFull(
            f"{folder} has {free / 1e9:,.1f} GB free and {(needed + SPARE_BYTES) / 1e9:,.1f} GB "
            "are needed: choose another folder (--to), ask for less (--images, --patients, "
            "--only), or make room; then run it again"
        )


def _receive_patiently(name: str, part: Part, open_at: Open, download: Download) -> Told:
    """Receive until all is here, waiting and going on; failures in a row are counted."""
    failures = 0
    while True:
        before = part.size()
        try:
            return _receive(part, open_at, download)
        except Passing as trouble:
            failures = 1 if part.size() > before else failures + 1
            pause = download.patience.pause(failures, trouble)
            if pause is None or download.stop.wait(pause):
                raise DownloadInterrupted(_left(name, part, trouble)) from None


def _left(name: str, part: Part, trouble: Passing) -> str:
    asked = trouble.asked_seconds
    wait = f" (it asks to wait {asked / 60:.0f} minutes)" if asked else ""
    return (
        f"{name} broke off: {trouble.what}{wait}. {part.size() / 1e6:,.1f} MB of it are kept; "
        + AGAIN
    )


def _receive(part: Part, open_at: Open, download: Download) -> Told:
    start, validator = part.state()
    with open_at(start, validator) as answer:
        told = answer.told
        if answer.start == 0:
            download.count(-part.size())
            part.begin(told)
        elif answer.start != start:
            raise Passing(f"the answer begins at byte {answer.start} and not at {start}")
        require_space(download.folder, (told.bytes or 0) - answer.start)
        with part.path.open("ab") as stream:
            try:
                _copy(answer.chunks, stream, download)
            finally:
                stream.flush()
                os.fsync(stream.fileno())
    if told.bytes is not None and part.size() != told.bytes:
        if part.size() > told.bytes:
            part.discard()
        raise Passing(f"{part.size()} of {told.bytes} bytes came")
    return told


def _copy(chunks: Iterable[bytes], stream: BinaryIO, download: Download) -> None:
    for chunk in chunks:
        stream.write(chunk)
        download.count(len(chunk))
        if download.stop.is_set():
            raise Passing("the run was stopped")


def _place(draft: Path, target: Path) -> None:
    make_folder(target.parent)
    draft.replace(target)
    sync_folder(target.parent)


def _unzip(
    part: Part, target: Path, name: str, download: Download, enter: Callable[[str, str], None]
) -> str:
    """Unpack a file that came zipped by itself, as Kaggle sends large tables."""
    try:
        with zipfile.ZipFile(part.path) as packed:
            member = next(
                m for m in packed.infolist() if PurePosixPath(m.filename).name == target.name
            )
            require_space(download.folder, member.file_size)
            with packed.open(member) as source:
                unpacked = part.path.with_suffix(".unpacked")
                write_file(unpacked, lambda out: shutil.copyfileobj(source, out), download.work)
    except (zipfile.BadZipFile, KeyError):
        part.discard()
        raise ChecksumMismatch(
            f"{name} came as a ZIP that does not hold it or is broken; nothing was kept: {AGAIN}"
        ) from None
    sha256, _ = file_digests(unpacked)
    enter(name, sha256)
    _place(unpacked, target)
    part.discard()
    return sha256
