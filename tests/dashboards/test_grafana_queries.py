"""What a query becomes when a reader opens a dashboard, as Grafana documents it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from monitoring.dashboards.check import Answered, check_board, window_of
from monitoring.dashboards.queries import (
    Window,
    fixed_values,
    queries_of,
    resolve_promql,
    resolve_sql,
)

WINDOW = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC), 15, 60)
VALUES = {"scanner": ["Acme/X (1)", "O'Hara/Y"], "maturity": ["91"]}


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("rate(m[$__rate_interval])", "rate(m[60s])"),
        ("increase(m[$__range])", "increase(m[86400s])"),
        ("changes(m[$__interval])", "changes(m[15s])"),
        ('m{scanner=~"$scanner"}', r"""m{scanner=~"Acme/X \\(1\\)|O'Hara/Y"}"""),
        ("m > $maturity", "m > 91"),
    ],
)
def test_variables_in_promql(text: str, asked: str) -> None:
    assert resolve_promql(text, VALUES, WINDOW) == asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (
            "$__timeFilter(p.at)",
            "p.at BETWEEN '2026-03-01T00:00:00Z' AND '2026-03-02T00:00:00Z'",
        ),
        ("$__timeGroup(at, '1h')", "floor(extract(epoch from at)/3600)*3600"),
        ("scanner IN (${scanner:sqlstring})", "scanner IN ('Acme/X (1)','O''Hara/Y')"),
        ("make_interval(days => $maturity)", "make_interval(days => 91)"),
    ],
)
def test_variables_and_macros_in_sql(text: str, asked: str) -> None:
    assert resolve_sql(text, VALUES, WINDOW) == asked


def test_a_variable_that_is_nowhere_is_a_fault() -> None:
    with pytest.raises(KeyError, match="the variable \\$site is on no dashboard"):
        resolve_promql('m{site="$site"}', VALUES, WINDOW)


def _board(*panels: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": "one",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"type": "custom", "name": "maturity", "current": {"value": "91"}},
                {"type": "textbox", "name": "docs", "query": "https://docs"},
            ]
        },
        "panels": list(panels),
    }


def test_panels_in_closed_rows_are_asked_too() -> None:
    source = {"type": "prometheus"}
    panel = {
        "type": "stat",
        "title": "p",
        "datasource": source,
        "targets": [{"refId": "A", "expr": "up"}],
    }
    board = _board({"type": "row", "panels": [panel]})
    assert [one.text for one in queries_of(board)] == ["up"]
    assert fixed_values(board) == {"maturity": ["91"], "docs": ["https://docs"]}


class _Silent:
    """Sources that give nothing, and say no to a query that is wrong."""

    now = WINDOW.end

    def ask(self, asked: Any, values: Any, window: Window) -> tuple[str, int]:
        if asked.text == "wrong(":
            raise ValueError("bad_data: parse error")
        return asked.text, 0


def test_nothing_and_an_error_are_both_empty() -> None:
    panels = [
        {
            "type": "stat",
            "title": text,
            "datasource": {"type": "prometheus"},
            "targets": [{"refId": "A", "expr": text}],
        }
        for text in ("renamed_metric", "wrong(")
    ]
    found: list[Answered] = list(check_board(_board(*panels), _Silent()))  # type: ignore[arg-type]
    assert [one.is_empty for one in found] == [True, True]
    assert [one.error for one in found] == ["", "ValueError: bad_data: parse error"]
    assert found[1].to_dict()["series"] == 0


@pytest.mark.parametrize("begin", ["now/d", "2026-01-01", "now-3M"])
def test_times_that_are_not_understood_are_refused(begin: str) -> None:
    board = _board() | {"time": {"from": begin, "to": "now"}}
    with pytest.raises(ValueError, match="now-6h to now is understood"):
        window_of(board, WINDOW.end)
