"""The demo's hospital: sends exams over HTTP, lands them in the inbox, posts outcomes late."""

from __future__ import annotations

import csv
import itertools
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bentos.screening.access_rules import may_be_open
from mammo.settings import Settings
from mammo.tokens import TokenStore

TIMEOUT_SECONDS = 60.0
OUTCOME_LAG_EXAMS = 15


@dataclass(frozen=True)
class PhantomExam:
    """Files of one phantom exam, and the truth that a biopsy will tell: side -> cancer."""

    patient: str
    files: tuple[Path, ...]
    truth: dict[str, bool]


def list_exams(directory: Path) -> list[PhantomExam]:
    """Read a set of phantoms in the RSNA layout, one exam a patient."""
    exams: dict[str, dict[str, Any]] = {}
    with (directory / "train.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            exam = exams.setdefault(row["patient_id"], {"files": [], "truth": {}})
            name = f"{row['image_id']}.dcm"
            exam["files"].append(directory / "train_images" / row["patient_id"] / name)
            exam["truth"][row["laterality"]] = row["cancer"] == "1"
    return [PhantomExam(p, tuple(e["files"]), e["truth"]) for p, e in exams.items()]


def own_token(settings: Settings) -> str | None:
    """Make a token for the demo's requests where its service will ask for one, else None."""
    store = TokenStore(settings.tokens_path)
    return None if may_be_open(settings, store) else store.add("demo", ["predict", "outcomes"])


@dataclass
class Stream:
    """A client that sends exams one after another and remembers every answer.

    ``scored`` has a record per answered exam; ``sent`` and ``failed`` count all
    requests, of exams and of outcomes. An outcome is posted `OUTCOME_LAG_EXAMS`
    exams after its exam. An exam that was answered before is marked ``repeat``:
    it is a request like any other, and no evidence.
    """

    settings: Settings
    scored: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    pending: list[dict[str, Any]] = field(default_factory=list)
    seen: set[tuple[Path, ...]] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        token = own_token(self.settings)
        self.client = httpx.Client(
            base_url=self.settings.service_url,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_SECONDS,
        )

    def send(self, exams: Iterable[PhantomExam], *, pause_seconds: float = 0.0) -> int:
        """Send exams until they or the patience end; return how many were sent."""
        count = 0
        for exam in exams:
            if self.stopping.is_set():
                break
            started = time.monotonic()
            self.send_one(exam)
            count += 1
            self.post_due_outcomes()
            self.stopping.wait(max(0.0, pause_seconds - (time.monotonic() - started)))
        return count

    def send_one(self, exam: PhantomExam) -> None:
        """Post one exam, keep its answer, and land its files where the archive would."""
        answer = self.post_files(exam.files)
        if answer is None:
            return
        record = {
            "number": len(self.scored) + 1,
            "exam": answer["exam"],
            "patient": exam.patient,
            "scanner": answer["scanner"],
            "release": answer["release"],
            "score": answer["score"],
            "threshold": answer["threshold"],
            "recalled": answer["decision"] == "recall",
            "label": int(any(exam.truth.values())),
            "repeat": exam.files in self.seen,
        }
        self.scored.append(record)
        if record["repeat"]:
            return
        self.seen.add(exam.files)
        self.pending.append(record | {"truth": exam.truth})
        land(exam, self.settings.inbox_dir)

    def post_files(self, files: Iterable[Path]) -> dict[str, Any] | None:
        """Post files as one exam; None, counted and noted, when the service did not answer it."""
        parts = [("files", (path.name, path.read_bytes(), "application/dicom")) for path in files]
        answer = self._request("/v1/exams", files=parts)
        return None if answer is None else dict(answer.json())

    def post_outcome(self, record: dict[str, Any]) -> None:
        """Post what became of each breast of an exam."""
        known_at = datetime.now(UTC).isoformat()
        outcomes = [
            {
                "exam": record["exam"],
                "laterality": side,
                "cancer": cancer,
                "known_at": known_at,
                "source": "phantom-truth",
            }
            for side, cancer in record["truth"].items()
        ]
        self._request("/v1/outcomes", json=outcomes)

    def post_due_outcomes(self) -> None:
        """Post the outcomes of exams that lie `OUTCOME_LAG_EXAMS` or more back."""
        while self.pending and len(self.scored) - self.pending[0]["number"] >= OUTCOME_LAG_EXAMS:
            self.post_outcome(self.pending.pop(0))

    def post_remaining_outcomes(self) -> None:
        """Post the outcomes that are still due."""
        while self.pending:
            self.post_outcome(self.pending.pop(0))

    def _request(self, path: str, **content: Any) -> httpx.Response | None:
        self.sent += 1
        try:
            answer = self.client.post(path, **content)
            if answer.is_success:
                return answer
            problem = f"{answer.status_code} {answer.text[:200]}"
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        self.failed += 1
        self.errors.append(f"{path}: {problem}")
        return None


def land(exam: PhantomExam, inbox: Path) -> None:
    """Put an exam's files into the inbox, where the next ingest finds them."""
    inbox.mkdir(parents=True, exist_ok=True)
    for path in exam.files:
        target = inbox / path.name
        if not target.exists():
            os.link(path, target)


@dataclass
class Background:
    """Sends a stream from a thread of its own, so that the loop can act meanwhile.

    Exams are sent every ``pause_seconds``; when they are used up they are sent
    again and again, every ``repeat_seconds``. What ends the thread before its time
    is raised where the block ends.
    """

    stream: Stream
    exams: Sequence[PhantomExam]
    pause_seconds: float
    repeat_seconds: float
    error: Exception | None = None

    def __enter__(self) -> Background:
        self.stream.stopping.clear()
        self.thread = threading.Thread(target=self._run, name="hospital", daemon=True)
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            self.stream.send(self.exams, pause_seconds=self.pause_seconds)
            self.stream.send(itertools.cycle(self.exams), pause_seconds=self.repeat_seconds)
        except Exception as error:  # noqa: BLE001 - raised again by __exit__
            self.error = error

    def __exit__(self, kind: object, first: BaseException | None, trace: object) -> None:
        self.stream.stopping.set()
        self.thread.join()
        self.stream.stopping.clear()
        if self.error is None:
            return
        if first is None:
            raise self.error
        first.add_note(f"The stream had ended: {type(self.error).__name__}: {self.error}")
