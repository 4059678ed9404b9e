"""Files kept for a while, each under its request and the latest as its exam's.

    requests/<2>/<32 hex>.zip    one file a request, named by a hash of it
    exams/<2>/<32 hex>           a link to the file of the exam's latest request

All worker processes share one folder: a file appears whole or not at all. Nothing is
synchronised with the disk. The folder is for its owner alone (mode 0700).
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

DRAFT_SECONDS = 3600.0
"""A half-written file so old was left by a process that was killed."""
DAY_SECONDS = 86_400.0


class KeptFiles:
    """A folder of files, the file of each named by a hash of its request.

    Parameters
    ----------
    folder
        Made on first use, with mode 0700.
    days
        How long a file is kept, at least; :meth:`sweep` removes what is older.
    max_mb
        The most that :meth:`sweep` leaves, in MiB; the oldest go first.
    """

    def __init__(self, folder: Path, days: float, max_mb: int) -> None:
        self.folder, self.days, self.max_mb = folder, days, max_mb

    def sweep(self, now: float | None = None) -> int:
        """Remove what is too old and, oldest first, what is too much; return how many went.

        ``now`` is seconds since 1970. Several processes may sweep at a time.
        """
        at = time.time() if now is None else now
        kept, removed = [], 0
        for path, modified, size in _list(self.folder / "requests"):
            draft = path.name.startswith(".")
            if at - modified > (DRAFT_SECONDS if draft else self.days * DAY_SECONDS):
                removed += _remove(path) and not draft
            elif not draft:
                kept.append((modified, size, path))
        removed += self._remove_above(kept)
        for link, _, _ in _list(self.folder / "exams"):
            if not link.exists():
                _remove(link)
        return removed

    def _remove_above(self, kept: list[tuple[float, int, Path]]) -> int:
        total, most, removed = sum(size for _, size, _ in kept), self.max_mb * 2**20, 0
        for _, size, path in sorted(kept):
            if total <= most:
                break
            total -= size
            removed += _remove(path)
        return removed

    def request_path(self, request_id: str) -> Path:
        """Return where the file of a request is, or would be."""
        name = _name(request_id)
        return self.folder / "requests" / name[:2] / f"{name}.zip"

    def exam_path(self, exam_id: str) -> Path:
        """Return where the link of an exam is, or would be."""
        name = _name(exam_id)
        return self.folder / "exams" / name[:2] / name

    def put(self, request_id: str, exam_id: str, write: Callable[[IO[bytes]], object]) -> None:
        """Let ``write`` write the file of a request, and make it the latest of its exam.

        Raises OSError; nothing half-written is left then.
        """
        path, link = self.request_path(request_id), self.exam_path(exam_id)
        for folder in (self.folder, path.parent, link.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(path, write)
        _point(link, path)


def _name(text: str) -> str:
    """Return a name for any text that a caller may send: nothing of it gets into a path."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        number = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w+b") as stream:
            write(stream)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _point(link: Path, path: Path) -> None:
    """Let the link lead to the path, in one step."""
    draft = link.with_name(f".{uuid.uuid4().hex}")
    draft.symlink_to(os.path.relpath(path, link.parent))
    draft.replace(link)


def _list(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Yield (path, modified, bytes) of the entries two levels down; a link is not followed."""
    for path in folder.glob("*/*"):
        with suppress(FileNotFoundError):  # another process sweeps, too
            facts = path.lstat()
            yield path, facts.st_mtime, facts.st_size


def _remove(path: Path) -> bool:
    """Remove a file; False where another process was faster."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
