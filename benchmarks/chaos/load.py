"""Client systems that do not give up: each exam is sent until it is answered.

A client sends an exam under an ``Idempotency-Key``, and again under the same one
when the connection breaks or the service cannot answer (RFC 9110 9.2.2: a retry
is safe only where it cannot be done twice).
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from benchmarks.chaos.exams import ExamMaker, SmallExam

RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which a client sends the same request again."""
PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 0.2


@dataclass
class Sent:
    """One exam as its client saw it: what every attempt gave, and the answer.

    ``attempts`` holds a status or the name of what broke, in order; ``answer`` is
    the body of the 200, ``replays`` the bodies that the same key gave afterwards.
    With ``later`` it was accepted with 202 first and asked for as a job.
    """

    exam: SmallExam
    key: str
    attempts: list[str] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    replays: list[dict[str, Any]] = field(default_factory=list)
    later: bool = False
    seconds: float = 0.0
    answered_at: float = 0.0


class Client:
    """Sends exams over connections of its own, a fresh one for each request.

    With kept connections a client would stay with one worker.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 30.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=url, timeout=timeout_s, limits=limits, headers=headers)

    def send(self, exam: SmallExam, key: str) -> tuple[str, dict[str, Any]]:
        """Send once; return the status, or what broke, and the body."""
        return self._ask("POST", "/v1/exams", files=exam.parts, headers={"Idempotency-Key": key})

    def submit(self, exam: SmallExam, key: str) -> tuple[str, dict[str, Any]]:
        """Send once to be scored later; the body of a 202 is the job."""
        headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
        return self._ask("POST", "/v1/exams", files=exam.parts, headers=headers)

    def score(self, exam: SmallExam, key: str, *, later: bool = False) -> Sent:
        """Send until it is answered, it is refused for good, or patience ends."""
        sent, started = Sent(exam, key, later=later), time.monotonic()
        until = started + PATIENCE_SECONDS
        if later:
            accepted = self._until(sent, until, "202", lambda: self.submit(exam, key))
            if accepted is not None:
                sent.answer = self._wait_for(sent, until, str(accepted["id"]))
            if sent.answer is None:  # a job that failed stays failed: send it anew
                sent.key = f"{key}-anew"
        if sent.answer is None:
            sent.answer = self._until(sent, until, "200", lambda: self.send(exam, sent.key))
        sent.answered_at = time.monotonic()
        sent.seconds = sent.answered_at - started
        return sent

    def _until(
        self, sent: Sent, until: float, wanted: str, ask: Callable[[], tuple[str, dict[str, Any]]]
    ) -> dict[str, Any] | None:
        """Ask until the wanted status comes; None where another one is for good."""
        while time.monotonic() < until:
            status, body = ask()
            sent.attempts.append(status)
            if status == wanted:
                return body
            if status.isdigit() and int(status) not in RETRIED:
                return None
            time.sleep(PAUSE_SECONDS)
        return None

    def wait_for(self, sent: Sent, jobs: Collection[str]) -> None:
        """Wait until these jobs of one exam are over and keep the answer."""
        for job_id in jobs:
            until = time.monotonic() + PATIENCE_SECONDS
            sent.answer = self._wait_for(sent, until, job_id)

    def _wait_for(self, sent: Sent, until: float, job_id: str) -> dict[str, Any] | None:
        """Ask for a job until it is over; return its answer, None where it failed."""
        while time.monotonic() < until:
            status, job = self._ask("GET", f"/v1/jobs/{job_id}")
            if status != "200":
                sent.attempts.append(f"job {status}")
            elif job["status"] in ("done", "failed"):
                sent.attempts.append(f"job {job['status']}")
                return job.get("exam")
            time.sleep(PAUSE_SECONDS)
        return None

    def _ask(self, method: str, path: str, **more: Any) -> tuple[str, dict[str, Any]]:
        try:
            answer = self._http.request(method, path, **more)
            return str(answer.status_code), answer.json()
        except httpx.HTTPError as error:
            return type(error).__name__, {}
        except ValueError:
            return "no JSON", {}

    def repeat(self, sent: Sent) -> None:
        """Send an answered exam again under its key and keep what comes."""
        status, body = self.send(sent.exam, sent.key)
        sent.attempts.append(f"again {status}")
        if status == "200":
            sent.replays.append(body)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class Load:
    """Clients in threads that send exam after exam until the block ends or ``total`` is reached.

    A share ``repeated`` of the answered exams is sent once more under the same key, and
    a share ``later`` is sent to be scored later.
    """

    def __init__(
        self,
        url: str,
        maker: ExamMaker,
        *,
        clients: int = 4,
        total: int | None = None,
        repeated: float = 0.1,
        later: float = 0.1,
        token: str | None = None,
        first: int = 0,
    ) -> None:
        self.sent: list[Sent] = []
        self._url, self._maker, self._token = url, maker, token
        self._repeated, self._later = repeated, later
        numbers = itertools.count(first) if total is None else range(first, first + total)
        self._numbers, self._lock = iter(numbers), threading.Lock()
        self._stop, self._faults = threading.Event(), list[BaseException]()
        self._threads = [
            threading.Thread(target=self._guard, args=(self._run, seed)) for seed in range(clients)
        ]

    @property
    def answered(self) -> int:
        """How many exams were answered so far."""
        return sum(one.answer is not None for one in list(self.sent))

    def wait(self) -> None:
        """Wait until all of ``total`` were sent."""
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self.wait()
        if self._faults and error is None:
            raise self._faults[0]

    def _guard(self, work: Callable[[int], None], seed: int) -> None:
        try:
            work(seed)
        except BaseException as error:  # noqa: BLE001 - told where the block ends
            self._faults.append(error)

    def _run(self, seed: int) -> None:
        client, dice = Client(self._url, self._token), random.Random(seed)
        while not self._stop.is_set() and (number := self._next()) is not None:
            later = dice.random() < self._later
            sent = client.score(self._maker.make(number), f"exam-{number}", later=later)
            self.sent.append(sent)
            if sent.answer is not None and dice.random() < self._repeated:
                client.repeat(sent)
        client.close()

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)
