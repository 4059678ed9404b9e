"""Draws what the dashboards' queries gave, each panel in its place: not the look of Grafana.

The data, the places, the units and the thresholds are those of the committed JSON; the drawing
is matplotlib's, since Grafana was not to be had where this was made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from monitoring.dashboards.check import PROMETHEUS, Sources, window_of
from monitoring.dashboards.queries import (
    Values,
    Window,
    fixed_values,
    queries_of,
    resolve_promql,
    resolve_sql,
)

COLOURS = {"green": "#2f9e44", "orange": "#e8890c", "red": "#d6336c", "gray": "#868e96"}
CELL_INCHES, MOST_LINES, MOST_ROWS = (0.72, 0.34), 7, 9
STEP_SECONDS = 5


@dataclass(frozen=True)
class Series:
    """One series: its name, and its points as (seconds, value)."""

    name: str
    points: list[tuple[float, float]]

    @property
    def last(self) -> float:
        """The last value."""
        return self.points[-1][1]


def draw_boards(folder: Path, sources: Sources, to: Path) -> list[Path]:
    """Draw every dashboard of a folder; return the pictures."""
    to.mkdir(parents=True, exist_ok=True)
    paths = []
    for path in sorted(folder.glob("*.json")):
        paths.append(to / f"grafana_{path.stem}.png")
        draw_board(json.loads(path.read_text()), sources, paths[-1])
    return paths


def draw_board(board: dict[str, Any], sources: Sources, to: Path) -> None:
    """Draw one dashboard with all values of its variables."""
    window = replace(window_of(board, sources.now), step_seconds=STEP_SECONDS)
    values: dict[str, list[str]] = fixed_values(board)
    for asked in queries_of(board):
        if asked.what == "variable":
            values[asked.title] = sources.values_of(asked, values, window)[1]
    rows = 1 + max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in board["panels"])
    figure = plt.figure(figsize=(24 * CELL_INCHES[0], rows * CELL_INCHES[1]), dpi=72)
    for panel in board["panels"]:
        left, bottom, wide, high = _place(panel["gridPos"], rows)
        if panel["type"] == "row":
            figure.text(left, bottom + 0.3 / rows, panel["title"], fontsize=11, weight="bold")
            continue
        axes = figure.add_axes((left, bottom, wide, high))
        axes.set_title(panel["title"], fontsize=8, loc="left")
        axes.tick_params(labelsize=6)
        _DRAWN[panel["type"]](axes, panel, _data(panel, sources, values, window))
    figure.savefig(to)
    plt.close(figure)


def _place(at: dict[str, int], rows: int) -> tuple[float, float, float, float]:
    left, top = at["x"] / 24, 1 - (at["y"] + 1) / rows
    wide, high = at["w"] / 24, at["h"] / rows
    edge = 0.02, 0.7 / rows
    return left + edge[0], top - high + edge[1], wide - 1.6 * edge[0], high - 2.3 * edge[1]


Data = list[Any]


def _data(panel: dict[str, Any], sources: Sources, values: Values, window: Window) -> Data:
    """Return series of Prometheus, or rows of the database."""
    found: Data = []
    for asked in queries_of({"title": "", "panels": [panel]}):
        if asked.source != PROMETHEUS:
            found += sources.rows(resolve_sql(asked.text, values, window))
            continue
        query = resolve_promql(asked.text, values, window)
        legends = {one["refId"]: one.get("legendFormat", "") for one in panel["targets"]}
        for one in sources.series(query, asked, window):
            points = one.get("values") or [one["value"]]
            name = _legend(legends[asked.name], one["metric"])
            found.append(Series(name, [(float(at), float(value)) for at, value in points]))
    return found


def _legend(text: str, labels: dict[str, str]) -> str:
    if text == "__auto":
        return " ".join(labels.values())
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def _lines(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    series = [one for one in data if isinstance(one, Series)] or _series_of_rows(data)
    begin = min((one.points[0][0] for one in series), default=0)
    for one in sorted(series, key=lambda each: -each.last)[:MOST_LINES]:
        minutes = [(at - begin) / 60 for at, _ in one.points]
        told = one.name if len(one.name) < 44 else f"{one.name[:20]}…{one.name[-22:]}"
        axes.plot(minutes, [value for _, value in one.points], lw=1, marker=".", ms=2, label=told)
    for step in _steps(panel)[1:]:
        axes.axhline(step["value"], color=COLOURS[step["color"]], ls="--", lw=0.8)
    axes.set_xlabel(f"minutes · {len(series)} series · {_unit(panel)}", fontsize=5)
    axes.legend(fontsize=5, loc="upper left", framealpha=0.6)


def _series_of_rows(rows: Data) -> list[Series]:
    """Return rows (time, metric, value, ...) as series."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        at = row[0].timestamp() if isinstance(row[0], datetime) else float(row[0])
        for name, value in zip(row._fields[2:], row[2:], strict=True):
            found.setdefault(f"{row[1]} {name}", []).append((at, float(value)))
    return [Series(name, points) for name, points in found.items()]


