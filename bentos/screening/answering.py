"""From the files of a request to an answer that is in the log, or in none.

The order makes an answered prediction durable and a repeated request harmless:
read, score, log (or spool), keep for the heat map and the report, audit, answer.
Killed before the log, nothing was predicted; killed after it, the same request
sent again is answered from what is there.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from bentos.screening.asked import require_same
from bentos.screening.image_keeper import ImageKeeper
from bentos.screening.metrics import Metrics
from bentos.screening.rollout import Rollout
from bentos.screening.shadow import ShadowScorer
from bentos.screening.trying import Scored, Trying
from bentos.screening.upload import ReceivedFile
from mammo.audit import AuditLog
from mammo.contract import LoggedExam, ScoredExam
from mammo.errors import (
    DeadlineExceeded,
    DiskFull,
    LogUnavailable,
    MammoError,
    RequestCancelled,
    ResultUnknown,
    StoreReadOnly,
)
from mammo.patience import Patience
from mammo.prediction_log.durable import DurableLog
from mammo.results import ResultStore
from mammo.scoring import Scoring
from mammo.settings import Settings

FILES_DIGEST = "files_sha256"
LOCK_DIGITS = 3
"""Of a request's id: 4096 locks for all requests, made when needed."""
LOOK_SECONDS = 0.02
NO_FAILURES = (409, 503, 507)
"""Of the key, or of the service and not of the exam: the caller sends it again."""
_log = logging.getLogger("mammo.service")


@dataclass(frozen=True)
class Order:
    """An exam to be scored: for whom, under which id, from which files, until when.

    ``repeatable`` says that the same id may come again; ``files_sha256`` is of
    the contents (`asked.digest_files`), None where it may not. ``study`` is the gateway's
    name of it, where that sends it.
    """

    request_id: str
    who: str
    roles: tuple[str, ...]
    files: list[ReceivedFile]
    files_sha256: str | None
    patience: Patience
    repeatable: bool = False
    study: str | None = None

    @property
    def names(self) -> list[str]:
        """The caller's names of the files, for the caller alone."""
        return [one.name for one in self.files]


@dataclass(frozen=True)
class Answered:
    """An answer, as `mammo.contract.ScoredExam` has it; ``replayed`` when it was given before."""

    body: dict[str, Any]
    replayed: bool = False


