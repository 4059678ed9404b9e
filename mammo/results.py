"""What was scored, kept for a while: for heat maps, findings and reports that are asked for later.

    store = ResultStore(settings.results_dir, settings.result_days)
    store.keep(request_id, report.exam_id, answer, scoring)
    store.latest(exam_id).heatmap_png()
    store.sweep()  # now and then: removes what is too old, or too much

The prediction log is the record of what was answered; this is not. What is lost
here costs a picture, so nothing is synchronised with the disk. All worker
processes share one folder: a file appears whole or not at all, and the latest of
an exam is the one whose link was set last.

The folder is for its owner alone (mode 0700): the images are of patients, and
where the original ids are kept, they name them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mammo.errors import DiskFull, StoreReadOnly
from mammo.kept_result import KeptResult, pack_result, unknown
from mammo.scoring import Scoring

__all__ = ["KeptResult", "ResultStore"]
MAX_MB = 20_000
DRAFT_SECONDS = 3600.0
"""A half-written file so old was left by a process that was killed."""
DAY_SECONDS = 86_400.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ResultStore:
    """A folder of scorings, the file of each named by a hash of its request.

    Parameters
    ----------
    folder
        Made on first use, with mode 0700.
    days
        How long a result is kept, at least; :meth:`sweep` removes what is older.
    max_mb
        The most that :meth:`sweep` leaves, in MiB; the oldest go first.
    """

    def __init__(self, folder: Path, days: float = 30.0, max_mb: int = MAX_MB) -> None:
        self.folder, self.days, self.max_mb = folder, days, max_mb

    def keep(
        self, request_id: str, exam_id: str, answer: Mapping[str, Any], scoring: Scoring
    ) -> None:
        """Keep a scoring under its request and as the latest of its exam.

        ``answer`` is what the caller was told, JSON-able. The same request again
        replaces what was kept.

        Raises
        ------
        DiskFull, StoreReadOnly
            Nothing half-written is left. The answer may be given all the same: only
            its pictures are lost.
        """
        data = pack_result(request_id, exam_id, answer, scoring)
        path, link = self._request_path(request_id), self._exam_path(exam_id)
        try:
            for folder in (self.folder, path.parent, link.parent):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _replace(path, data)
            _point(link, path)
        except OSError as error:
            if error.errno in FULL:
                raise DiskFull(
                    "The disk of the results is full; the scoring is logged, its heat map, "
                    "findings and report are not kept. Make room, or lower MAMMO_RESULT_DAYS."
                ) from error
            raise StoreReadOnly(
                f"The folder of the results cannot be written ({error.strerror}); the scoring "
                "is logged, its heat map, findings and report are not kept."
            ) from error

    def latest(self, exam_id: str) -> KeptResult:
        """Return the latest scoring kept of an exam; ResultUnknown where there is none."""
        return self._read(self._exam_path(exam_id), exam_id=exam_id)

    def of_request(self, request_id: str) -> KeptResult:
        """Return the scoring of a request; ResultUnknown where it is not kept."""
        return self._read(self._request_path(request_id), request_id=request_id)

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
        total, most = sum(size for _, size, _ in kept), self.max_mb * 2**20
        for _, size, path in sorted(kept):
            if total <= most:
                break
            total -= size
            removed += _remove(path)
        for link, _, _ in _list(self.folder / "exams"):
            if not link.exists():
                _remove(link)
        return removed

    def _read(self, path: Path, **wanted: str) -> KeptResult:
        found = KeptResult.read(path)
        if any(getattr(found, name) != value for name, value in wanted.items()):
            raise unknown()
        return found

    def _request_path(self, request_id: str) -> Path:
        name = _name(request_id)
        return self.folder / "requests" / name[:2] / f"{name}.zip"

    def _exam_path(self, exam_id: str) -> Path:
        name = _name(exam_id)
        return self.folder / "exams" / name[:2] / name


def _name(text: str) -> str:
    """Return a name for any text that a caller may send: nothing of it gets into a path."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as stream:
            stream.write(data)
        draft.replace(path)
    except OSError:
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
