"""Exams that were accepted to be scored while nobody waits: on disk before the 202.

    jobs/<id>/job.json    what is to be done, by whom it was asked, how far it is
    jobs/<id>/1.dcm …     the files, until the job is over

A job is a folder that appears whole. Workers share the folder: the one that holds
the lock of a job scores it, and the lock dies with its process, so that after a
kill another goes on. The job's id is the request's id in the log: scored twice,
it is logged once.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bentos.screening.upload import ReceivedFile
from mammo.contract import JobStatus
from mammo.errors import DiskFull, JobUnknown, Overloaded
from mammo.folder_entries import sync_folder
from mammo.release import write_json

RECORD, LOCK, FIRST = "job.json", "lock", "1.dcm"
DAY_SECONDS = 86_400.0
RETRY_AFTER_SECONDS = 30


@dataclass(frozen=True)
class StoredJob:
    """What a job's record holds; ``problem`` is problem+json where it failed.

    ``names`` are the caller's names of the files, which only the caller sees again.
    ``attempts`` counts the workers that began and have not told an end.
    """

    id: str
    who: str
    roles: tuple[str, ...]
    names: tuple[str, ...]
    files_sha256: str
    accepted_at: str
    status: JobStatus = "queued"
    exam: str | None = None
    problem: dict[str, Any] | None = None
    attempts: int = 0

    @property
    def is_over(self) -> bool:
        """True when nothing is left to do."""
        return self.status in ("done", "failed")


class JobStore:
    """The jobs of all workers of one installation.

    Parameters
    ----------
    folder
        Made on first use, for its owner alone.
    waiting
        Jobs that may wait; one more is Overloaded.
    """

    def __init__(self, folder: Path, waiting: int) -> None:
        self.folder, self.waiting = folder, waiting

    def accept(self, job: StoredJob, files: Sequence[ReceivedFile]) -> StoredJob:
        """Keep a job durably, unless it is there already; return what is kept.

        Raises Overloaded and DiskFull; then nothing is kept.
        """
        if (self.folder / job.id).is_dir():
            return self.read(job.id)
        if sum(1 for _ in self.open_ids()) >= self.waiting:
            raise Overloaded(
                f"{self.waiting} accepted exams wait to be scored, and no more may "
                f"(MAMMO_QUEUE_JOBS). Send it again after {RETRY_AFTER_SECONDS} s.",
                RETRY_AFTER_SECONDS,
            )
        draft = self.folder / f".{uuid.uuid4().hex}"
        try:
            self._write(draft, job, files)
            draft.rename(self.folder / job.id)
            sync_folder(self.folder)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # the same request came twice
                return self.read(job.id)
            raise DiskFull(
                "The exam could not be kept to be scored later: the disk of MAMMO_HOME is full "
                "or refuses. Nothing was accepted."
            ) from error
        return self.read(job.id)

    def _write(self, draft: Path, job: StoredJob, files: Sequence[ReceivedFile]) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        for number, one in enumerate(files, start=1):
            with (draft / f"{number}.dcm").open("xb") as stream:
                stream.write(one.data)
                stream.flush()
                os.fsync(stream.fileno())
        write_json(draft / RECORD, asdict(job))
        sync_folder(draft)

    def read(self, job_id: str) -> StoredJob:
        """Return a job. Raises JobUnknown."""
        path = self.folder / job_id / RECORD
        if not job_id.isalnum() or not path.is_file():
            raise JobUnknown("No job has this id; jobs are kept for MAMMO_RESULT_DAYS.")
        content = json.loads(path.read_text())
        pair = {name: tuple(content[name]) for name in ("roles", "names")}
        return StoredJob(**(content | pair))

    def files(self, job: StoredJob) -> list[ReceivedFile]:
        """Return the files of a job that is not over, in order."""
        folder = self.folder / job.id
        return [
            ReceivedFile(name, (folder / f"{number}.dcm").read_bytes())
            for number, name in enumerate(job.names, start=1)
        ]

    def open_ids(self) -> Iterator[str]:
        """Yield the ids of jobs with files left, the oldest first."""
        if not self.folder.is_dir():
            return
        found = [one for one in self.folder.iterdir() if one.name.isalnum()]
        waiting = [one for one in found if (one / FIRST).is_file()]
        yield from (one.name for one in sorted(waiting, key=_modified))

    @contextmanager
    def claim(self, job_id: str) -> Iterator[StoredJob | None]:
        """Yield the job under its lock, or None where another has it or it is over."""
        try:
            stream = (self.folder / job_id / LOCK).open("w")
        except FileNotFoundError:  # swept meanwhile
            yield None
            return
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            job = self.read(job_id)
            if job.is_over:  # killed before the files went: they hold a place, and name a patient
                self._drop_files(job_id)
            yield None if job.is_over else job

    def set(self, job: StoredJob, status: JobStatus, **more: Any) -> StoredJob:
        """Write a job's new status; one that is over loses its files."""
        changed = replace(job, status=status, **more)
        write_json(self.folder / job.id / RECORD, asdict(changed))
        if changed.is_over:
            self._drop_files(job.id)
        return changed

    def _drop_files(self, job_id: str) -> None:
        files = (self.folder / job_id).glob("*.dcm")
        # the first goes last: `open_ids` looks for it
        for path in sorted(files, key=lambda one: one.name == FIRST):
            path.unlink(missing_ok=True)

    def sweep(self, days: float) -> int:
        """Remove jobs that are over for so many days, and drafts of the dead; return how many."""
        if not self.folder.is_dir():
            return 0
        old = time.time() - days * DAY_SECONDS
        gone = [one for one in self.folder.iterdir() if _modified(one) < old]
        waiting = set(self.open_ids())
        removed = [one for one in gone if one.name not in waiting]
        for path in removed:
            shutil.rmtree(path, ignore_errors=True)
        return len(removed)


def new_job(
    job_id: str, who: str, roles: Sequence[str], files: Sequence[ReceivedFile], digest: str
) -> StoredJob:
    """Return the record of a job that has not begun."""
    names = tuple(one.name for one in files)
    now = datetime.now(UTC).isoformat()
    return StoredJob(job_id, who, tuple(roles), names, digest, now)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
