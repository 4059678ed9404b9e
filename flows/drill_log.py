"""What only a drill may do to a log: keep it aside, empty it, and let years pass in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from mammo.prediction_log.tables import EPISODES, OUTCOMES, PREDICTIONS, TRIAL_FAILURES

KNOWN_AFTER_DAYS = 60
"""From an exam to the day on which its outcome is known, in the drill."""
EMPTIED = (OUTCOMES, PREDICTIONS, EPISODES, TRIAL_FAILURES)
"""What one scenario leaves. Gates, approvals and changes are the installation's for good."""


def keep_log(log_path: Path, copy: Path) -> Path:
    """Copy a SQLite log as it is now, while others write; return the copy."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(log_path)) as log, closing(sqlite3.connect(copy)) as kept:
        log.backup(kept)
    return copy


def empty_log(log_url: str) -> None:
    """Delete every prediction, outcome, episode and failure: the next scenario comes alone."""
    engine = sa.create_engine(log_url, poolclass=sa.pool.NullPool, hide_parameters=True)
    with engine.begin() as connection:
        for table in EMPTIED:
            connection.execute(table.delete())


def let_time_pass(log_url: str, days: int, known_after_days: int = KNOWN_AFTER_DAYS) -> int:
    """Date every exam ``days`` back, and its outcomes ``known_after_days`` after it.

    Returns how many rows of predictions were dated back.
    """
    engine = sa.create_engine(log_url, poolclass=sa.pool.NullPool, hide_parameters=True)
    with engine.begin() as connection:
        rows = connection.execute(sa.select(PREDICTIONS.c.id, PREDICTIONS.c.exam_id,
                                            PREDICTIONS.c.scored_at)).all()  # fmt: skip
        scored = {}
        for row in rows:
            scored[row.exam_id] = row.scored_at - timedelta(days=days)
            change = PREDICTIONS.update().where(PREDICTIONS.c.id == row.id)
            connection.execute(change.values(scored_at=scored[row.exam_id]))
        for exam_id, at in scored.items():
            known = at + timedelta(days=known_after_days)
            change = OUTCOMES.update().where(OUTCOMES.c.exam_id == exam_id)
            connection.execute(change.values(known_at=known, received_at=known))
    return len(rows)
