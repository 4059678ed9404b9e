"""`PredictionLog`: append, read on, join, mark."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from mammo.exam import Laterality, Outcome
from mammo.prediction_log.database import batches
from mammo.prediction_log.frames import label_breasts, label_exams, logged_frame
from mammo.prediction_log.gate_books import GateBooks
from mammo.prediction_log.loop_state import LoopState
from mammo.prediction_log.scorings import EXAM_COLUMNS, Level, Scorings
from mammo.prediction_log.tables import OUTCOMES, PREDICTIONS, UtcDateTime, to_utc
from mammo.prediction_log.trials import Trials
from mammo.prediction_log.worklist import Worklist

_log = logging.getLogger(__name__)


class PredictionLog(Scorings, LoopState, GateBooks, Trials, Worklist):
    """Predictions with their outcomes, and what the loop remembers; see `Database`."""

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> int:
        """Append outcomes that are not yet known word for word; return how many were new."""
        at = datetime.now(UTC)
        rows = {row["fingerprint"]: row for row in (_outcome_row(one, at) for one in outcomes)}
        new = 0
        with self._writing(OUTCOMES) as connection:
            for batch in batches(list(rows), 500):
                known = sa.select(OUTCOMES.c.fingerprint).where(OUTCOMES.c.fingerprint.in_(batch))
                fresh = set(batch) - set(connection.execute(known).scalars())
                if fresh:
                    connection.execute(
                        OUTCOMES.insert(), [rows[key] for key in batch if key in fresh]
                    )
                new += len(fresh)
        return new

    def outcomes(self) -> pd.DataFrame:
        """Return every outcome ever received, oldest first.

        One that says to be known at an instant that pandas cannot hold (before 1678 or after
        2261; older versions took such) is left out, and a warning gives its row in the log.
        """
        columns = [OUTCOMES.c.id, *(_as_text(OUTCOMES.c[name]) for name in _OUTCOMES)]
        found = self._columns(sa.select(*columns).order_by(OUTCOMES.c.id))
        frame = _typed(pd.DataFrame(found, columns=["id", *_OUTCOMES]))
        undated = frame["known_at"].isna()
        if undated.any():
            rows = ", ".join(map(str, frame.loc[undated, "id"]))
            _log.warning("outcomes without a possible known_at are left out: rows %s", rows)
        return frame.loc[~undated, list(_OUTCOMES)].reset_index(drop=True)

    def exam_patients(self, exam_ids: Iterable[str]) -> dict[str, str]:
        """Return the patient of each of the exams of which a prediction is logged."""
        table, found = PREDICTIONS.c, dict[str, str]()
        for batch in batches(sorted(set(exam_ids)), 500):
            query = sa.select(table.exam_id, table.patient_id).where(table.exam_id.in_(batch))
            rows = self._rows(query.distinct())
            found |= {row["exam_id"]: row["patient_id"] for row in rows}
        return found

    def labelled(
        self, level: Level = "exam", *, release_id: str | None = None, role: str = "champion"
    ) -> pd.DataFrame:
        """Return the latest prediction of each exam (or breast) that has an outcome.

        Columns of `exam_frame` plus ``cancer`` (bool) and ``known_at``. An exam
        without an outcome is left out: unlabelled is never negative.
        """
        keys = ["exam_id", "laterality"] if level == "breast" else ["exam_id"]
        # embeddings of exams without an outcome, most of them, need not be read
        known = sa.select(PREDICTIONS.c.id).where(
            PREDICTIONS.c.level == level,
            PREDICTIONS.c.role == role,
            PREDICTIONS.c.exam_id.in_(sa.select(OUTCOMES.c.exam_id)),
        )
        if release_id is not None:
            known = known.where(PREDICTIONS.c.release_id == release_id)
        query = sa.select(*EXAM_COLUMNS).where(PREDICTIONS.c.id.in_(known))
        scored = logged_frame(self._columns(query.order_by(PREDICTIONS.c.id)))
        scored = scored.drop_duplicates(keys, keep="last")
        labels = (
            label_breasts(self.outcomes()) if level == "breast" else label_exams(self.outcomes())
        )
        return scored.merge(labels, on=keys, how="inner")

    def scored_exams(self, release_id: str, *, role: str = "champion") -> pd.DataFrame:
        """Return each exam's first scoring by a release, in the order of the log, without images.

        Columns: id, exam_id, patient_id, site, scanner, software_version, acquired_on
        (datetime64), scored_at (UTC), logit, probability (float64), recall (bool). Embeddings
        and features stay behind: what outcomes are joined with is read in a tenth of the time.
        """
        columns = [_as_text(PREDICTIONS.c[name]) for name in _SCORED]
        query = (
            sa.select(*columns)
            .where(PREDICTIONS.c.release_id == release_id)
            .where(PREDICTIONS.c.level == "exam", PREDICTIONS.c.role == role)
            .order_by(PREDICTIONS.c.id)
        )
        frame = _typed(pd.DataFrame(self._columns(query), columns=list(_SCORED)))
        return frame.drop_duplicates("exam_id").reset_index(drop=True)


_OUTCOMES = ("exam_id", "laterality", "cancer", "known_at", "source", "received_at")
_SCORED = (
    "id",
    "exam_id",
    "patient_id",
    "site",
    "scanner",
    "software_version",
    "acquired_on",
    "scored_at",
    "logit",
    "probability",
    "recall",
)
_TYPES = {
    "exam_id": "object",
    "id": "int64",
    "logit": "float64",
    "recall": "bool",
    "cancer": "bool",
}


def _as_text(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return instants and dates as text: a hundred thousand are parsed at once, not one by one."""
    if isinstance(column.type, UtcDateTime | sa.Date):
        return sa.cast(sa.type_coerce(column, sa.Text), sa.Text).label(column.name)
    return column


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.astype({name: kind for name, kind in _TYPES.items() if name in frame})
    for name in ("scored_at", "known_at", "received_at", "acquired_on"):
        if name in frame:
            utc = name != "acquired_on"
            # an instant beyond pandas' bounds is NaT: one row must not stop every reader
            instants = pd.to_datetime(frame[name], utc=utc, format="ISO8601", errors="coerce")
            frame[name] = instants.astype("datetime64[ns, UTC]" if utc else "datetime64[ns]")
    return frame


def _outcome_row(outcome: Outcome, received_at: datetime) -> dict[str, Any]:
    sided = outcome.laterality not in (None, Laterality.UNKNOWN)
    row = {
        "exam_id": outcome.exam_id,
        "laterality": str(outcome.laterality) if sided else None,
        "cancer": bool(outcome.cancer),
        "known_at": to_utc(outcome.known_at),
        "source": outcome.source,
    }
    text = "\n".join(str(value) for value in row.values())
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    return {**row, "fingerprint": fingerprint, "received_at": received_at}
