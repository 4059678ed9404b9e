"""Scores accepted exams, in turn with those that somebody waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from bentos.screening.answering import Answered, Order
from bentos.screening.jobs import JobStore, StoredJob
from bentos.screening.schema import name_refused
from mammo.errors import JobUnknown, LogUnavailable, MammoError
from mammo.patience import Patience

LOOK_SECONDS = 2.0
MOST_ATTEMPTS = 5
COME_AGAIN = (503, 504, 507)
"""States of the service and not of the exam: the job stays and is tried again."""
_log = logging.getLogger("mammo.service")

Score = Callable[[Order], Awaitable[Answered]]
Run = Callable[..., Awaitable[Any]]
AnswerOf = Callable[[str], dict[str, Any] | None]


class JobRunner:
    """Takes jobs of the store, whichever worker accepted them, and scores them.

    ``score`` waits for the exam's turn; ``run`` calls what touches the disk in a thread;
    ``answer_of`` tells what was answered to a request, by whichever worker.
    """

    def __init__(self, jobs: JobStore, score: Score, run: Run, answer_of: AnswerOf) -> None:
        self.jobs, self._score, self._run, self._answer_of = jobs, score, run, answer_of
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for jobs at once."""
        self._woken.set()

    async def follow(self) -> None:
        """Score jobs until cancelled; what a dead worker left is found within seconds."""
        while True:
            self._woken.clear()
            for job_id in await self._open_ids():
                await self._take(job_id)
            try:
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def _open_ids(self) -> list[str]:
        try:
            return list(await self._run(lambda: list(self.jobs.open_ids())))
        except OSError as error:
            _log.error("the jobs cannot be listed: %s", type(error).__name__)
            return []

    async def _take(self, job_id: str) -> None:
        try:
            with self.jobs.claim(job_id) as job:
                if job is not None:
                    await self._do(job)
        except JobUnknown:  # swept between two looks
            return
        except Exception as error:  # noqa: BLE001 - a spoilt job must not hold up all others
            _log.error("a job could not be done: %s", type(error).__name__)

    async def _do(self, job: StoredJob) -> None:
        if job.attempts >= MOST_ATTEMPTS:
            await self._give_up(job)
            return
        try:
            await self._attempt(job)
        except asyncio.CancelledError:  # the service is stopped: that says nothing of the exam
            with suppress(OSError):  # it counts then; a full disk must not hold up the stop
                if not self.jobs.read(job.id).is_over:
                    self.jobs.set(job, "queued")
            raise

    async def _attempt(self, job: StoredJob) -> None:
        running = await self._run(lambda: self.jobs.set(job, "running", attempts=job.attempts + 1))
        files = await self._run(self.jobs.files, job)
        order = Order(
            job.id, job.who, job.roles, files, job.files_sha256, Patience(None), repeatable=True
        )
        try:
            answered = await self._score(order)
        except MammoError as error:
            if error.http_status in COME_AGAIN:
                await self._run(lambda: self.jobs.set(running, "queued", attempts=0))
                await asyncio.sleep(LOOK_SECONDS)
                return
            await self._fail(running, error)
        except Exception as error:  # noqa: BLE001 - the other jobs must go on
            _log.error("job failed with an unexpected %s", type(error).__name__)
            await self._fail(
                running, MammoError("The exam failed inside the service; it was logged.")
            )
        else:
            await self._run(lambda: self.jobs.set(running, "done", exam=answered.body["exam"]))

    async def _give_up(self, job: StoredJob) -> None:
        """End a job that workers die of; the last of them may have died of its answer's log."""
        try:
            answer = await self._run(self._answer_of, job.id)
        except LogUnavailable:
            return  # whether it was answered is not known yet
        if answer is not None:
            await self._run(lambda: self.jobs.set(job, "done", exam=answer["exam"]))
            return
        died = f"{job.attempts} workers ended while they scored this exam; it is given up."
        await self._fail(job, MammoError(died))

    async def _fail(self, job: StoredJob, error: MammoError) -> None:
        problem = error.problem()
        if refused := getattr(error, "refused", ()):
            problem["refused"] = name_refused(refused, job.names)
        await self._run(lambda: self.jobs.set(job, "failed", problem=problem))
