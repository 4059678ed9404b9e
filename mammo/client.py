"""The service from Python: typed answers, errors with the service's codes.

    with Screening("https://mammo.hospital:3000", token=TOKEN) as service:
        exam = service.score([Path("l_cc.dcm"), Path("l_mlo.dcm"), ...])
        print(exam.score, exam.decision, exam.abstention)

A request is tried again when the connection breaks or the service is
overloaded, under the same ``Idempotency-Key``: the exam is scored and logged
once, however often it was sent. File names stay here; the service sees numbers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from mammo.client_transport import Transport, problem_error, read_answer, retry_after_seconds
from mammo.contract import (
    FindingsAnswer,
    Job,
    LoggedExam,
    OutcomeIn,
    OutcomesAnswer,
    ReadyAnswer,
    ReleaseAnswer,
    ScoredExam,
)
from mammo.errors import DeadlineExceeded, ResultUnknown
from mammo.exam import Outcome

__all__ = ["Screening"]

TIMEOUT_SECONDS = 150.0
"""Above what the service gives an exam (``MAMMO_EXAM_SECONDS``), so that its refusal arrives."""
TRIES = 5
JOB_SECONDS = 3600.0
FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.25, 5.0
ZIP_MAGIC = b"PK\x03\x04"
File = Path | bytes
"""A DICOM or ZIP file, by its path or its content."""


class Screening:
    """A running service.

    Parameters
    ----------
    url
        Where it is, such as ``http://127.0.0.1:3000``.
    token
        What `mammo token add` printed; None where the service asks for none.
    timeout
        Seconds after which no request is tried again, and one try is given up.
    tries
        How often a request is sent at most.
    transport
        Another way than a socket to reach the service, of `httpx`; for tests.

    Every method raises `ServiceUnreachable`, `AnswerUnreadable`, or the error
    whose code the service answered, such as `TokenInvalid` or `Overloaded`.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        *,
        tries: int = TRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(url, token, timeout, max(1, tries), transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def score(self, files: Sequence[File], *, key: str | None = None) -> ScoredExam:
        """Score the files of one exam and wait for the answer.

        ``key`` is the Idempotency-Key, 1 to 200 printable ASCII characters: a
        caller that keeps it may ask again after a crash and gets the same
        answer. Raises `NothingReadable`, `MixedExams` and others.
        """
        answer = self._post_exam(files, key, {})
        return _renamed(read_answer(ScoredExam, answer), files)

    def submit(self, files: Sequence[File], *, key: str | None = None) -> Job:
        """Hand in the files of one exam to be scored later; see `wait`."""
        return read_answer(Job, self._post_exam(files, key, {"Prefer": "respond-async"}))

    def job(self, job: Job | str) -> Job:
        """Return how far a job is. Raises `JobUnknown`."""
        return read_answer(Job, self._get_job(job))

    def wait(self, job: Job | str, *, timeout: float = JOB_SECONDS) -> ScoredExam:
        """Return the answer of a job when it is done; look less often the longer it takes.

        Raises `DeadlineExceeded` after ``timeout`` seconds, the job's own error
        when it failed, and `ResultUnknown` when its answer is no longer kept.
        """
        until, pause = time.monotonic() + timeout, FIRST_LOOK_SECONDS
        while True:
            answer = self._get_job(job)
            found = read_answer(Job, answer)
            if found.is_over:
                return _answer_of(found)
            pause = retry_after_seconds(answer.headers) or pause
            if time.monotonic() + pause > until:
                raise DeadlineExceeded(
                    f"The job is {found.status} after {timeout:.0f} s of waiting; ask again later."
                )
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_LOOK_SECONDS)

    def exam(self, exam: str) -> LoggedExam:
        """Return the latest scoring of an exam, by its pseudonym. Raises `ExamUnknown`."""
        return read_answer(LoggedExam, self._get_exam(exam))

    def findings(self, exam: str) -> FindingsAnswer:
        """Return where the latest scoring saw something. Raises `ExamUnknown`, `ResultUnknown`."""
        return read_answer(FindingsAnswer, self._get_exam(exam, "/findings"))

    def heatmap(self, exam: str) -> bytes:
        """Return the exam under its heat map, a PNG. Raises `ExamUnknown`, `ResultUnknown`."""
        return self._get_exam(exam, "/heatmap.png").content

    def report(self, exam: str, kind: str = "report") -> bytes:
        """Return a DICOM document of the exam, for its own study; it names the patient.

        ``kind`` is ``cad`` (Mammography CAD SR), ``report`` (TID 1500) or ``marks``
        (presentation state). Of an exam that came in over DICOM and failed, the document
        says so. Raises `ExamUnknown`, `ExamNotScored` and `ResultUnknown`.
        """
        return self._get_exam(exam, f"/{kind}.dcm").content

    def add_outcomes(self, outcomes: Sequence[OutcomeIn | Outcome]) -> OutcomesAnswer:
        """Tell what became of exams; what is known already changes nothing.

        Raises `OutcomeInvalid` when one is wrong; then none is stored.
        """
        told = [_outcome_in(one).model_dump(mode="json") for one in outcomes]
        return read_answer(OutcomesAnswer, self._transport.call("POST", "/v1/outcomes", json=told))

    def release(self) -> ReleaseAnswer:
        """Return the release in service, and its challenger. Raises `NotReady`."""
        return read_answer(ReleaseAnswer, self._transport.call("GET", "/v1/release"))

    def ready(self) -> ReadyAnswer:
        """Return which release can score; needs no token. Raises `NotReady`."""
        return read_answer(ReadyAnswer, self._transport.call("GET", "/readyz"))

    def _post_exam(
        self, files: Sequence[File], key: str | None, headers: dict[str, str]
    ) -> httpx.Response:
        named = {"Idempotency-Key": key or uuid.uuid4().hex}
        parts = [_part(number, file) for number, file in enumerate(files, start=1)]
        return self._transport.call("POST", "/v1/exams", files=parts, headers=headers | named)

    def _get_job(self, job: Job | str) -> httpx.Response:
        name = job.id if isinstance(job, Job) else job
        return self._transport.call("GET", f"/v1/jobs/{quote(name, safe='')}")

    def _get_exam(self, exam: str, what: str = "") -> httpx.Response:
        return self._transport.call("GET", f"/v1/exams/{quote(exam, safe='')}{what}")


