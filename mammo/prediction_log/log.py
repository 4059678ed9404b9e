"""`PredictionLog`: append, read on, join, mark."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import sqlalchemy as sa

from mammo.exam import Laterality, Outcome
from mammo.prediction_log.engine import open_server, open_sqlite
from mammo.prediction_log.frames import (
    exam_frame,
    label_breasts,
    label_exams,
    unpack_embedding,
)
from mammo.prediction_log.tables import (
    CHANGES,
    EPISODES,
    METADATA,
    OUTCOMES,
    PREDICTIONS,
    WATERMARKS,
    to_utc,
)

Level = Literal["breast", "exam"]


@dataclass(frozen=True)
class Watermark:
    """How far a reader has read (``last_id``, 0 = nothing) and what it remembers."""

    last_id: int = 0
    state: dict[str, Any] = field(default_factory=dict)


class PredictionLog:
    """The log behind a SQLAlchemy URL; cheap to make, nothing is opened until used.

    Parameters
    ----------
    url
        ``sqlite:///…`` or a PostgreSQL URL; `Settings.log_url` gives it.
    pooled
        Keep connections to SQLite open between calls, for a process that never
        forks: an append takes a fraction of the time, since closing the last
        connection rewrites the journal.
    """

    def __init__(self, url: str, *, pooled: bool = False) -> None:
        self.url = sa.make_url(url)
        self._sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = (
            open_sqlite(self.url, pooled=pooled) if self._sqlite else open_server(self.url)
        )

    def create(self) -> PredictionLog:
        """Make the folder and the tables where they are missing; any number of times."""
        if self._sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        with self._writing() as connection:
            METADATA.create_all(connection)
        return self

    @contextmanager
    def _writing(self, table: sa.Table | None = None) -> Iterator[sa.Connection]:
        """Open a transaction that is alone in writing (to ``table``) and commit it."""
        writer = self._engine.execution_options(mammo_write=True)
        with writer.begin() as connection:
            if connection.dialect.name == "postgresql" and table is not None:
                # one writer at a time: ids become visible in rising order
                connection.execute(sa.text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))
            yield connection

    def close(self) -> None:
        """Close the connections kept open; the log may be used again."""
        self._engine.dispose()

    def _frame(self, query: sa.Select[Any]) -> pd.DataFrame:
        with self._engine.connect() as connection:
            result = connection.execute(query)
            return pd.DataFrame(result.mappings().all(), columns=list(result.keys()))

    # predictions

    def append_exam(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Log one scoring of an exam, breasts and exam together; return the last id.

        ``rows`` have the columns of ``predictions``; ``embedding`` may be bytes or
        32 float32. All rows get the same ``scored_at``. On return they are on disk.
        """
        at = next((row["scored_at"] for row in rows if row.get("scored_at")), datetime.now(UTC))
        with self._writing(PREDICTIONS) as connection:
            ids = [
                connection.execute(
                    PREDICTIONS.insert(), _storable(row) | {"scored_at": at}
                ).inserted_primary_key[0]  # type: ignore[index]
                for row in rows
            ]
        return int(ids[-1]) if ids else 0

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
            sa.select(PREDICTIONS)
            .where(PREDICTIONS.c.id > last_id)
            .where(PREDICTIONS.c.level == level, PREDICTIONS.c.role == role)
            .order_by(PREDICTIONS.c.id)
            .limit(limit)
        )
        return exam_frame(self._rows(query))

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
        query = sa.select(PREDICTIONS).order_by(PREDICTIONS.c.id)
        for name, value in wanted.items():
            if value is not None:
                query = query.where(PREDICTIONS.c[name] == value)
        if since is not None:
            query = query.where(PREDICTIONS.c.scored_at >= since)
        if until is not None:
            query = query.where(PREDICTIONS.c.scored_at < until)
        return exam_frame(self._rows(query))

    def exam_report(self, exam_id: str) -> dict[str, Any] | None:
        """Return the exam's latest scoring by a champion, or None if it was never scored.

        The row of the exam, with ``breasts`` (rows) and ``times_scored``.
        """
        query = (
            sa.select(PREDICTIONS)
            .where(PREDICTIONS.c.exam_id == exam_id, PREDICTIONS.c.role == "champion")
            .order_by(PREDICTIONS.c.id)
        )
        rows = self._rows(query)
        exams = [row for row in rows if row["level"] == "exam"]
        if not exams:
            return None
        last = exams[-1]
        breasts = [
            row
            for row in rows
            if row["level"] == "breast" and row["scored_at"] == last["scored_at"]
        ]
        return {**last, "breasts": breasts, "times_scored": len(exams)}

    def known_exams(self, exam_ids: Iterable[str]) -> set[str]:
        """Return those of the ids under which a prediction is logged."""
        column, known = PREDICTIONS.c.exam_id, set[str]()
        for batch in _batches(sorted(set(exam_ids)), 500):
            query = sa.select(column).where(column.in_(batch)).distinct()
            known.update(row["exam_id"] for row in self._rows(query))
        return known

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    # outcomes

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> int:
        """Append outcomes that are not yet known word for word; return how many were new."""
        at = datetime.now(UTC)
        rows = {row["fingerprint"]: row for row in (_outcome_row(one, at) for one in outcomes)}
        new = 0
        with self._writing(OUTCOMES) as connection:
            for batch in _batches(list(rows), 500):  # SQLite bounds the parameters of a query
                known = sa.select(OUTCOMES.c.fingerprint).where(OUTCOMES.c.fingerprint.in_(batch))
                fresh = set(batch) - set(connection.execute(known).scalars())
                if fresh:
                    connection.execute(
                        OUTCOMES.insert(), [rows[key] for key in batch if key in fresh]
                    )
                new += len(fresh)
        return new

    def outcomes(self) -> pd.DataFrame:
        """Return every outcome ever received, oldest first."""
        columns = ("exam_id", "laterality", "cancer", "known_at", "source", "received_at")
        query = sa.select(*(OUTCOMES.c[name] for name in columns)).order_by(OUTCOMES.c.id)
        frame = self._frame(query)
        return frame.astype({"cancer": "bool"})

    def labelled(
        self, level: Level = "exam", *, release_id: str | None = None, role: str = "champion"
    ) -> pd.DataFrame:
        """Return the latest prediction of each exam (or breast) that has an outcome.

        Columns of `exam_frame` plus ``cancer`` (bool) and ``known_at``. An exam
        without an outcome is left out: unlabelled is never negative.
        """
        keys = ["exam_id", "laterality"] if level == "breast" else ["exam_id"]
        scored = self.exams(release_id=release_id, role=role, level=level)
        scored = scored.drop_duplicates(keys, keep="last")
        labels = (
            label_breasts(self.outcomes()) if level == "breast" else label_exams(self.outcomes())
        )
        return scored.merge(labels, on=keys, how="inner")

    # watermarks

    def watermark(self, name: str) -> Watermark:
        """Return how far the reader ``name`` has read; zero and no state at first."""
        found = self._rows(sa.select(WATERMARKS).where(WATERMARKS.c.name == name))
        return Watermark(found[0]["last_id"], found[0]["state"]) if found else Watermark()

    def set_watermark(self, name: str, last_id: int, state: Mapping[str, Any]) -> None:
        """Store position and state of the reader ``name`` in one step."""
        values = {"last_id": int(last_id), "state": plain(dict(state))}
        with self._writing(WATERMARKS) as connection:
            change = WATERMARKS.update().where(WATERMARKS.c.name == name).values(**values)
            if connection.execute(change).rowcount == 0:
                connection.execute(WATERMARKS.insert().values(name=name, **values))

    # episodes

    def open_episode(self, key: str, **values: Any) -> bool:
        """Open a drift episode; False, and nothing written, if the key exists already.

        ``values`` are columns of ``episodes``: stratum, cause and action at least.
        """
        row = {"key": key, "opened_at": datetime.now(UTC), "status": "open", **plain(values)}
        with self._writing(EPISODES) as connection:
            known = sa.select(EPISODES.c.id).where(EPISODES.c.key == key)
            if connection.execute(known).first() is not None:
                return False
            connection.execute(EPISODES.insert().values(**row))
        return True

    def update_episode(self, key: str, *, if_status: str | None = None, **values: Any) -> bool:
        """Change columns of an episode; True if it was there (and in ``if_status``).

        ``update_episode(key, if_status="open", status="acting")`` lets exactly one
        of several callers go on.
        """
        change = EPISODES.update().where(EPISODES.c.key == key).values(**plain(values))
        if if_status is not None:
            change = change.where(EPISODES.c.status == if_status)
        with self._writing(EPISODES) as connection:
            return connection.execute(change).rowcount == 1

    def episode(self, key: str) -> dict[str, Any] | None:
        """Return one episode, or None."""
        found = self._rows(sa.select(EPISODES).where(EPISODES.c.key == key))
        return found[0] if found else None

    def episodes(self, status: str | None = None) -> list[dict[str, Any]]:
        """Return the episodes (of one status), oldest first."""
        query = sa.select(EPISODES).order_by(EPISODES.c.id)
        if status is not None:
            query = query.where(EPISODES.c.status == status)
        return self._rows(query)

    # changes

    def add_change(self, release_id: str, record: Mapping[str, Any]) -> None:
        """Append the record of a release put into service."""
        row = {"release_id": release_id, "record": plain(dict(record)), "at": datetime.now(UTC)}
        with self._writing(CHANGES) as connection:
            connection.execute(CHANGES.insert().values(**row))

    def changes(self) -> list[dict[str, Any]]:
        """Return the changes (release_id, record, at), oldest first."""
        return self._rows(sa.select(CHANGES).order_by(CHANGES.c.id))


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a prediction row with the embedding packed and numbers plain."""
    values = {name: plain(value) for name, value in row.items() if name != "embedding"}
    embedding = row.get("embedding")
    values["embedding"] = None if embedding is None else unpack_embedding(embedding).tobytes()
    return values


def plain(value: Any) -> Any:
    """Return the value as JSON and SQL know it: NumPy numbers plain, NaN and inf as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


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


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
