"""What a list of past exams reads: page by page from the newest, and a patient's earlier exams."""

from __future__ import annotations

from datetime import date
from typing import Any

import sqlalchemy as sa

from mammo.prediction_log.database import Database
from mammo.prediction_log.scorings import ANSWERS
from mammo.prediction_log.tables import PREDICTIONS


class Worklist(Database):
    """Reads ``predictions`` for people who look at exams."""

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
