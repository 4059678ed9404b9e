"""Files of answered exams whose images are still to be kept, on disk, whatever is killed.

    waiting/<32 hex>/exam.json    of which request and exam
    waiting/<32 hex>/1.dcm …      the files as they were sent, until their images are kept

An exam is a folder that appears whole. Workers share the folder; the one that holds an
exam's lock makes its images, and the lock dies with its process. The files name the
patient: the folder is for its owner alone (mode 0700).
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mammo.errors import DiskFull

RECORD, LOCK = "exam.json", "lock"
DRAFT_SECONDS = 3600.0
MAX_MB = 8192


@dataclass(frozen=True)
class WaitingExam:
    """One exam whose files lie in ``folder``."""

    folder: Path
    request_id: str
    exam_id: str

    def files(self) -> Iterator[bytes]:
        """Yield its files, one at a time."""
        for path in sorted(self.folder.glob("*.dcm"), key=lambda one: int(one.stem)):
            yield path.read_bytes()

    def remove(self) -> None:
        """Remove it: nothing is left to do."""
        shutil.rmtree(self.folder, ignore_errors=True)


class WaitingImages:
    """The exams of all workers that wait; at most ``max_mb`` MiB of files."""

    def __init__(self, folder: Path, max_mb: int = MAX_MB) -> None:
        self.folder, self.max_mb = folder, max_mb

    def add(self, request_id: str, exam_id: str, files: Sequence[bytes]) -> None:
        """Let an exam's files wait. Raises DiskFull, where too much waits already, too."""
        size = sum(len(one) for one in files)
        if self.size_bytes() + size > self.max_mb * 2**20:
            raise DiskFull(f"More than {self.max_mb} MiB of files wait for their images.")
        draft = self.folder / f".{uuid.uuid4().hex}"
        try:
            for folder in (self.folder.parent, self.folder, draft):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for number, data in enumerate(files, start=1):
                (draft / f"{number}.dcm").write_bytes(data)
            told = {"request": request_id, "exam": exam_id}
            (draft / RECORD).write_text(json.dumps(told))
            draft.rename(self.folder / uuid.uuid4().hex)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise DiskFull("The files cannot wait for their images: the disk refuses.") from error

    def size_bytes(self) -> int:
        """Return the bytes of all files that wait."""
        return sum(_size(path) for path in self.folder.glob("*/*.dcm"))

    def holds(self, request_id: str) -> bool:
        """True while the exam of a request waits."""
        return any(one.request_id == request_id for one in self._exams())

    @contextmanager
    def take(self) -> Iterator[WaitingExam | None]:
        """Yield the oldest exam that nobody else has, under its lock; None where there is none."""
        for exam in self._exams():
            try:
                lock = (exam.folder / LOCK).open("w")
            except FileNotFoundError:  # done by another meanwhile
                continue
            with lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if (exam.folder / RECORD).exists():
                    yield exam
                    return
        yield None

    def sweep(self) -> None:
        """Remove what a killed process has left half-written."""
        for path in self.folder.glob(".*"):
            if time.time() - _modified(path) > DRAFT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)

    def _exams(self) -> Iterator[WaitingExam]:
        folders = [one for one in self.folder.glob("*") if one.name.isalnum()]
        for folder in sorted(folders, key=_modified):
            try:
                told = json.loads((folder / RECORD).read_text())
            except (FileNotFoundError, ValueError):  # done meanwhile, or cut off by a power cut
                if time.time() - _modified(folder) > DRAFT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            yield WaitingExam(folder, told["request"], told["exam"])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
