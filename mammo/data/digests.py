"""SHA-256 of files, remembered so that a folder looked at again is not read again.

The memory is keyed by a hash of the path, because paths may hold identities,
and is believed only while size and modification time are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Self


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class FileDigests:
    """Digests by path, size and modification time."""

    def __init__(self, path: Path, known: dict[str, list[object]]) -> None:
        self._path = path
        self._known = known
        self._changed = False

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
        status = path.stat()
        key = hashlib.blake2b(str(path.resolve()).encode(), digest_size=16).hexdigest()
        stamp: list[object] = [status.st_size, status.st_mtime_ns]
        remembered = self._known.get(key)
        if remembered is not None and remembered[:2] == stamp:
            return str(remembered[2])
        digest = digest_file(path)
        self._known[key] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write the memory atomically, if it learnt something."""
        if not self._changed:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(self._known))
        draft.replace(self._path)
        self._changed = False
