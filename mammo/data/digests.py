"""SHA-256 of files, remembered so that a folder looked at again is not read again.

The memory is keyed by a hash of the path, because paths may hold identities,
and is believed only while size and times are the same. A file that was changed
a moment ago is not remembered: a second change might leave the same times.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Self

from mammo.data.durable import write_text

SETTLED_SECONDS = 2.0
SAVE_EVERY = 1000


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class FileDigests:
    """Digests by path, size, modification and change time."""

    def __init__(self, path: Path, known: dict[str, list[object]]) -> None:
        self._path = path
        self._known = known
        self._learnt = 0

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the memory; one that is missing or damaged is an empty one."""
        try:
            known = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            known = {}
        return cls(path, known if isinstance(known, dict) else {})

    def digest(self, path: Path) -> str:
        """Return the file's SHA-256, from memory where the file is unchanged."""
        status, key = path.stat(), _key(path)
        stamp: list[object] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        remembered = self._known.get(key)
        if remembered is not None and remembered[:-1] == stamp:
            return str(remembered[-1])
        digest = digest_file(path)
        if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS:
            self._known[key] = [*stamp, digest]
            self._learnt += 1
            if self._learnt >= SAVE_EVERY:  # hashing a large set is hours that a kill may end
                self.save()
        return digest

    def forget(self, path: Path) -> None:
        """Have the file's bytes looked at again."""
        if self._known.pop(_key(path), None) is not None:
            self._learnt += 1

    def save(self) -> None:
        """Write the memory atomically, if it learnt something."""
        if self._learnt:
            write_text(self._path, json.dumps(self._known), self._path.parent / "staging")
            self._learnt = 0


def _key(path: Path) -> str:
    return hashlib.blake2b(str(path.resolve()).encode(), digest_size=16).hexdigest()
