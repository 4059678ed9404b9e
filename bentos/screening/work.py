"""What the routes work with, made from the settings; nothing is opened before it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from fastapi import Request

from bentos.screening import schema
from bentos.screening.admission import Admission
from bentos.screening.answering import Answered, Answering, Order
from bentos.screening.image_keeper import ImageKeeper
from bentos.screening.job_runner import JobRunner
from bentos.screening.jobs import JobStore, StoredJob
from bentos.screening.loading import VerifiedLoad
from bentos.screening.metrics import Metrics
from bentos.screening.rollout import Load, Rollout
from bentos.screening.shadow import ShadowScorer
from mammo.audit import AuditLog
from mammo.errors import ExamUnknown, LogUnavailable, ResultUnknown
from mammo.kept_images import ImageStore
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.durable import DurableLog
from mammo.prediction_log.spool import Spool
from mammo.reading import ViewReader
from mammo.results import KeptResult, ResultStore
from mammo.settings import Settings
from mammo.tokens import TokenStore

BUSY_SECONDS = 5.0
"""How long a prediction waits for a locked database before it goes to the spool."""


class Service:
    """Settings, log, rollout, queue, jobs, results, audit and metrics of one worker."""

    def __init__(self, settings: Settings, load: Load | None, embedded: Path | None) -> None:
        self.settings = settings
        self.reader = ViewReader.of(settings) if load is None else None
        self.log = PredictionLog(settings.log_url, pooled=True, busy_seconds=BUSY_SECONDS)
        self.durable = DurableLog(self.log, Spool(settings.spool_dir))
        self.tokens = TokenStore(settings.tokens_path)
        self.audit = AuditLog(settings.audit_path)
        self.results = ResultStore(settings.results_dir, settings.result_days)
        self.rollout = Rollout(
            settings.pointer_path, load or VerifiedLoad(settings, self.reader, embedded), embedded
        )
        self.admission = Admission(settings.exams_at_once, settings.queue_exams, settings.queue_mb)
        self.metrics = Metrics(self.rollout, self.admission, self.durable, self.audit)
        self.shadow = ShadowScorer(_call, count=self.metrics.count_shadow)
        self.images = ImageStore(settings.images_dir, settings.kept_image_days, settings.image_mb)
        self.keeper = ImageKeeper(settings, self.images, self.metrics.images_lost.inc)
        self.answering = Answering(
            settings, self.rollout, self.durable, self.results, self.audit, self.shadow,
            self.metrics, self.keeper,
        )  # fmt: skip
        self.jobs = JobStore(settings.jobs_dir, settings.queue_jobs)
        self.runner = JobRunner(self.jobs, self.score, self.run, self.answering.answer_of)
        self._scoring = anyio.CapacityLimiter(settings.exams_at_once)
        self._others = anyio.CapacityLimiter(max(4, os.cpu_count() or 1))

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``work`` in a thread, so that the event loop lives."""
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._others)

    async def score(self, order: Order) -> Answered:
        """Wait for the exam's turn, then score, log and audit it."""
        async with self.admission.turn(order.patience):
            return await anyio.to_thread.run_sync(
                self.answering.answer, order, limiter=self._scoring
            )

    async def note(
        self, request: Request, action: str, exam: str | None, release: str | None
    ) -> None:
        """Put into the audit log that the caller saw, or told, something of an exam."""
        await self.note_each(request, action, [exam], release)

    async def note_each(
        self,
        request: Request,
        action: str,
        exams: Sequence[str | None],
        release: str | None = None,
    ) -> None:
        """Put a line for each exam into the audit log."""
        caller = request.state.caller
        append = partial(
            self.audit.append_each, exams, caller.name, caller.roles, action, release, "ok", 200
        )
        await self.run(append)

    def store(self, outcomes: list[schema.OutcomeIn]) -> schema.OutcomesAnswer:
        """Store outcomes; those already known word for word change nothing."""
        new = self.log.add_outcomes([one.to_outcome() for one in outcomes])
        known = self.log.known_exams(one.exam for one in outcomes)
        unknown = sum(one.exam not in known for one in outcomes)
        counts = {"new": new, "repeated": len(outcomes) - new, "exam_unknown": unknown}
        for kind, number in counts.items():
            self.metrics.outcomes.labels(kind).inc(number)
        return schema.OutcomesAnswer(
            received=len(outcomes),
            new=new,
            repeated=len(outcomes) - new,
            exams_unknown=unknown,
        )

    def latest_kept(self, exam: str) -> KeptResult:
        """Return what is kept of the latest scoring of an exam that was answered.

        What is kept of one before is not the latest. Only while the log is away the newest
        that is kept stands for it: pictures do not wait for a database.

        Raises
        ------
        ExamUnknown
            No scoring of it was answered.
        ResultUnknown
            Nothing is kept of the latest.
        LogUnavailable
            Nothing is kept of the exam, and the log cannot tell whether there ever was.
        """
        try:
            row = self.durable.exam_report(exam)
        except LogUnavailable:
            with suppress(ResultUnknown):
                return self.results.latest(exam)
            raise
        if row is None:
            raise ExamUnknown("No prediction is logged under this exam id.")
        if row["request_id"] is None:  # a log of before requests had ids
            return self.results.latest(exam)
        try:
            return self.results.of_request(row["request_id"])
        except ResultUnknown:
            raise ResultUnknown(
                "Heat map, findings and images of the latest scoring of this exam are not kept; "
                "`?request=` asks for those of one before, where that is kept."
            ) from None

    def tell_exam(self, row: dict[str, Any]) -> schema.LoggedExam:
        """Return what is said of a logged exam, and of its kept answer where there is one."""
        return schema.logged_exam(row, self._kept(row.get("request_id")))

    def _kept(self, request_id: str | None) -> dict[str, Any] | None:
        try:
            return None if request_id is None else dict(self.results.of_request(request_id).answer)
        except ResultUnknown:
            return None

    def tell_job(self, job: StoredJob) -> schema.Job:
        """Return what is said of a job, with its answer where it is done.

        Raises LogUnavailable where only the log knows the answer, and is away.
        """
        links = {"self": f"/v1/jobs/{job.id}"}
        answer = None
        if job.status == "done":
            links["exam"] = f"/v1/exams/{job.exam}"
            answer = self.answering.answer_of(job.id)
        return schema.Job.model_validate(
            {
                "id": job.id,
                "status": job.status,
                "exam": answer,
                "problem": job.problem,
                "links": links,
            }
        )


def _call(work: Callable[[], None]) -> None:
    work()


__all__ = ["BUSY_SECONDS", "Service"]
