"""Where predictions wait while the database cannot take them: never lost, logged once.

One file of lines that the worker processes share. The first byte of a line is a
mark that is changed in place when the database has the scoring, so that draining
a spool on a full disk needs no room. When every line is marked the file is cut
to nothing.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammo.durable_lines import DurableLines, locked, storing
from mammo.prediction_log.spool_lines import (
    BEGINS,
    WAITING,
    WRITTEN,
    Index,
    read_line,
    role_of,
    whole_lines,
    write_line,
)


@dataclass(frozen=True)
class Waiting:
    """A scoring in the spool: where its line begins, and the rows for the log.

    ``rows`` is None where the line's checksum is not that of its text.
    """

    offset: int
    line: bytes
    rows: list[dict[str, Any]] | None


class Spool:
    """The folder ``folder`` with the scorings that wait, oldest first.

    ``waiting.jsonl`` are those, ``refused.jsonl`` what the database will never
    take (or what the disk has spoilt), kept for a person to look at.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lines = DurableLines(folder / "waiting.jsonl")
        self._refused = DurableLines(folder / "refused.jsonl")
        self._index = Index()
        self._settled_bytes = 0
        self._thread, self._depth = threading.RLock(), 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else read or append, neither thread nor process; may be nested."""
        with self._thread:
            if self._depth:
                yield
                return
            with self._lines.locked():
                self._depth = 1
                try:
                    yield
                finally:
                    self._depth = 0

    @property
    def empty(self) -> bool:
        """True while nothing waits; one system call."""
        return self._lines.size_bytes == 0

    @property
    def waiting(self) -> int:
        """Number of scorings that wait."""
        if self.empty:
            return 0
        with self.held():
            return sum(1 for _, line in self._whole_lines() if line.startswith(WAITING))

    @property
    def refused(self) -> int:
        """Number of scorings that were set aside."""
        if self._refused.size_bytes == 0:
            return 0
        return self._refused.path.read_bytes().count(b"\n")

    def append(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Keep a scoring (`storable_scoring`) on disk; False where its request waits already.

        Raises
        ------
        DiskFull, StoreReadOnly
            The disk cannot take it either; nothing of it is kept.
        """
        line = write_line(rows)
        with self.held():
            self._mend_end()
            if self.empty:
                self._lines.append(b"%s %s\n" % (BEGINS, secrets.token_hex(16).encode()), line)
                return True
            self._index.refresh(self._lines.path)
            if role_of(rows) in self._index.offsets.get(str(rows[0]["request_id"]), {}):
                return False
            self._lines.append(line)
        return True

    def find(self, request_id: str) -> list[dict[str, Any]]:
        """Return the rows that wait under a request, in every role; mostly none."""
        return self._found(lambda index: index.offsets.get(request_id, {}).values())

    def of_exam(self, exam_id: str) -> list[dict[str, Any]]:
        """Return the rows that wait about an exam, oldest scoring first; mostly none."""
        return self._found(lambda index: index.exams.get(exam_id, ()))

    def _found(self, choose: Callable[[Index], Iterable[int]]) -> list[dict[str, Any]]:
        if self.empty:
            return []
        with self.held():
            self._mend_end()
            if self.empty:
                return []
            self._index.refresh(self._lines.path)
            offsets = choose(self._index)
            lines = [next(whole_lines(self._lines.path, offset))[1] for offset in offsets]
        waits = [line for line in lines if line.startswith(WAITING)]
        return [row for line in waits for row in read_line(line) or ()]

    @contextmanager
    def draining(self) -> Iterator[bool]:
        """Be the one that drains; False where another process does."""
        with storing(self._lines.path):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self.folder / "draining.lock", wait=False) as mine:
                if mine:
                    self._settled_bytes = 0
                yield mine

    def oldest(self, count: int) -> list[Waiting]:
        """Return up to ``count`` scorings that wait, oldest first; for the one that drains."""
        found: list[Waiting] = []
        with self.held():
            self._mend_end()
            for offset, line in self._whole_lines(self._settled_bytes):
                if line.startswith(WAITING):
                    found.append(Waiting(offset, line, read_line(line)))
                if len(found) == count:
                    break
        return found

    def settle(self, done: Sequence[Waiting]) -> None:
        """Mark scorings that the database has; cut the file when none waits.

        Without any it does what one that was killed between the two has left to do.
        """
        with self.held():
            handle = os.open(self._lines.path, os.O_WRONLY)
            try:
                for one in done:
                    os.pwrite(handle, WRITTEN, one.offset)
                if self._none_waits():
                    os.ftruncate(handle, 0)
                    self._settled_bytes = 0
            finally:
                os.close(handle)

    def set_aside(self, one: Waiting) -> None:
        """Keep a scoring that will never be taken apart from those that wait."""
        with self._refused.locked():
            self._refused.cut_half_line()
            self._refused.append(one.line + b"\n")
        self.settle([one])

    def _none_waits(self) -> bool:
        """True where every line is marked; goes on from where it found one that waited."""
        self._mend_end()
        for offset, line in self._whole_lines(self._settled_bytes):
            self._settled_bytes = offset
            if not line.startswith(WRITTEN):
                return False
        return True

    def _whole_lines(self, start_bytes: int = 0) -> Iterator[tuple[int, bytes]]:
        return iter(()) if self.empty else whole_lines(self._lines.path, start_bytes)

    def _mend_end(self) -> None:
        """End the line of a writer that was killed: whole but for its newline, or cut off."""
        half = self._lines.half_line()
        if half and read_line(half) is not None:
            self._lines.append(b"\n")
        elif half:
            self._lines.cut_half_line()
