"""What a list of past exams reads: page by page from the newest, and a patient's earlier exams."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from mammo.prediction_log.database import Database
from mammo.prediction_log.frames import label_exams
from mammo.prediction_log.scorings import ANSWERS
from mammo.prediction_log.tables import FAILED_REQUESTS, OUTCOMES, PREDICTIONS

EXAM_ID = re.compile(r"E-[0-9a-f]{16}")
_LINE = (
    *("id", "exam_id", "request_id", "release_id", "scanner", "site", "acquired_on"),
    *("scored_at", "probability", "recall", "quality", "scale", "abstention"),
)
_PANDAS = (datetime(1678, 1, 1, tzinfo=UTC), datetime(2261, 12, 31, tzinfo=UTC))
"""Instants that a nanosecond frame can hold."""
_LABEL = ("exam_id", "cancer", "known_at")
_SEARCHED = ("exam_id", "site", "scanner", "release_id")


class Worklist(Database):
    """Reads ``predictions`` for people who look at exams; keeps what was refused as a whole."""

    def exam_lines(
        self, *, before: int | None = None, limit: int = 50, search: str = ""
    ) -> list[dict[str, Any]]:
        """Return the latest answered scoring of exams, the newest first.

        ``before`` is the ``id`` of the last line of the page before. ``search`` is a part of
        exam, site, scanner or release. Columns: id, exam_id, request_id, release_id,
        scanner, site, acquired_on, scored_at (UTC), probability, recall, quality, scale and
        abstention (codes joined by ``|``; both null in rows of an earlier version).
        """
        query = _latest().order_by(PREDICTIONS.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(PREDICTIONS.c.id < before)
        if EXAM_ID.fullmatch(search):  # an index knows it
            query = query.where(PREDICTIONS.c.exam_id == search)
        elif search:
            parts = [PREDICTIONS.c[name].icontains(search, autoescape=True) for name in _SEARCHED]
            query = query.where(sa.or_(*parts))
        return self._rows(query)

    def lines_of(self, exam_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the lines of `exam_lines` by exam, of at most 500 exams."""
        query = _latest().where(PREDICTIONS.c.exam_id.in_(exam_ids))
        return {row["exam_id"]: row for row in self._rows(query)}

    def earlier_exams(self, patient_id: str, before: date) -> list[dict[str, Any]]:
        """Return a patient's answered exams acquired before a day, the latest first.

        Columns: exam_id, acquired_on; each exam once.
        """
        table = PREDICTIONS.c
        query = (
            sa.select(table.exam_id, sa.func.max(table.acquired_on).label("acquired_on"))
            .where(table.patient_id == patient_id, table.level == "exam")
            .where(table.role.in_(ANSWERS), table.acquired_on < before)
            .group_by(table.exam_id)
            .order_by(sa.desc("acquired_on"), table.exam_id)
        )
        return self._rows(query)

    def exam_outcomes(self, exam_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return by exam what became of it: cancer (bool), known_at (UTC), source.

        As `label_exams` decides, of the same outcomes as `PredictionLog.outcomes` returns; an
        exam of which too little is known is left out. At most 500 exams.
        """
        columns = ("exam_id", "laterality", "cancer", "known_at", "source")
        query = sa.select(*(OUTCOMES.c[name] for name in columns)).order_by(OUTCOMES.c.id)
        query = query.where(OUTCOMES.c.known_at.between(*_PANDAS))
        rows = self._rows(query.where(OUTCOMES.c.exam_id.in_(exam_ids)))
        if not rows:
            return {}
        labels = label_exams(pd.DataFrame(rows).astype({"cancer": "bool"}))
        sources = {(row["exam_id"], row["known_at"]): row["source"] for row in rows}
        found = zip(*(labels[name].tolist() for name in _LABEL), strict=True)
        return {
            exam: {"cancer": cancer, "known_at": at, "source": sources[exam, at]}
            for exam, cancer, at in found
        }

    def add_failed_request(self, request_id: str, code: str, text: str) -> None:
        """Note that a request for a score failed; the latest failure of a request counts.

        ``text`` says why, and names no file and no patient.
        """
        told = {"request_id": request_id, "code": code, "text": text, "at": datetime.now(UTC)}
        with self._writing(FAILED_REQUESTS) as connection:
            table = FAILED_REQUESTS
            connection.execute(sa.delete(table).where(table.c.request_id == request_id))
            connection.execute(table.insert(), told)

    def failed_requests(
        self, *, before: int | None = None, limit: int = 50, search: str = ""
    ) -> list[dict[str, Any]]:
        """Return requests that failed and were not answered later, the newest first.

        Columns: id, request_id, code, text, at (UTC). ``search`` is a part of code or text.
        """
        table = FAILED_REQUESTS.c
        answered = sa.exists().where(
            PREDICTIONS.c.request_id == table.request_id, PREDICTIONS.c.role.in_(ANSWERS)
        )
        query = sa.select(FAILED_REQUESTS).where(~answered).order_by(table.id.desc()).limit(limit)
        if before is not None:
            query = query.where(table.id < before)
        if search:
            parts = [one.icontains(search, autoescape=True) for one in (table.code, table.text)]
            query = query.where(sa.or_(*parts))
        return self._rows(query)

    def drop_failed_requests(self, before: datetime) -> int:
        """Remove the notes of failures before an instant; return how many."""
        with self._writing(FAILED_REQUESTS) as connection:
            gone = sa.delete(FAILED_REQUESTS).where(FAILED_REQUESTS.c.at < before)
            return int(connection.execute(gone).rowcount)


def _latest() -> sa.Select[Any]:
    """Select each exam's latest scoring that was answered."""
    table, later = PREDICTIONS.c, PREDICTIONS.alias("later").c
    newer = sa.exists().where(
        later.exam_id == table.exam_id,
        later.level == "exam",
        later.role.in_(ANSWERS),
        later.id > table.id,
    )
    return (
        sa.select(*(table[name] for name in _LINE))
        .where(table.level == "exam", table.role.in_(ANSWERS))
        .where(~newer)
    )
