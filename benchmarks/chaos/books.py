"""The books: what the clients were told against what the prediction log holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from benchmarks.chaos.load import Sent
from mammo.prediction_log.tables import PREDICTIONS

ANSWERED = ("champion", "canary", "standby")
"""Roles under which an answer given to a client is logged."""


@dataclass(frozen=True)
class Books:
    """Counts of exams; the last six must be zero.

    ``unanswered_logged`` were scored and logged, and their client gave up or was
    stopped before the answer came: allowed.

    ``lost`` was answered and is not in the log; ``twice`` is there more than once;
    ``unknown`` is there and was never sent; ``wrong`` was answered with another
    exam's id or another score than is logged; ``torn`` lacks the rows of its
    breasts; ``changed`` got another answer under the same key.
    """

    sent: int
    answered: int
    attempts: int
    repeated: int
    logged: int
    unanswered_logged: int
    lost: int
    twice: int
    unknown: int
    wrong: int
    torn: int
    changed: int

    @property
    def balance(self) -> bool:
        """True when nothing is lost, twice, unknown, wrong, torn or changed."""
        faults = (self.lost, self.twice, self.unknown, self.wrong, self.torn, self.changed)
        return not any(faults)

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return asdict(self)


def check_books(
    sent: Sequence[Sent], log_url: str, ignored: Collection[str] = frozenset()
) -> Books:
    """Compare what was sent and answered with the log, which must be at rest.

    Exams whose ids are ``ignored`` are no part of the books.
    """
    rows = read_answers(log_url)
    rows = rows[~rows["exam_id"].isin(list(ignored))]
    exams, breasts = (rows[rows["level"] == level] for level in ("exam", "breast"))
    by_exam = dict(iter(exams.groupby("exam_id")))
    sides = breasts.groupby("exam_id")["laterality"].agg(lambda found: tuple(sorted(found)))
    known = {one.exam.exam_id: one for one in sent}
    answered = [one for one in sent if one.answer is not None]
    logged = [one for exam, one in known.items() if exam in by_exam]
    return Books(
        sent=len(sent),
        answered=len(answered),
        attempts=sum(len(one.attempts) for one in sent),
        repeated=sum(len(one.replays) for one in sent),
        logged=len(exams),
        unanswered_logged=sum(one.answer is None for one in logged),
        lost=sum(one.exam.exam_id not in by_exam for one in answered),
        twice=sum(len(rows) > 1 for rows in by_exam.values()),
        unknown=len(set(by_exam) - set(known)),
        wrong=sum(_is_wrong(one, by_exam.get(one.exam.exam_id)) for one in answered),
        torn=sum(
            sides.get(one.exam.exam_id, ())
            != tuple(sorted(one.exam.sides * len(by_exam[one.exam.exam_id])))
            for one in logged
        ),
        changed=sum(_has_changed(one) for one in answered),
    )


def read_answers(log_url: str) -> pd.DataFrame:
    """Return the rows of answers given, in the order written, past the library's own queries."""
    names = ("exam_id", "level", "laterality", "logit", "release_id", "request_id", "scored_at")
    table = PREDICTIONS.c
    query = sa.select(*(table[name] for name in names)).where(table.role.in_(ANSWERED))
    engine = sa.create_engine(log_url)
    try:
        with engine.connect() as connection:
            found = connection.execute(query.order_by(table.id)).all()
    finally:
        engine.dispose()
    return pd.DataFrame(found, columns=list(names))


def _is_wrong(one: Sent, rows: pd.DataFrame | None) -> bool:
    """True where the client was told something else than is logged."""
    answer = one.answer or {}
    if answer.get("exam") != one.exam.exam_id:
        return True
    if rows is None:  # counted as lost
        return False
    told = (rows["logit"] == answer["logit"]) & (rows["release_id"] == answer["release"])
    return answer.get("request") not in set(rows[told]["request_id"])


def _has_changed(one: Sent) -> bool:
    return any(replay != one.answer for replay in one.replays)


def count_attempts(sent: Sequence[Sent]) -> dict[str, int]:
    """Return how often each status, or kind of broken connection, was seen."""
    return dict(Counter(status for one in sent for status in one.attempts).most_common())


def longest_pause_s(sent: Sequence[Sent]) -> float:
    """Return the longest time in which no client at all got an answer, in seconds."""
    at = sorted(one.answered_at for one in sent if one.answer is not None)
    return max((later - sooner for sooner, later in pairwise(at)), default=0.0)


def count_unaudited(sent: Sequence[Sent], audit_path: Path) -> int:
    """Return how many answered exams have no line in the audit log."""
    with audit_path.open() as lines:
        audited = {json.loads(line)["request_id"] for line in lines}
    return sum(one.answer is not None and one.answer["request"] not in audited for one in sent)
