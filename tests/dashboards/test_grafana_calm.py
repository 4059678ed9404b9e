"""A number that is calm only because nothing can be read: no panel shows one."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.dashboards.check import window_of
from monitoring.dashboards.queries import queries_of, resolve_promql
from tests.dashboards.rules import ALERTS, DASHBOARDS, RECORDS, ROOT, program

BOARDS = [
    json.loads(path.read_text()) for path in sorted((DASHBOARDS / "grafana/dashboards").glob("*"))
]
NUMBERS = ("stat", "bargauge")
OPEN, CLOSED = 'mammo_episodes{status="open"}', 'mammo_episodes{status="closed"}'
CANARY = 'mammo_challenger_info{release="r-2",kind="trained"}'
FINE, FAILED = 'mammo_requests_total{status="200"}', 'mammo_requests_total{status="503"}'
EPISODES, TRIED = ("mammo-releases", "Episodes open"), ("mammo-releases", "Tried beside it")
REQUESTS = ("mammo-service", "Requests that failed")
GONE = "1 1 stale"
"""Of a page that could be read, and no more can."""


def query_of(uid: str, title: str) -> str:
    """Return what the panel of a committed dashboard asks."""
    (board,) = [one for one in BOARDS if one["uid"] == uid]
    (asked,) = [one for one in queries_of(board) if one.title == title]
    return resolve_promql(asked.text, {}, window_of(board, datetime(2026, 11, 29, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("panel", "series", "shown"),
    [
        (EPISODES, {}, {}),
        (EPISODES, {"mammo_log_up": "0x9"}, {}),
        (EPISODES, {"mammo_log_up": GONE, OPEN: "2 2 stale"}, {}),
        (EPISODES, {"mammo_log_up": "1x9"}, {"{}": 0}),
        (EPISODES, {"mammo_log_up": "1x9", CLOSED: "5x9"}, {"{}": 0}),
        (EPISODES, {"mammo_log_up": "1x9", CLOSED: "5x9", OPEN: "2x9"}, {"{}": 2}),
        (TRIED, {}, {}),
        (TRIED, {"mammo_service_up": GONE, CANARY: GONE}, {}),
        (TRIED, {"mammo_service_up": "1x9"}, {'{release="none"}': 0}),
        (TRIED, {"mammo_service_up": "1x9", CANARY: "1x9"}, {'{release="r-2"}': 1}),
        (REQUESTS, {}, {}),
        (REQUESTS, {FINE: "0+3x9"}, {"{}": 0}),
        (REQUESTS, {FINE: "0+3x9", FAILED: "0+1x9"}, {"{}": 0.25}),
    ],
)
def test_a_calm_number_is_one_that_was_read(
    panel: tuple[str, str], series: dict[str, str], shown: dict[str, float], tmp_path: Path
) -> None:
    given = [{"series": name, "values": values} for name, values in series.items()]
    samples = [{"labels": labels, "value": value} for labels, value in shown.items()]
    asked = {"expr": query_of(*panel), "eval_time": "2m", "exp_samples": samples}
    case = {"interval": "15s", "input_series": given, "promql_expr_test": [asked]}
    path = tmp_path / "calm.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))
    command = [program("promtool"), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_number_is_of_now() -> None:
    """Of a range Grafana shows the last value that there was, hours after its page was gone."""
    over_time: list[str] = [
        panel["title"]
        for board in BOARDS
        for panel in board["panels"]
        if panel["type"] in NUMBERS
        for target in panel["targets"]
        if "expr" in target and not target.get("instant")
    ]
    assert over_time == ["Score, 95 of 100 exams"]  # without exams there is none of now


def test_dashboards_ask_for_metrics_that_there_are() -> None:
    """One that was renamed would leave a panel at its calm 0, which no check finds empty."""
    page = (ROOT / "docs/metrics.md").read_text()
    kinds = dict(re.findall(r"^\| `(mammo_\w+)` \| (\w+) \|", page, re.M))
    known = {f"{name}_bucket" if kind == "histogram" else name for name, kind in kinds.items()}
    asked = {
        name
        for board in BOARDS
        for one in queries_of(board)
        if one.source == "prometheus"
        for name in re.findall(r"(?<![\w:])mammo_\w+", one.text)
    }
    assert len(asked) > 50 and asked - known == set()


def test_nothing_is_calm_whatever_can_be_read() -> None:
    asked: list[Any] = [one.text for board in BOARDS for one in queries_of(board)]
    asked += [rule["expr"] for rule in (*RECORDS, *ALERTS) if rule.get("alert") != "MammoWatchdog"]
    assert [text for text in asked if "vector(" in text] == []
