"""Lines of the spool: a mark, a checksum and a scoring as JSON; and where each request's is."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

WAITING, WRITTEN, BEGINS = b"-", b"+", b"#"
HEAD = len("- 00000000 ")
"""Bytes of mark and checksum (CRC-32, hexadecimal) in front of the text."""
_DATES = {"acquired_on": date.fromisoformat, "scored_at": datetime.fromisoformat}


def write_line(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the line of a scoring (`storable_scoring`) that waits."""
    body = {"rows": [{name: _text(value) for name, value in row.items()} for row in rows]}
    text = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    return b"%s %08x %s\n" % (WAITING, zlib.crc32(text), text)


def read_line(line: bytes) -> list[dict[str, Any]] | None:
    """Return the rows of a line without its newline, or None where it is not what was written."""
    text = line[HEAD:]
    if line[:1] not in (WAITING, WRITTEN) or line[1:HEAD] != b" %08x " % zlib.crc32(text):
        return None
    return [_parsed(row) for row in json.loads(text)["rows"]]


def whole_lines(path: Path, start_bytes: int = 0) -> Iterator[tuple[int, bytes]]:
    """Return offset and text of each whole line of a scoring from an offset on."""
    offset = start_bytes
    with path.open("rb") as stream:
        stream.seek(offset)
        for line in stream:
            if line.endswith(b"\n") and not line.startswith(BEGINS):
                yield offset, line[:-1]
            offset += len(line)


def role_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the role of a scoring's rows, as the log fills it in."""
    return str(rows[0].get("role") or "champion")


@dataclass
class Index:
    """Offsets of the scorings of each request and exam, read once however often it is asked.

    A spool begins with a line of random digits; another beginning is another spool.
    """

    beginning: bytes = b""
    size_bytes: int = 0
    offsets: dict[str, dict[str, int]] = field(default_factory=dict)
    exams: dict[str, list[int]] = field(default_factory=dict)

    def refresh(self, path: Path) -> None:
        """Take in what was appended since; the caller holds the lock and ended the last line."""
        with path.open("rb") as stream:
            beginning = stream.readline()
        if beginning != self.beginning:
            self.beginning, self.size_bytes, self.offsets, self.exams = beginning, 0, {}, {}
        for offset, line in whole_lines(path, self.size_bytes):
            rows = read_line(line)
            if rows:
                of_request = self.offsets.setdefault(str(rows[0]["request_id"]), {})
                of_request.setdefault(role_of(rows), offset)
                self.exams.setdefault(str(rows[0]["exam_id"]), []).append(offset)
        self.size_bytes = path.stat().st_size


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
