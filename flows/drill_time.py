"""What only a drill may do to a log: empty it between trials, and let years pass in it."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from mammo.prediction_log.tables import OUTCOMES, PREDICTIONS

KNOWN_AFTER_DAYS = 60
"""From an exam to the day on which its outcome is known, in the drill."""


def empty_log(log_url: str) -> None:
    """Delete every prediction and outcome: the next trial comes alone."""
    engine = sa.create_engine(log_url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        for table in (OUTCOMES, PREDICTIONS):
            connection.execute(table.delete())


def let_time_pass(log_url: str, days: int) -> int:
    """Date every exam ``days`` back, and its outcomes `KNOWN_AFTER_DAYS` after it.

    Returns how many rows of predictions were dated back.
    """
    engine = sa.create_engine(log_url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        rows = connection.execute(sa.select(PREDICTIONS.c.id, PREDICTIONS.c.exam_id,
                                            PREDICTIONS.c.scored_at)).all()  # fmt: skip
        scored = {}
        for row in rows:
            scored[row.exam_id] = row.scored_at - timedelta(days=days)
            change = PREDICTIONS.update().where(PREDICTIONS.c.id == row.id)
            connection.execute(change.values(scored_at=scored[row.exam_id]))
        for exam_id, at in scored.items():
            known = at + timedelta(days=KNOWN_AFTER_DAYS)
            change = OUTCOMES.update().where(OUTCOMES.c.exam_id == exam_id)
            connection.execute(change.values(known_at=known, received_at=known))
    return len(rows)
