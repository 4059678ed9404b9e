"""What a dashboard asks, read from its JSON as Grafana reads it; and what that becomes when asked.

Only the JSON is read: not the tables that it was made from, so that a check also holds for a
dashboard that somebody wrote by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Values = Mapping[str, Sequence[str]]
"""The values of each variable: all of them, as a reader sees a dashboard at first."""
What = Literal["panel", "variable", "annotation"]


@dataclass(frozen=True)
class Asked:
    """One query of a dashboard: what it is of, its text, and how it is asked.

    ``source`` is the type of the data source. ``instant`` and ``over_time`` as in
    `monitoring.dashboards.panel.Query`.
    """

    board: str
    what: What
    title: str
    name: str
    source: str
    text: str
    instant: bool = False


@dataclass(frozen=True)
class Window:
    """The time that is looked at, and the step and rate interval that Grafana would take."""

    start: datetime
    end: datetime
    step_seconds: int = 15
    rate_seconds: int = 60


def queries_of(board: Mapping[str, Any]) -> Iterator[Asked]:
    """Yield every query: variables first, since the others need their values."""
    title = str(board["title"])
    for one in board.get("templating", {}).get("list", []):
        if one["type"] == "query":
            yield _of_variable(title, one)
    for one in board.get("annotations", {}).get("list", []):
        text = one["target"].get("rawSql") or one["target"].get("expr", "")
        yield Asked(title, "annotation", one["name"], "", one["datasource"]["type"], text)
    for panel in _panels(board):
        for target in panel.get("targets", []):
            yield _of_panel(title, panel, target)


def _panels(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in board.get("panels", []):
        yield from panel.get("panels", []) if panel["type"] == "row" else [panel]


def _of_variable(title: str, one: Mapping[str, Any]) -> Asked:
    query = one["query"]
    text = query["query"] if isinstance(query, dict) else query
    return Asked(title, "variable", one["name"], "", one["datasource"]["type"], text, True)


def _of_panel(title: str, panel: Mapping[str, Any], target: Mapping[str, Any]) -> Asked:
    source = target.get("datasource") or panel["datasource"]
    text = target.get("rawSql") or target.get("expr", "")
    instant = bool(target.get("instant"))
    return Asked(title, "panel", panel["title"], target["refId"], source["type"], text, instant)


def fixed_values(board: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the values of the variables that ask nobody: what is chosen at first."""
    found = {}
    for one in board.get("templating", {}).get("list", []):
        if one["type"] == "custom":
            found[one["name"]] = [str(one["current"]["value"])]
        elif one["type"] == "textbox":
            found[one["name"]] = [str(one["query"])]
    return found


def resolve_promql(text: str, values: Values, window: Window) -> str:
    """Return PromQL with Grafana's variables replaced: several values as a regular expression."""
    span = max(1, int((window.end - window.start).total_seconds()))
    text = text.replace("$__rate_interval", f"{window.rate_seconds}s")
    text = text.replace("$__interval", f"{window.step_seconds}s").replace("$__range", f"{span}s")
    return _with_values(text, values, lambda given: "|".join(map(_for_regex, given)))


def _for_regex(value: str) -> str:
    """Escape as the data source Prometheus of Grafana does: once more, for the string in PromQL."""
    return re.sub(r"([\\^$*+?.()|\[\]{}])", r"\\\\\1", value)


def resolve_sql(text: str, values: Values, window: Window) -> str:
    """Return PostgreSQL with Grafana's variables and the macros of its data source replaced."""
    start, end = (one.astimezone(UTC).strftime("'%Y-%m-%dT%H:%M:%SZ'")
                  for one in (window.start, window.end))  # fmt: skip
    text = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN {start} AND {end}", text)
    text = re.sub(r"\$__timeGroup\(([^,]+),\s*'(\d+)([smhd])'\)", _time_group, text)
    return _with_values(text, values, ",".join)


def _time_group(found: re.Match[str]) -> str:
    seconds = int(found[2]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[3]]
    return f"floor(extract(epoch from {found[1]})/{seconds})*{seconds}"


def _with_values(text: str, values: Values, join: Any) -> str:
    def put(found: re.Match[str]) -> str:
        name, shape = found[1] or found[3], found[2]
        if name not in values:
            raise KeyError(f"the variable ${name} is on no dashboard")
        if shape == "sqlstring":
            return ",".join("'" + one.replace("'", "''") + "'" for one in values[name])
        return str(join(values[name]))

    return re.sub(r"\$\{(\w+)(?::(\w+))?\}|\$([A-Za-z]\w*)", put, text)
