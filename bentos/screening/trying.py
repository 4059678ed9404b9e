"""Scores an exam by the release that it falls to, and by the next one where that fails.

A canary, or a champion on probation, that fails costs its caller nothing: the release
that has proved itself answers, in its own role, and the failure is noted for the guard
(`bentos.screening.guard`). It is noted once the other has scored the exam: an exam that
nobody can score speaks against none. A release on trial gets half of the patience that
is left, so that the other half remains for who comes after it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bentos.screening.metrics import Metrics
from bentos.screening.rollout import InService, Rollout, Route
from bentos.screening.shadow import ShadowScorer
from mammo.errors import DeadlineExceeded, MammoError, RequestCancelled
from mammo.patience import Patience
from mammo.prediction_log.durable import DurableLog
from mammo.prediction_log.trials import PAIRED_MS
from mammo.scoring import ReadExam, Scoring
from mammo.settings import Settings

if TYPE_CHECKING:
    from bentos.screening.answering import Order

SHARE_OF_PATIENCE = 0.5
FAIR_TIMES = 3.0
"""A release on trial that ran out of time is at fault where the other took less than a third."""
TIMED = 4
"""Every fourth exam in the shadow is scored by the champion, too, for the time alone."""
_log = logging.getLogger("mammo.service")


@dataclass(frozen=True)
class Scored:
    """What was read, by which release it was read, what was said of it, and in which role."""

    read: ReadExam
    reader: InService
    scoring: Scoring
    route: Route


@dataclass(frozen=True)
class _Failure:
    """A release that failed in its role, with what, after so many seconds."""

    release_id: str
    role: str
    error: Exception
    seconds: float

    @property
    def code(self) -> str:
        return self.error.code if isinstance(self.error, MammoError) else "INTERNAL"

    def is_its_own(self, seconds: float) -> bool:
        """Whether the release is at fault, where another took ``seconds`` for the exam."""
        late = isinstance(self.error, DeadlineExceeded)
        return not late or seconds * FAIR_TIMES < self.seconds


class Trying:
    """Scores for `Answering`; safe to call from several threads."""

    def __init__(
        self,
        settings: Settings,
        rollout: Rollout,
        durable: DurableLog,
        shadow: ShadowScorer[Callable[[], None]],
        metrics: Metrics,
    ) -> None:
        self._settings, self._rollout, self._durable = settings, rollout, durable
        self._shadow, self._metrics = shadow, metrics

    def score(self, order: Order) -> Scored:
        """Read and score an exam; raises what the last release that was asked raises."""
        with self._metrics.stage("read"):
            read, reader, failed = self._read_first(order)
        route = self._rollout.route(read.views[0].mammogram.exam_id)
        with self._metrics.stage("score"):
            return self._score_first(order, read, reader, route, failed)

    def _read_first(self, order: Order) -> tuple[ReadExam, InService, list[_Failure]]:
        """Read as the champion does; as the standby where the champion fails unexpectedly."""
        champion, standby = self._rollout.require(), self._rollout.standby
        if standby is None:
            return self._read(champion, order, order.patience), champion, []
        started = time.monotonic()
        try:
            return self._read(champion, order, order.patience), champion, []
        except Exception as error:
            if isinstance(error, MammoError) and error.http_status != 500:
                raise  # the caller's files, or the caller's time
            failure = _Failure(champion.release.id, "champion", error, time.monotonic() - started)
        return self._read(standby, order, order.patience), standby, [failure]

    def _score_first(
        self,
        order: Order,
        read: ReadExam,
        reader: InService,
        route: Route,
        failed: list[_Failure],
    ) -> Scored:
        """Ask one release after the other until one scores the exam."""
        lost = {one.release_id for one in failed}
        asked = [
            one
            for one in ((route.answering, route.role), *route.instead)
            if one[0].release.id not in lost
        ]
        for place, (chosen, role) in enumerate(asked):
            last = place + 1 == len(asked)
            patience = order.patience if last else order.patience.part(SHARE_OF_PATIENCE)
            started = time.monotonic()
            try:
                scoring = self._score_by(chosen, reader, read, order, patience)
            except RequestCancelled:
                raise
            except Exception as error:
                if last:
                    raise
                seconds = time.monotonic() - started
                failed.append(_Failure(chosen.release.id, role, error, seconds))
                continue
            self._note(failed, order, time.monotonic() - started)
            answered = replace(route, answering=chosen, role=role)
            return Scored(read, reader, scoring, answered)
        raise AssertionError("a route names a release")

    def _score_by(
        self,
        chosen: InService,
        reader: InService,
        read: ReadExam,
        order: Order,
        patience: Patience,
        in_shadow: bool = False,
    ) -> Scoring:
        if not chosen.screener.same_preparation(reader.screener):
            read = self._read(chosen, order, patience)
        return chosen.screener.score_read(read, patience=patience, side_by_side=not in_shadow)

    def _read(self, chosen: InService, order: Order, patience: Patience) -> ReadExam:
        """Read the files, which go by their position: names stay with the caller."""
        numbered = [(str(i), one.data) for i, one in enumerate(order.files, start=1)]
        return chosen.screener.read_exam(
            numbered,
            key=self._settings.pseudonym_key(),
            site=self._settings.site,
            patience=patience,
            identity=self._settings.keep_original_ids,
        )

    def _note(self, failed: list[_Failure], order: Order, seconds: float) -> None:
        """Note failures for the guard; an answer does not depend on whether they are kept."""
        for one in failed:
            _log.error(
                "%s %s failed with %s; the next release answers",
                one.role,
                one.release_id,
                type(one.error).__name__,
            )
            if one.is_its_own(seconds):
                self._keep_failure(one, order.request_id)

    def _keep_failure(self, failure: _Failure, request_id: str) -> None:
        self._metrics.count_failure(failure.release_id, failure.role)
        try:
            self._durable.log.add_failure(
                failure.release_id, failure.role, failure.code, request_id
            )
        except MammoError as refusal:
            _log.error("a failure on trial could not be kept: %s", refusal.code)

    def offer_shadow(self, order: Order, scored: Scored) -> None:
        """Let the challenger score the exam later, if it is in the shadow; nobody waits."""
        challenger = scored.route.shadow
        if challenger is None:
            return
        alike = challenger.screener.same_preparation(scored.reader.screener)
        unhurried = replace(
            order,
            patience=Patience(self._settings.exam_seconds),
            files=[] if alike else order.files,  # a file is held only while it may be read again
        )
        self._shadow.offer(lambda: self._score_in_shadow(challenger, unhurried, scored))

    def _score_in_shadow(self, challenger: InService, order: Order, scored: Scored) -> None:
        started = time.monotonic()
        try:
            scoring, took_ms = self._timed(challenger, order, scored)
        except Exception as error:
            seconds = time.monotonic() - started
            failure = _Failure(challenger.release.id, "shadow", error, seconds)
            self._keep_failure(failure, order.request_id)
            raise
        report = scoring.report
        paired = self._paired_ms(order, scored) if _is_timed(report.exam_id) else {}
        told = replace(report, latency_ms=took_ms, features=report.features | paired)
        self._durable.append(order.request_id, told.to_log_rows("shadow"))

    def _timed(self, chosen: InService, order: Order, scored: Scored) -> tuple[Scoring, float]:
        """Score in this thread alone; return the processor's time for it, too, in ms.

        How long it takes by the clock says little: the thread goes behind every other.
        """
        reader, read = scored.reader, scored.read
        started = time.thread_time()
        scoring = self._score_by(chosen, reader, read, order, order.patience, in_shadow=True)
        return scoring, 1000.0 * (time.thread_time() - started)

    def _paired_ms(self, order: Order, scored: Scored) -> dict[str, float]:
        """Return the time of the release that answered, in the same thread, for the same exam."""
        if not scored.route.answering.screener.same_preparation(scored.reader.screener):
            return {}
        return {PAIRED_MS: self._timed(scored.route.answering, order, scored)[1]}


def _is_timed(exam_id: str) -> bool:
    return hashlib.sha256(exam_id.encode()).digest()[-1] % TIMED == 0
