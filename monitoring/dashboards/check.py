"""Runs every query of every dashboard on a real Prometheus and a real PostgreSQL.

A query that gives nothing is a fault here: a metric that was renamed, a label that no longer
is, a table that lacks a column. A check is only as good as what is in the database: where no
drift ever was, no episode is found (`benchmarks/dashboards.py` makes one of each).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from monitoring.dashboards.queries import (
    Asked,
    Values,
    Window,
    fixed_values,
    queries_of,
    resolve_promql,
    resolve_sql,
)

PROMETHEUS = "prometheus"
PROMETHEUS_SECONDS = 1800
"""Prometheus is asked for its last half hour, in the step of a usual scrape interval."""
STEP_SECONDS = 15
_LABELS = re.compile(r"label_values\((?:(.+),\s*)?(\w+)\)$", re.DOTALL)


@dataclass(frozen=True)
class Answered:
    """What a query gave: ``series`` with a value (rows of a database), or why it did not."""

    asked: Asked
    query: str
    series: int
    error: str = ""

    @property
    def is_empty(self) -> bool:
        """True when it gave nothing, or failed."""
        return self.series == 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for machines."""
        row = {name: value for name, value in asdict(self.asked).items() if name != "text"}
        return {**row, "query": self.query, "series": self.series, "error": self.error}


class Sources:
    """A real Prometheus and, where there is one, a real PostgreSQL."""

    def __init__(self, prometheus: str, database: str | None, now: datetime) -> None:
        self.now = now
        self._client = httpx.Client(base_url=prometheus, timeout=30)
        self._engine = None if database is None else sa.create_engine(
            database, poolclass=sa.pool.NullPool, hide_parameters=True
        )  # fmt: skip

    def prometheus_answers(self) -> bool:
        """True when Prometheus is there and ready."""
        try:
            return self._client.get("/-/ready").is_success
        except httpx.HTTPError:
            return False

    def values_of(self, asked: Asked, values: Values, window: Window) -> tuple[str, list[str]]:
        """Return the query of a variable as asked, and the values that it gave."""
        if asked.source != PROMETHEUS:
            self._require_database()
            query = resolve_sql(asked.text, values, window)
            return query, sorted({str(row[0]) for row in self.rows(query)})
        query = resolve_promql(asked.text, values, window)
        found = _LABELS.match(query)
        if found is None:
            raise ValueError(f"{query} is no label_values(...)")
        given: dict[str, str] = {} if found[1] is None else {"match[]": found[1]}
        return query, self._get(f"/api/v1/label/{found[2]}/values", given)

    def ask(self, asked: Asked, values: Values, window: Window) -> tuple[str, int]:
        """Return the query as asked, and how many series, or rows, have a value."""
        if asked.source != PROMETHEUS:
            self._require_database()
            query = resolve_sql(asked.text, values, window)
            return query, sum(any(_is_value(one) for one in row) for row in self.rows(query))
        query = resolve_promql(asked.text, values, window)
        return query, sum(map(_has_value, self.series(query, asked, window)))

    def series(self, query: str, asked: Asked, window: Window) -> list[dict[str, Any]]:
        """Return what Prometheus gives: ``metric`` and ``values`` (or ``value``) of each series."""
        end = window.end.timestamp()
        if asked.instant and asked.what == "panel":
            return list(self._get("/api/v1/query", {"query": query, "time": end})["result"])
        given = {"query": query, "end": end, "step": window.step_seconds}
        start = max(window.start.timestamp(), end - PROMETHEUS_SECONDS)
        return list(self._get("/api/v1/query_range", {**given, "start": start})["result"])

    def _get(self, path: str, given: dict[str, Any]) -> Any:
        answer = self._client.get(path, params=given).json()
        if answer["status"] != "success":
            raise ValueError(f"{answer['errorType']}: {answer['error']}")
        return answer["data"]

    def rows(self, query: str) -> Sequence[Any]:
        """Return the rows that the database gives, as named tuples."""
        with self._require_database().connect() as connection:
            return connection.exec_driver_sql(query).all()

    def _require_database(self) -> sa.Engine:
        if self._engine is None:
            raise ValueError("no PostgreSQL was given, and Grafana reads no SQLite by itself")
        return self._engine


def _has_value(series: dict[str, Any]) -> bool:
    points = series.get("values") or [series["value"]]
    return any(math.isfinite(float(value)) for _, value in points)


def _is_value(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def check_boards(folder: Path, sources: Sources) -> Iterator[Answered]:
    """Run what the dashboards of a folder ask; yield every answer, in order."""
    for path in sorted(folder.glob("*.json")):
        yield from check_board(json.loads(path.read_text()), sources)


def check_board(board: dict[str, Any], sources: Sources) -> Iterator[Answered]:
    """Run what one dashboard asks, with all values of its variables chosen."""
    values, window = fixed_values(board), window_of(board, sources.now)
    for asked in queries_of(board):
        try:
            if asked.what == "variable":
                query, found = sources.values_of(asked, values, window)
                values[asked.title] = found
                yield Answered(asked, query, len(found))
            else:
                yield Answered(asked, *sources.ask(asked, values, window))
        except (ValueError, KeyError, httpx.HTTPError, sa.exc.SQLAlchemyError) as error:
            yield Answered(asked, asked.text, 0, f"{type(error).__name__}: {error}")


def window_of(board: dict[str, Any], now: datetime) -> Window:
    """Return the time that a reader sees who opens the dashboard. Raises ValueError for others."""
    found = re.fullmatch(r"now-(\d+)([mhdy])", board["time"]["from"])
    if found is None or board["time"]["to"] != "now":
        raise ValueError(f"{board['title']} opens at {board['time']}; now-6h to now is understood")
    seconds = int(found[1]) * {"m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}[found[2]]
    return Window(now - timedelta(seconds=seconds), now, STEP_SECONDS, 4 * STEP_SECONDS)
