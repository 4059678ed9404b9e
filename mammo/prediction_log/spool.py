"""Where predictions wait while the database cannot take them: never lost, logged once.

One file of lines that the worker processes share. A line is a mark, a checksum
and a scoring as JSON; the mark is one byte, changed in place when the database
has the scoring, so that draining a spool on a full disk needs no room. When
every line is marked the file is cut to nothing.
"""

from __future__ import annotations

import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from mammo.durable_lines import DurableLines, locked, storing

WAITING, WRITTEN = b"-", b"+"
HEAD = len("- 00000000 ")
_DATES = {"acquired_on": date.fromisoformat, "scored_at": datetime.fromisoformat}


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

    @property
    def empty(self) -> bool:
        """True while nothing waits; one system call."""
        return self._lines.size_bytes == 0

    @property
    def waiting(self) -> int:
        """Number of scorings that wait."""
        if self.empty:
            return 0
        with self._lines.locked():
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
        line = _line(rows)
        with self._lines.locked():
            self._mend_end()
            if self._holds(_needle(rows)):
                return False
            self._lines.append(line)
        return True

    def find(self, request_id: str) -> list[dict[str, Any]]:
        """Return the rows that wait under a request, in every role; mostly none."""
        if self.empty:
            return []
        needle = json.dumps(request_id).encode()
        with self._lines.locked():
            lines = [line for _, line in self._whole_lines() if needle in line]
        rows = [row for line in lines for row in _rows(line) or ()]
        return [row for row in rows if row["request_id"] == request_id]

    @contextmanager
    def draining(self) -> Iterator[bool]:
        """Be the one that drains; False where another process does."""
        with storing(self._lines.path):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self.folder / "draining.lock", wait=False) as mine:
                yield mine

    def oldest(self, count: int) -> list[Waiting]:
        """Return up to ``count`` scorings that wait, oldest first; for the one that drains."""
        found: list[Waiting] = []
        with self._lines.locked():
            self._mend_end()
            for offset, line in self._whole_lines():
                if line.startswith(WAITING):
                    found.append(Waiting(offset, line, _rows(line)))
                if len(found) == count:
                    break
        return found

    def settle(self, done: Sequence[Waiting]) -> None:
        """Mark scorings that the database has; cut the file when none waits."""
        with self._lines.locked():
            handle = os.open(self._lines.path, os.O_WRONLY)
            try:
                for one in done:
                    os.pwrite(handle, WRITTEN, one.offset)
                self._mend_end()
                if not any(line.startswith(WAITING) for _, line in self._whole_lines()):
                    os.ftruncate(handle, 0)
            finally:
                os.close(handle)

    def set_aside(self, one: Waiting) -> None:
        """Keep a scoring that will never be taken apart from those that wait."""
        with self._refused.locked():
            self._refused.cut_half_line()
            self._refused.append(one.line + b"\n")
        self.settle([one])

    def _whole_lines(self) -> Iterator[tuple[int, bytes]]:
        if self.empty:
            return
        offset = 0
        with self._lines.path.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    yield offset, line[:-1]
                offset += len(line)

    def _holds(self, needle: bytes) -> bool:
        return any(line.find(needle, HEAD) == HEAD for _, line in self._whole_lines())

    def _mend_end(self) -> None:
        """End the line of a writer that was killed: whole but for its newline, or cut off."""
        half = self._lines.half_line()
        if half and _rows(half) is not None:
            self._lines.append(b"\n")
        elif half:
            self._lines.cut_half_line()


def _line(rows: Sequence[Mapping[str, Any]]) -> bytes:
    body = {"request_id": rows[0]["request_id"], "role": _role(rows), "rows": _jsonable(rows)}
    text = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    return b"%s %08x %s\n" % (WAITING, zlib.crc32(text), text)


def _needle(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return how the text of every scoring of the request in this role begins."""
    start = {"request_id": rows[0]["request_id"], "role": _role(rows)}
    return json.dumps(start, separators=(",", ":")).encode()[:-1] + b","


def _role(rows: Sequence[Mapping[str, Any]]) -> str:
    return str(rows[0].get("role") or "champion")


def _rows(line: bytes) -> list[dict[str, Any]] | None:
    """Return the rows of a line, or None where it is not what was written."""
    text = line[HEAD:]
    if line[:1] not in (WAITING, WRITTEN) or line[1:HEAD] != b" %08x " % zlib.crc32(text):
        return None
    return [_parsed(row) for row in json.loads(text)["rows"]]


def _jsonable(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: _text(value) for name, value in row.items()} for row in rows]


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value.isoformat() if isinstance(value, date) else value


def _parsed(row: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(row)
    for name, parse in _DATES.items():
        if isinstance(values.get(name), str):
            values[name] = parse(values[name])
    if values.get("embedding") is not None:
        values["embedding"] = b64decode(values["embedding"])
    return values