class Answering:
    """Scores exams for callers; safe to call from several threads."""

    def __init__(
        self,
        settings: Settings,
        rollout: Rollout,
        durable: DurableLog,
        results: ResultStore,
        audit: AuditLog,
        shadow: ShadowScorer[Callable[[], None]],
        metrics: Metrics,
        keeper: ImageKeeper,
    ) -> None:
        self.settings, self.rollout, self.durable = settings, rollout, durable
        self.results, self.audit, self.metrics = results, audit, metrics
        self.keeper = keeper
        self._trying = Trying(settings, rollout, durable, shadow, metrics)

    def answer(self, order: Order) -> Answered:
        """Score, log and audit an exam, or return the answer that its request got before.

        Raises what reading, scoring and logging raise; IdempotencyConflict when the
        same key came with other files.
        """
        try:
            if not order.repeatable:
                return self._answer_anew(order)
            with self._alone(order):
                return self.replay(order) or self._answer_anew(order)
        except DeadlineExceeded as error:
            self._note_failure(order, error)
            raise
        except RequestCancelled:
            raise
        except MammoError as error:
            self._audit(order, None, None, error.code, error.http_status)
            self._note_failure(order, error)
            raise
        except Exception:
            self._note_failure(order, MammoError("The exam failed inside the service."))
            raise

    @contextmanager
    def _alone(self, order: Order) -> Iterator[None]:
        """Let one at a time, of all workers, be at work on a request: the others get its answer."""
        folder = self.settings.locks_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / order.request_id[:LOCK_DIGITS]).open("w") as lock:
            while True:
                order.patience.require()
                with suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(LOOK_SECONDS)
            yield

    def replay(self, order: Order) -> Answered | None:
        """Return the answer that was given under this request id, or None."""
        try:
            given = self._given(order.request_id)
        except LogUnavailable:
            return None  # what is scored meanwhile meets the same id when it is written
        if given is None:
            return None
        require_same(given.get(FILES_DIGEST), order.files_sha256)
        return self._replayed(order, given)

    def answer_of(self, request_id: str) -> dict[str, Any] | None:
        """Return what was answered to a request, as `ScoredExam` has it; None if nothing was.

        What is kept may be lost, by a kill or with its disk; the log has the answer for good,
        without its views. Raises LogUnavailable where it is not kept and the log is away.
        """
        given = self._given(request_id)
        return None if given is None else _without_digest(given)

    def _given(self, request_id: str) -> dict[str, Any] | None:
        with suppress(ResultUnknown):
            return dict(self.results.of_request(request_id).answer)
        row = self.durable.scoring(request_id)
        return None if row is None else _from_log(row)

    def _note_failure(self, order: Order, error: MammoError) -> None:
        """Note a failure for the list of exams; of a study, the gateway's book tells it."""
        if order.study or error.http_status in NO_FAILURES:
            return
        try:
            self.durable.log.add_failed_request(order.request_id, error.code, error.message)
        except MammoError as refusal:
            _log.error("a failure is not in the list of exams: %s", refusal.code)

    def _answer_anew(self, order: Order) -> Answered:
        scored = self._trying.score(order)
        report, role = scored.scoring.report, scored.route.role
        order.patience.require()  # from here on it is a prediction
        with self.metrics.stage("log"):
            *breasts, exam = report.to_log_rows(role)
            rows = [*breasts, exam | {FILES_DIGEST: order.files_sha256}]
            state = self.durable.append(order.request_id, rows)
        if state == "repeated":  # another worker was first with the same request
            known = self.replay(order)
            if known is not None:
                return known
        body = self._body(order, scored)
        with self.metrics.stage("keep"):
            self._keep(order, scored.scoring, body)
        self._audit(order, report.exam_id, report.release_id, body["decision"], 200)
        self.metrics.count_report(report)
        self.metrics.count_seconds(scored.scoring)
        self._trying.offer_shadow(order, scored)
        self.keeper.offer(order.request_id, report.exam_id, [one.data for one in order.files])
        return Answered(body)

    def _body(self, order: Order, scored: Scored) -> dict[str, Any]:
        release, report = scored.route.answering.release, scored.scoring.report
        answer = ScoredExam.of(
            report,
            order.names,
            request=order.request_id,
            data_version=release.data_version,
        )
        return answer.model_dump(mode="json")

    def _keep(self, order: Order, scoring: Scoring, body: dict[str, Any]) -> None:
        """Keep what the heat map and the report are made of; an answer can do without."""
        kept = body | {FILES_DIGEST: order.files_sha256}
        try:
            self.results.keep(order.request_id, scoring.report.exam_id, kept, scoring)
        except (DiskFull, StoreReadOnly) as error:
            self.metrics.results_lost.inc()
            _log.error("a result could not be kept: %s", error.code)

    def _replayed(self, order: Order, answer: dict[str, Any]) -> Answered:
        body = _without_digest(answer)
        self._audit(order, body["exam"], body["release"], body["decision"], 200, "replay")
        return Answered(body, replayed=True)

    def _audit(
        self,
        order: Order,
        exam: str | None,
        release: str | None,
        result: str,
        status: int,
        action: str = "predict",
    ) -> None:
        self.audit.append(
            who=order.who,
            roles=order.roles,
            action=action,
            exam=exam,
            release=release,
            result=result,
            status=status,
            request_id=order.request_id,
        )


def _without_digest(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != FILES_DIGEST}


def _from_log(row: dict[str, Any]) -> dict[str, Any]:
    """Return the answer that a row of the log gives; its views are no longer known.

    Refused files are named by their position: the log knows no other name of them.
    """
    logged = LoggedExam.of(row | {"times_scored": row.get("times_scored", 1)})
    refused = [one | {"position": int(one["file"])} for one in row.get("refused") or ()]
    told = ScoredExam.model_validate(logged.model_dump() | {"views": [], "refused": refused})
    return told.model_dump(mode="json") | {FILES_DIGEST: row.get(FILES_DIGEST)}
