"""Predictions: appended whole and once, read on, reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pandas as pd
import sqlalchemy as sa

from mammo.prediction_log.database import Database, batches, plain
from mammo.prediction_log.frames import logged_frame, unpack_embedding
from mammo.prediction_log.tables import PREDICTIONS

Level = Literal["breast", "exam"]
_UNREAD = ("features", "scored_at", "request_id", "scale", "abstention", "refused", "files_sha256")
EXAM_COLUMNS = (
    *(one for one in PREDICTIONS.c if one.name not in _UNREAD),
    # as text and without zone: a hundred thousand exams are parsed at once, not one by one
    sa.cast(PREDICTIONS.c.features, sa.Text).label("features"),
    sa.type_coerce(PREDICTIONS.c.scored_at, sa.DateTime).label("scored_at"),
)
"""What `logged_frame` reads."""
ANSWERS = ("champion", "canary", "standby")
"""Roles of scorings that were answered; the others (``shadow``) were only logged. ``standby`` is
the release of before, where it answered for a champion on probation that failed."""


class Scorings(Database):
    """The table ``predictions``."""

    def append_exam(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Log one scoring of an exam, breasts and exam together; return the last id.

        ``rows`` have the columns of ``predictions``; ``embedding`` may be bytes or
        32 float32. All rows get the same ``scored_at``. On return they are on disk.
        """
        stored = storable_scoring(None, rows)
        with self._writing(PREDICTIONS) as connection:
            return _insert(connection, stored)

    def append_scoring(self, request_id: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Log the scoring of a request, unless it is logged already; True if it was written.

        However many processes try, one of them writes. A request has one answer:
        where it is logged as the champion's, a canary's is not written, and the
        other way round; its scorings in the shadow are counted apart.

        Raises
        ------
        ValueError
            An embedding of another size, rows of several roles or exams, or none.
        LogUnavailable, DiskFull
            The database cannot take it.
        """
        return self.append_scorings([storable_scoring(request_id, rows)]) == 1

    def append_scorings(self, scorings: Sequence[Sequence[Mapping[str, Any]]]) -> int:
        """Log several, as `storable_scoring` gives them, in one transaction; count the new."""
        with self._writing(PREDICTIONS) as connection:
            return sum(_insert_new(connection, rows) for rows in scorings)

    def scoring(self, request_id: str, role: str | None = None) -> dict[str, Any] | None:
        """Return what was answered to a request (or its scoring in a role), as `exam_report`."""
        roles = ANSWERS if role is None else (role,)
        table = PREDICTIONS.c
        query = sa.select(PREDICTIONS).where(table.request_id == request_id, table.role.in_(roles))
        return report_of(self._rows(query.order_by(table.id)))

    def exam_report(self, exam_id: str) -> dict[str, Any] | None:
        """Return the exam's latest scoring that was answered, or None if there is none.

        The row of the exam, with ``breasts`` (rows) and ``times_scored``. The latest
        is the one logged last: clocks jump, ids do not.
        """
        return report_of(self.answers(exam_id))

    def answers(self, exam_id: str) -> list[dict[str, Any]]:
        """Return the rows of the exam's scorings that were answered, in order of id."""
        table = PREDICTIONS.c
        query = sa.select(PREDICTIONS).where(table.exam_id == exam_id, table.role.in_(ANSWERS))
        return self._rows(query.order_by(table.id))

    def read_since(
        self,
        last_id: int = 0,
        *,
        limit: int = 100_000,
        level: Level = "exam",
        role: str = "champion",
    ) -> pd.DataFrame:
        """Return predictions with an id above ``last_id`` in order, as `exam_frame` has them."""
        query = (
            sa.select(*EXAM_COLUMNS)
            .where(PREDICTIONS.c.id > last_id)
            .where(PREDICTIONS.c.level == level, PREDICTIONS.c.role == role)
            .order_by(PREDICTIONS.c.id)
            .limit(limit)
        )
        return logged_frame(self._columns(query))

    def exams(
        self,
        *,
        release_id: str | None = None,
        scanner: str | None = None,
        role: str | None = "champion",
        since: datetime | None = None,
        until: datetime | None = None,
        level: Level = "exam",
    ) -> pd.DataFrame:
        """Return scored exams in order of id; ``since <= scored_at < until``."""
        wanted = {"release_id": release_id, "scanner": scanner, "role": role, "level": level}
        query = sa.select(*EXAM_COLUMNS).order_by(PREDICTIONS.c.id)
        for name, value in wanted.items():
            if value is not None:
                query = query.where(PREDICTIONS.c[name] == value)
        if since is not None:
            query = query.where(PREDICTIONS.c.scored_at >= since)
        if until is not None:
            query = query.where(PREDICTIONS.c.scored_at < until)
        return logged_frame(self._columns(query))

    def known_exams(self, exam_ids: Iterable[str]) -> set[str]:
        """Return those of the ids under which a prediction is logged."""
        column, known = PREDICTIONS.c.exam_id, set[str]()
        for batch in batches(sorted(set(exam_ids)), 500):
            query = sa.select(column).where(column.in_(batch)).distinct()
            known.update(row["exam_id"] for row in self._rows(query))
        return known


def storable_scoring(
    request_id: str | None, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return rows as they are written: one instant, one request, packed and plain.

    Raises
    ------
    ValueError
        No rows, rows of several exams or roles, or an embedding of another size.
    """
    if request_id is not None and len({(one["exam_id"], _role(one)) for one in rows}) != 1:
        raise ValueError(f"a scoring is of one exam in one role; these {len(rows)} rows are not")
    at = next((row["scored_at"] for row in rows if row.get("scored_at")), datetime.now(UTC))
    common = {"scored_at": at} | ({} if request_id is None else {"request_id": request_id})
    return [_storable(row) | common for row in rows]


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a prediction row with the embedding packed and numbers plain."""
    values = {name: plain(value) for name, value in row.items() if name != "embedding"}
    embedding = row.get("embedding")
    values["embedding"] = None if embedding is None else unpack_embedding(embedding).tobytes()
    return values


def _insert_new(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> bool:
    role = _role(rows[0])
    roles = ANSWERS if role in ANSWERS else (role,)
    known = sa.select(PREDICTIONS.c.id).where(
        PREDICTIONS.c.request_id == rows[0]["request_id"], PREDICTIONS.c.role.in_(roles)
    )
    if connection.execute(known.limit(1)).first() is not None:
        return False
    _insert(connection, rows)
    return True


def _insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    ids = [
        connection.execute(PREDICTIONS.insert(), dict(row)).inserted_primary_key[0]  # type: ignore[index]
        for row in rows
    ]
    return int(ids[-1]) if ids else 0


def _role(row: Mapping[str, Any]) -> str:
    return str(row.get("role") or PREDICTIONS.c.role.default.arg)  # type: ignore[union-attr]


def report_of(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the last row of an exam, with its ``breasts`` and ``times_scored``."""
    exams = [row for row in rows if row["level"] == "exam"]
    if not exams:
        return None
    last = exams[-1]
    breasts = [one for one in rows if one["level"] == "breast" and _together(one, last)]
    return {**last, "breasts": breasts, "times_scored": len(exams)}


def _together(breast: Mapping[str, Any], exam: Mapping[str, Any]) -> bool:
    """True for rows of one scoring: of one request; of one instant where none is known."""
    names = (
        ("request_id", "role") if exam.get("request_id") else ("request_id", "role", "scored_at")
    )
    return all(breast.get(name) == exam.get(name) for name in names)
