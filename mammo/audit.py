"""Who did what, in a chain: a line that is changed, removed or moved is found.

One JSON object a line: ``seq`` (from 1), ``at`` (UTC), ``who`` (name of a
token), ``roles``, ``action``, ``exam`` (pseudonym), ``release``, ``result``,
``status`` (HTTP), ``request_id``, ``prev`` (the hash of the line before; zeros at
first) and ``hash``: HMAC-SHA256 (RFC 2104) of the line without it, under a key
that is made on first use beside the log.

What this protects: nobody without the key can change, remove, insert or reorder
a line unseen. Cutting lines off the end leaves a shorter chain that holds, and
who can read the key can write the chain anew: both are seen only against a head
(``mammo audit head``) that is kept where the service cannot write.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mammo.audit_chain import (
    START,
    AuditReport,
    Head,
    check_chain,
    head_of,
    read_line,
    sign,
    to_line,
)
from mammo.durable_lines import DurableLines, storing
from mammo.errors import AuditKeyMissing
from mammo.folder_entries import sync_folder

KEY_BYTES = 32
KEY_NAME = "audit.key"


class AuditLog:
    """The chain in the file ``path`` (`Settings.audit_path`); several processes may append.

    Raises, whatever is called: `AuditKeyMissing` where there are lines and no key,
    `StoreReadOnly` where the files cannot be read or made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = DurableLines(path)
        self._key_path = path.with_name(KEY_NAME)

    def append(
        self,
        who: str,
        roles: Iterable[str],
        action: str,
        exam: str | None = None,
        release: str | None = None,
        result: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> Head:
        """Add a line and return the new head; on return it is on disk.

        Half a line that a killed writer has left is cut off, and a line of the
        action ``audit.mended`` says so.

        Raises
        ------
        DiskFull
            The line cannot be kept; nothing of it is.
        """
        return self.append_each([exam], who, roles, action, release, result, status, request_id)

    def append_each(
        self,
        exams: Sequence[str | None],
        who: str,
        roles: Iterable[str],
        action: str,
        release: str | None = None,
        result: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> Head:
        """Add a line for each exam, all or none, with one flush: for requests about many.

        Raises what `append` raises.
        """
        common: dict[str, Any] = {
            "who": who,
            "roles": sorted(roles),
            "action": action,
            "release": release,
        }
        common |= {"result": result, "status": status, "request_id": request_id}
        entries = [common | {"exam": exam} for exam in exams]
        with self._lines.locked():
            key = self._key()
            half = self._lines.cut_half_line()
            mended = [_mended(len(half))] if half else []
            return self._add([*mended, *entries], self._head(key), key)

    def head(self) -> Head:
        """Return the end of the chain, to be kept where the service cannot write."""
        if not self.path.exists():
            return START
        with self._lines.locked():
            return self._head(self._key())

    def verify(self, expected_head: Head | str | None = None) -> AuditReport:
        """Check every line, and that a head kept elsewhere is still part of the chain.

        Writers are not held up: lines that come meanwhile are left to the next time.
        """
        wanted = Head.parse(expected_head) if isinstance(expected_head, str) else expected_head
        if not self.path.exists():
            return check_chain((), b"", wanted)
        with self._lines.locked():
            key, size_bytes = self._key(), self._lines.size_bytes
        return check_chain(self._read(size_bytes), key, wanted)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Return the lines that are genuine, oldest first; see `verify` for the others."""
        if not self.path.exists():
            return
        with self._lines.locked():
            key, size_bytes = self._key(), self._lines.size_bytes
        for line in self._read(size_bytes):
            entry = read_line(line, key)
            if entry is not None:
                yield entry

    def _add(self, entries: Sequence[dict[str, Any]], head: Head, key: bytes) -> Head:
        at, lines = datetime.now(UTC).isoformat(), []
        for entry in entries:
            signed = sign(entry | {"at": at}, head, key)
            lines.append(to_line(signed))
            head = Head(signed["seq"], signed["hash"])
        if lines:
            self._lines.append(*lines)
        return head

    def _head(self, key: bytes) -> Head:
        last = self._lines.last_line()
        if last is None:
            return START
        head = head_of(last + b"\n", 0, key)
        # a last line that was tampered with has no number of its own
        return head if head.seq else head._replace(seq=self.path.read_bytes().count(b"\n"))

    def _read(self, size_bytes: int) -> Iterator[bytes]:
        with storing(self.path), self.path.open("rb") as stream:
            for line in stream:
                size_bytes -= len(line)
                if size_bytes < 0:
                    return
                yield line

    def _key(self) -> bytes:
        """Return the key, made (mode 0600) while the log is empty; under the lock."""
        if not self._key_path.exists():
            if self._lines.size_bytes:
                raise AuditKeyMissing(
                    f"{self._key_path.name} is not beside the audit log, whose lines cannot be "
                    "checked or continued without it: restore it from a backup, or move the log "
                    "away to begin another"
                )
            self._make_key()
        return self._key_path.read_bytes()

    def _make_key(self) -> None:
        draft = self._key_path.with_suffix(".draft")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(handle, secrets.token_bytes(KEY_BYTES))
            os.fsync(handle)
        finally:
            os.close(handle)
        draft.replace(self._key_path)
        sync_folder(draft.parent)


def _mended(size_bytes: int) -> dict[str, Any]:
    result = f"half a line of {size_bytes} bytes was cut off"
    entry = {"who": "mammo", "roles": [], "action": "audit.mended", "result": result}
    return entry | dict.fromkeys(("exam", "release", "status", "request_id"))
