"""What a dashboard is made of, as plain data: panels, queries, variables, annotations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Source = Literal["prometheus", "database"]
Kind = Literal["lines", "number", "bars", "table", "states"]
Steps = tuple[tuple[float | None, str], ...]
"""Lower limit of a band and its colour; the first limit is None: from below."""

GREEN, AMBER, RED, GRAY, BLUE = "green", "orange", "red", "gray", "blue"
REPORTS, DOCS = "${reports}", "${docs}"
"""Where the monitor's pages and these docs are; text boxes of every dashboard."""


@dataclass(frozen=True)
class Query:
    """One query of a panel, in the language of its source.

    ``instant`` asks Prometheus for now alone; ``over_time`` tells Grafana that the rows of a
    database begin with a column ``time``.
    """

    text: str
    legend: str = ""
    source: Source = "prometheus"
    instant: bool = False
    over_time: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel: what it asks, in which unit it answers, and what a reader does about it.

    ``unit`` is an id of Grafana (``percentunit`` takes 0 to 1). ``about`` is the text behind
    the panel's (i). ``runbook`` is a page under ``docs/``, with an anchor where there is one;
    ``report`` a path under the monitor's reports. ``words`` name values: 1 -> "up".
    """

    title: str
    queries: tuple[Query, ...]
    about: str
    runbook: str
    unit: str = "short"
    kind: Kind = "lines"
    width: int = 8
    height: int = 8
    steps: Steps = ()
    report: str = ""
    decimals: int | None = None
    lowest: float | None = None
    highest: float | None = None
    words: tuple[tuple[str, str, str], ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    """Units of single columns of a table: (name, unit)."""
    linked: tuple[str, ...] = ()
    """Columns of a table that hold addresses."""


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: several values at once, all of them at first."""

    name: str
    label: str
    query: str
    source: Source = "prometheus"


@dataclass(frozen=True)
class Choice:
    """A choice among fixed values, (text, value) each; one at a time."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Annotation:
    """Marks on every panel over time; of the database: time, timeend, text, tags."""

    name: str
    query: str
    colour: str
    source: Source = "database"


@dataclass(frozen=True)
class Board:
    """One dashboard. ``rows`` are titles with their panels; ids follow the panels' order."""

    uid: str
    title: str
    about: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    variables: tuple[Variable | Choice, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    since: str = "now-6h"
    refresh: str = "30s"
    tags: tuple[str, ...] = field(default=("mammo",))

    def panels(self) -> list[Panel]:
        """Return the panels in order."""
        return [panel for _, panels in self.rows for panel in panels]

    def panel_id(self, title: str) -> int:
        """Return the id of the panel with this title. Raises KeyError where there is none."""
        ids = {panel.title: place for place, panel in enumerate(self.panels(), 1)}
        return ids[title]


def ask(text: str, legend: str = "", *, instant: bool = False) -> Query:
    """Return a query of Prometheus."""
    return Query(text, legend, "prometheus", instant=instant)


def grown(metric: str, by: str, over: str = "$__rate_interval") -> str:
    """Return PromQL for how much a counter has grown, by labels.

    ``increase`` alone takes the first sample of a series for its begin: the first refusal of a
    code, which is the one to see, would count nothing. A series that was not there is new.
    """
    counted = f"({metric} unless {metric} offset {over}) or increase({metric}[{over}])"
    return f"sum by ({by}) ({counted})" if by else f"sum({counted})"


def select(text: str, *, over_time: bool = False) -> Query:
    """Return a query of the prediction database, without the indentation of its source."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return Query("\n".join(lines), source="database", over_time=over_time)