def _part(number: int, file: File) -> tuple[str, tuple[str, bytes, str]]:
    """Return a part of the body; a file's own name could be its patient's."""
    content = file if isinstance(file, bytes) else file.read_bytes()
    kind = "zip" if content.startswith(ZIP_MAGIC) else "dicom"
    suffix = "zip" if kind == "zip" else "dcm"
    return "files", (f"{number}.{suffix}", content, f"application/{kind}")


def _renamed(exam: ScoredExam, files: Sequence[File]) -> ScoredExam:
    """Give refused files the names that the caller knows; what lay in a ZIP keeps its own."""
    names = {f"{n}.dcm": one.name for n, one in enumerate(files, start=1) if isinstance(one, Path)}
    for one in exam.refused:
        one.file = names.get(one.file, one.file)
    return exam


def _answer_of(job: Job) -> ScoredExam:
    if job.problem is not None:
        raise problem_error(job.problem)
    if job.exam is None:
        raise ResultUnknown(
            "The exam was scored, and its answer is no longer kept; ask for the exam."
        )
    return job.exam


def _outcome_in(outcome: OutcomeIn | Outcome) -> OutcomeIn:
    if isinstance(outcome, OutcomeIn):
        return outcome
    side: Any = None if outcome.laterality is None else outcome.laterality.value
    return OutcomeIn(
        exam=outcome.exam_id,
        cancer=outcome.cancer,
        known_at=outcome.known_at,
        source=outcome.source,
        laterality=side,
    )