def _numbers(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    axes.axis("off")
    words = {
        value: told
        for one in panel["fieldConfig"]["defaults"].get("mappings", [])
        for value, told in one["options"].items()
    }
    for place, one in enumerate(data[:3]):
        name, value = (one.name, one.last) if isinstance(one, Series) else ("", float(one[-1]))
        told = words.get(f"{value:g}", {}).get("text") or _told(value, _unit(panel))
        at = 0.02 + 0.33 * place
        axes.text(at, 0.5, told, fontsize=13, color=_colour(panel, value), weight="bold")
        axes.text(at, 0.3, name, fontsize=6)


def _bars(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    told = [
        (one.name, one.last) if isinstance(one, Series) else (str(one[0]), float(one[-1]))
        for one in data
    ]
    shown = sorted(told, key=lambda each: -each[1])[: 2 * MOST_ROWS][::-1]
    colours = [_colour(panel, value) for _, value in shown]
    names = [name if len(name) < 40 else f"{name[:14]}…{name[-24:]}" for name, _ in shown]
    axes.barh(range(len(shown)), [value for _, value in shown], color=colours, alpha=0.6)
    axes.set_ylim(-0.6, max(5, len(shown)) - 0.4)
    axes.set_yticks(range(len(shown)), names, fontsize=5)
    axes.tick_params(axis="y", pad=-4)
    plt.setp(axes.get_yticklabels(), ha="left")
    axes.set_xlabel(f"{len(told)} bars · {_unit(panel)}", fontsize=5)


def _table(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    axes.axis("off")
    units = {
        one["matcher"]["options"]: one["properties"][0]["value"]
        for one in panel["fieldConfig"]["overrides"]
        if one["properties"][0]["id"] == "unit"
    }
    if not data:
        return
    names = data[0]._fields
    cells = [
        [_cell(value, units.get(name, "")) for name, value in zip(names, row, strict=True)]
        for row in data[:MOST_ROWS]
    ]
    made = axes.table(cells, colLabels=names, loc="upper left", cellLoc="left", edges="horizontal")
    made.auto_set_font_size(False)
    made.set_fontsize(7)
    made.scale(1, 1.2)
    made.auto_set_column_width(list(range(len(names))))


def _states(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    begin = min(one.points[0][0] for one in data)
    for place, one in enumerate(data):
        for (at, value), (then, _) in pairwise(one.points):
            axes.barh(place, (then - at) / 60, left=(at - begin) / 60, color=_colour(panel, value))
    axes.set_yticks(range(len(data)), [one.name for one in data], fontsize=6)
    axes.tick_params(axis="y", pad=-4)
    plt.setp(axes.get_yticklabels(), ha="left")


def _cell(value: Any, unit: str) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float) or unit:
        return _told(float(value), unit)
    text = "" if value is None else str(value)
    return text if len(text) < 34 else f"{text[:31]}…"


def _told(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.1f} %"
    if unit in ("s", "dtdurations"):
        return f"{value:.2f} s" if value < 120 else f"{value / 60:.1f} min"
    if unit == "bytes":
        return f"{value / 2**30:.1f} GiB"
    return f"{value:.4g}"


def _unit(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"]["unit"])


def _steps(panel: dict[str, Any]) -> list[dict[str, Any]]:
    return list(panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", []))


def _colour(panel: dict[str, Any], value: float) -> str:
    passed = [one for one in _steps(panel) if one["value"] is None or value >= one["value"]]
    return COLOURS[passed[-1]["color"]] if passed else "#1c7ed6"


_DRAWN: dict[str, Callable[[Axes, dict[str, Any], Data], None]] = {
    "timeseries": _lines,
    "stat": _numbers,
    "bargauge": _bars,
    "table": _table,
    "state-timeline": _states,
}
