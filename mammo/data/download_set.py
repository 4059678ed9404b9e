"""A data set of many files from a far side: several at once, journalled, verifiable.

``checksums.sha256`` lists every file that came, as ``sha256sum -c`` reads it. It
is written from a journal to which each file is added before it gets its name, so
a run that was killed knows at once what it has.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mammo.data.download import WORK, Answer, Download, fetch_file, file_digests
from mammo.data.download_retry import Patience
from mammo.data.durable import make_folder, storing, sweep_drafts, write_text
from mammo.errors import (
    ChecksumMismatch,
    DataError,
    DownloadInterrupted,
    SourceNotFound,
)

MANIFEST = "checksums.sha256"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
SHOWN = 5

OpenFile = Callable[[str, int, str | None], AbstractContextManager[Answer]]
"""Called with a file's name, how many bytes are here and their validator."""
Advance = Callable[[str, int, int], None]
"""Called with a stage, and how much of its total is done."""


@dataclass
class Journal:
    """What has come so far: SHA-256 by name; one appended line a file."""

    path: Path
    entries: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def load(cls, path: Path) -> Journal:
        """Read the journal; a line that a power cut tore is as if it were not there."""
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_text(path, whole, path.parent)
        return cls(path, read_lines(whole))

    def enter(self, name: str, sha256: str) -> None:
        """Add a file; the line is on the disk when this returns."""
        with self._lock, self.path.open("a") as stream:
            stream.write(f"{sha256}  {name}\n")
            stream.flush()
            os.fsync(stream.fileno())
            self.entries[name] = sha256


@dataclass(frozen=True)
class SetReport:
    """What a download did; ``files`` counts all that are here now, of those asked for."""

    files: int
    fetched: int
    bytes: int


def read_lines(text: str) -> dict[str, str]:
    """Return SHA-256 by name from lines of ``sha256sum``; the last line of a name holds."""
    found = (LINE.fullmatch(line) for line in text.splitlines())
    return {match[2]: match[1] for match in found if match}


def fetch_set(
    names: Sequence[str],
    open_file: OpenFile,
    folder: Path,
    *,
    connections: int = 4,
    patience: Patience | None = None,
    total_bytes: int = 0,
    advance: Advance = lambda stage, done, total: None,
) -> SetReport:
    """Bring files below a folder, ``connections`` at a time; what is there stays.

    ``total_bytes`` of what is still to come, where it is known, is for the progress.

    Raises
    ------
    DownloadInterrupted, DownloadRefused, ChecksumMismatch, DiskFull, StoreReadOnly
        See `mammo.data.download.fetch_file`; the message tells how much is there.
    """
    with at_work(folder):
        journal = Journal.load(folder / WORK / "done.sha256")
        wanted = [n for n in names if n not in journal.entries or not (folder / n).is_file()]
        tally = _Tally(advance, len(names) - len(wanted), len(names), total_bytes)
        stop = threading.Event()
        download = Download(folder, patience or Patience(), stop, tally.count)

        def bring(name: str) -> None:
            if not stop.is_set():
                _require_absent(folder / name, name)
                fetch_file(
                    name, lambda start, told: open_file(name, start, told), download, journal.enter
                )
            tally.finish(stopped=stop.is_set())

        try:
            _all(bring, wanted, connections, stop)
        except DataError as error:
            raise type(error)(f"{error.message}. {tally.told()}") from None
        finally:
            write_manifest(folder, journal)
    return SetReport(len(names), len(wanted), tally.bytes)


def _require_absent(target: Path, name: str) -> None:
    """Refuse to write over a file that came by another way."""
    if target.exists():
        raise ChecksumMismatch(
            f"{name} is in the folder and did not come by this command: it is not written over. "
            "Move it away, then run the same command again"
        )


def _all(
    bring: Callable[[str], None], names: Sequence[str], connections: int, stop: threading.Event
) -> None:
    """Do all, several at a time; the first failure or an interrupt ends the rest."""
    with ThreadPoolExecutor(connections, thread_name_prefix="download") as pool:
        futures: list[Future[None]] = []
        try:
            futures = [pool.submit(bring, name) for name in names]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            for future in futures:
                future.cancel()
    failed = [error for one in futures if not one.cancelled() and (error := one.exception())]
    # what stopped the others, not how they were stopped
    failed.sort(key=lambda error: isinstance(error, DownloadInterrupted))
    if failed:
        raise failed[0]


def write_manifest(folder: Path, journal: Journal) -> None:
    """Write `MANIFEST` in one step, for those files of the journal that are there."""
    there = sorted(name for name in journal.entries if (folder / name).is_file())
    lines = "".join(f"{journal.entries[name]}  {name}\n" for name in there)
    write_text(folder / MANIFEST, lines, folder / WORK)


def verify_set(folder: Path, advance: Advance = lambda stage, done, total: None) -> int:
    """Read every file of the manifest again; return how many there are.

    Raises
    ------
    SourceNotFound
        The folder has no manifest.
    ChecksumMismatch
        Files differ or are gone; the message names the first.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise SourceNotFound(
            f"{folder} has no {MANIFEST}: download the set with `mammo data get rsna` first"
        )
    entries = read_lines(manifest.read_text())
    bad = []
    for number, (name, sha256) in enumerate(sorted(entries.items()), start=1):
        path = folder / name
        if not path.is_file() or file_digests(path)[0] != sha256:
            bad.append(name)
        advance("verified", number, len(entries))
    if bad:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ChecksumMismatch(
            f"{len(bad)} of {len(entries)} files differ from {MANIFEST} or are gone: "
            f"{', '.join(bad[:SHOWN])}{more}. Remove them and run `mammo data get rsna` again: "
            "it brings what is missing"
        )
    return len(entries)


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Keep a second download out of the same folder while this one lives.

    Raises
    ------
    DownloadInterrupted
        Another process downloads into it.
    """
    make_folder(folder / WORK, mode=0o700)
    with storing(folder), (folder / WORK / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadInterrupted(
                f"another process is downloading into {folder}: wait until it has ended"
            ) from None
        sweep_drafts(folder / WORK)
        yield


class _Tally:
    """Counts over all threads, told to whoever watches."""

    def __init__(self, advance: Advance, done: int, total: int, total_bytes: int) -> None:
        self._advance, self._done, self._total = advance, done, total
        self._total_bytes = total_bytes
        self._lock = threading.Lock()
        self.bytes = 0

    def count(self, received: int) -> None:
        with self._lock:
            self.bytes = max(self.bytes + received, 0)
            if self._total_bytes:
                self._advance("MB", self.bytes // 10**6, self._total_bytes // 10**6)

    def finish(self, *, stopped: bool) -> None:
        with self._lock:
            self._done += not stopped
            self._advance("files", self._done, self._total)

    def told(self) -> str:
        return f"{self._done} of {self._total} files are here"
