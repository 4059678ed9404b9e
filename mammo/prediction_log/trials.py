"""What the guard of a rollout reads: a release's exams since an instant, without their images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import sqlalchemy as sa

from mammo.prediction_log.database import Database
from mammo.prediction_log.tables import PREDICTIONS, TRIAL_FAILURES

PAIRED_MS = "paired_ms"
"""Feature of an exam scored in the shadow: the champion's time for the same, in ms."""
_COLUMNS = ("id", "exam_id", "request_id", "role", "scanner", "recall", "logit", "latency_ms")


class Trials(Database):
    """Reads ``predictions`` and ``trial_failures`` as a trial needs them."""

    def trial_exams(
        self, release_id: str | None, roles: Sequence[str], since: datetime
    ) -> pd.DataFrame:
        """Return each exam's first scoring in these roles since an instant, in the log's order.

        Columns: id, exam_id, request_id, role, scanner, recall (bool), logit, latency_ms and
        paired_ms (float64; NaN but for exams in the shadow that were timed). ``release_id``
        None takes every release.
        """
        table = PREDICTIONS.c
        query = (
            sa.select(*(table[name] for name in _COLUMNS), sa.cast(table.features, sa.Text))
            .where(table.level == "exam", table.role.in_(tuple(roles)), table.scored_at >= since)
            .order_by(table.id)
        )
        if release_id is not None:
            query = query.where(table.release_id == release_id)
        columns = self._columns(query)
        features = columns.pop("features", ())
        frame = pd.DataFrame(dict(columns), columns=list(_COLUMNS))
        frame = frame.astype({"recall": "bool", "logit": "float64", "latency_ms": "float64"})
        frame[PAIRED_MS] = pd.Series([_paired(one) for one in features], dtype="float64")
        return frame.drop_duplicates("exam_id").reset_index(drop=True)

    def last_latencies(self, release_id: str, before: datetime, limit: int) -> list[float]:
        """Return how long the release's last answers before an instant took, in ms."""
        table = PREDICTIONS.c
        query = (
            sa.select(table.latency_ms)
            .where(table.release_id == release_id, table.role == "champion")
            .where(table.level == "exam", table.scored_at < before)
            .where(table.latency_ms.is_not(None))
            .order_by(table.id.desc())
            .limit(limit)
        )
        return [float(row["latency_ms"]) for row in self._rows(query)]

    def trial_marks(self) -> tuple[int, int]:
        """Return the last ids of predictions and of failures: where they stand, nothing is new."""
        last = (sa.select(sa.func.max(one.c.id)) for one in (PREDICTIONS, TRIAL_FAILURES))
        prediction, failure = (next(iter(self._rows(one)[0].values())) for one in last)
        return int(prediction or 0), int(failure or 0)


def _paired(features: str | None) -> float | None:
    if not features or PAIRED_MS not in features:
        return None
    found = json.loads(features).get(PAIRED_MS)
    return None if found is None else float(found)
