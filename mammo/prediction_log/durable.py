"""`DurableLog`: a prediction is on disk before it is answered, whatever the database does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from mammo.errors import DiskFull, LogUnavailable, MammoError
from mammo.prediction_log.log import PredictionLog
from mammo.prediction_log.scorings import ANSWERS, report_of, storable_scoring
from mammo.prediction_log.spool import Spool, Waiting

Kept = Literal["logged", "repeated", "spooled"]
BATCH = 100
"""Scorings that one transaction takes from the spool."""

_log = logging.getLogger(__name__)


class DurableLog:
    """The log with a spool in front of it, for each of several worker processes.

    While the spool is not empty, new scorings go there too: their order holds.
    `drain` has to be called now and then (every second or so) by one task of
    each process; they take turns.
    """

    def __init__(self, log: PredictionLog, spool: Spool) -> None:
        self.log = log
        self.spool = spool
        self.refusal: MammoError | None = None
        """Why the database did not take the last scoring; None once it does."""
        self._made = False

    def open(self) -> bool:
        """Make the tables and drain the spool; False where the database is not there yet."""
        self.drain()
        if self.spool.empty and not self._made:
            self._reach()
        return self._made

    def append(self, request_id: str, rows: Sequence[Mapping[str, Any]]) -> Kept:
        """Log the scoring of a request, else spool it; it is on disk on return, once.

        Returns
        -------
        "logged", "spooled", or "repeated": the request is logged or waits already
        (then `scoring` has what was answered).

        Raises
        ------
        DiskFull, StoreReadOnly
            Neither the database nor the spool can take it: nothing is kept, do not answer.
        ValueError, sqlalchemy.exc.SQLAlchemyError
            The rows are at fault, not the database; nothing is kept.
        """
        scoring = storable_scoring(request_id, rows)
        if not self.spool.empty or not self._reach():
            return self._keep(scoring)
        try:
            new = self.log.append_scorings([scoring])
        except (LogUnavailable, DiskFull) as refusal:
            self._note(refusal)
            return self._keep(scoring)
        return "logged" if new else "repeated"

    def scoring(self, request_id: str, role: str | None = None) -> dict[str, Any] | None:
        """Return what was answered to a request, from the spool or else the log.

        Raises
        ------
        LogUnavailable
            It does not wait in the spool, and the database does not answer.
        """
        roles = ANSWERS if role is None else (role,)
        waits = [row for row in self.spool.find(request_id) if row.get("role") in roles]
        return report_of(waits) or self.log.scoring(request_id, role)

    def exam_report(self, exam_id: str) -> dict[str, Any] | None:
        """Return the exam's latest scoring that was answered, as `PredictionLog.exam_report`.

        What waits is later than what is logged: who has an answer finds it at once.

        Raises
        ------
        LogUnavailable
            None waits in the spool, and the database does not answer.
        """
        waits = [row for row in self.spool.of_exam(exam_id) if row.get("role") in ANSWERS]
        try:
            logged = self.log.answers(exam_id)
        except LogUnavailable:
            if waits:
                return report_of(waits)
            raise
        known = {row["request_id"] for row in logged}  # written, and not yet marked in the spool
        return report_of([*logged, *(row for row in waits if row["request_id"] not in known)])

    def drain(self) -> int:
        """Write what waits, oldest first and once each; return how many left the spool.

        Ends quietly when the database refuses (`refusal` tells why) or another
        process drains. A scoring that the database will never take is set aside.
        """
        if self.spool.empty:
            return 0
        done = 0
        with self.spool.draining() as mine:
            while mine and not self.spool.empty and self._reach() and (moved := self._move()):
                done += moved
        return done

    @property
    def waiting(self) -> int:
        """Number of scorings in the spool."""
        return self.spool.waiting

    def _keep(self, scoring: Sequence[Mapping[str, Any]]) -> Kept:
        return "spooled" if self.spool.append(scoring) else "repeated"

    def _reach(self) -> bool:
        """True when the tables are there; they are made by whoever first finds the database."""
        if not self._made:
            try:
                self.log.create()
            except (LogUnavailable, DiskFull) as refusal:
                self._note(refusal)
                return False
            self._made = True
        return True

    def _note(self, refusal: MammoError) -> None:
        if self.refusal is None:
            _log.warning("predictions are spooled: %s", refusal.message)
        self.refusal, self._made = refusal, False

    def _move(self) -> int:
        """Write a batch; the last one while nobody appends, or a busy spool were never empty."""
        waiting = self.spool.oldest(BATCH)
        if len(waiting) == BATCH:
            return self._write(waiting)
        with self.spool.held():
            return self._write(self.spool.oldest(BATCH))

    def _write(self, waiting: list[Waiting]) -> int:
        """Write a batch in one transaction, or each alone where one of them is at fault."""
        try:
            self.log.append_scorings([one.rows for one in waiting if one.rows is not None])
        except (LogUnavailable, DiskFull) as refusal:
            self._note(refusal)
            return 0
        except sa.exc.SQLAlchemyError:
            if len(waiting) == 1:
                self._set_aside(waiting[0])
                return 1
            return sum(self._write([one]) for one in waiting)
        for one in waiting:
            if one.rows is None:
                self._set_aside(one)
        self.spool.settle([one for one in waiting if one.rows is not None])
        self.refusal = None
        return len(waiting)

    def _set_aside(self, one: Waiting) -> None:
        _log.error("a spooled scoring cannot be logged and was set aside: look at refused.jsonl")
        self.spool.set_aside(one)
