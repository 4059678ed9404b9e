"""Exams of the log by release, scanner and role, counted on from where it was left.

The log only grows, and ids rise in the order of commits: a scrape reads the rows since
the last one, not millions each time. A log that was emptied or replaced is counted anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from mammo.prediction_log.tables import PREDICTIONS

Key = tuple[str, str, str]
"""Release, scanner, role."""
MOST_SCANNERS, MOST_RELEASES, OTHER = 50, 20, "other"
"""Prometheus keeps a series for each value of a label that it ever saw."""


class ExamCounts:
    """How many exams the log holds, how many were recalled, and when they are from.

    ``first`` and ``scored`` are when the first and the last one were scored, ``acquired`` the
    latest date of acquisition; None without an exam.
    """

    def __init__(self) -> None:
        self._last_id, self._first_id = 0, 0
        self._forget()

    def _forget(self) -> None:
        self.exams, self.recalled = Counter[Key](), Counter[Key]()
        self.newest_id: dict[Key, int] = {}
        self.first: datetime | None = None
        self.scored: datetime | None = None
        self.acquired: date | None = None
        self._last_id = 0

    def read_on(self, connection: sa.Connection) -> None:
        """Count the rows that have come since the last call."""
        table = PREDICTIONS.c
        first, last = connection.execute(
            sa.select(sa.func.min(table.id), sa.func.max(table.id))
        ).one()
        if (last or 0) < self._last_id or (self._last_id and first != self._first_id):
            self._forget()
        self._first_id = first or 0
        for row in connection.execute(_query(self._last_id)):
            self._add(row)
        self._last_id = max([self._last_id, *self.newest_id.values()])

    def _add(self, row: sa.Row[tuple[object, ...]]) -> None:
        key = (row.release_id, row.scanner, row.role)
        self.exams[key] += row.exams
        self.recalled[key] += row.recalled or 0
        self.newest_id[key] = row.newest
        self.first = min(filter(None, (self.first, row.first)), default=None)
        self.scored = max(filter(None, (self.scored, row.scored)), default=None)
        self.acquired = max(filter(None, (self.acquired, row.acquired)), default=None)

    def collect(self) -> Iterator[Metric]:
        """Yield the counts, of the scanners with most exams and the newest releases by name."""
        labels = ("release", "scanner", "role")
        exams = CounterMetricFamily("mammo_exams", "Exams scored.", labels=labels)
        recalled = CounterMetricFamily("mammo_exams_recalled", "Exams recalled.", labels=labels)
        for family, counts in ((exams, self.exams), (recalled, self.recalled)):
            for key, count in self._bounded(counts).items():
                family.add_metric(key, count)
            yield family
        yield from self._times()
        if self.acquired is not None:
            yield GaugeMetricFamily(
                "mammo_last_acquisition_timestamp_seconds",
                "Begin (UTC) of the day on which the newest exam was acquired.",
                datetime.combine(self.acquired, time(), UTC).timestamp(),
            )

    def _times(self) -> Iterator[Metric]:
        times = {
            "mammo_first_exam_timestamp_seconds": (
                "When the first exam of the log was scored.", self.first,
            ),
            "mammo_last_exam_timestamp_seconds": ("When the last exam was scored.", self.scored),
        }  # fmt: skip
        for name, (text, at) in times.items():
            if at is not None:
                yield GaugeMetricFamily(name, text, at.timestamp())

    def _bounded(self, counts: Counter[Key]) -> Counter[Key]:
        by_scanner = Counter[str]()
        for (_, scanner, _), count in self.exams.items():
            by_scanner[scanner] += count
        scanners = {name for name, _ in by_scanner.most_common(MOST_SCANNERS)}
        newest = sorted(self.newest_id, key=lambda key: -self.newest_id[key])
        releases = set(list(dict.fromkeys(key[0] for key in newest))[:MOST_RELEASES])
        told = Counter[Key]()
        for (release, scanner, role), count in counts.items():
            kept = release if release in releases else OTHER
            told[kept, scanner if scanner in scanners else OTHER, role] += count
        return told


def _query(after_id: int) -> sa.Select[tuple[object, ...]]:
    table = PREDICTIONS.c
    return (
        sa.select(
            table.release_id,
            table.scanner,
            table.role,
            sa.func.count().label("exams"),
            sa.func.sum(sa.cast(table.recall, sa.Integer)).label("recalled"),
            sa.func.min(table.scored_at).label("first"),
            sa.func.max(table.scored_at).label("scored"),
            sa.func.max(table.acquired_on).label("acquired"),
            sa.func.max(table.id).label("newest"),
        )
        .where(table.id > after_id, table.level == "exam")
        .group_by(table.release_id, table.scanner, table.role)
    )
