"""`mammo dashboards check` beside a Prometheus that answers from a table."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from benchmarks.dashboards.__main__ import ask_until_answered
from flows.cli import app

KNOWN = {"up": [{"metric": {"job": "a"}, "value": [0, "1"]}]}
LATE: list[str] = []


class _Prometheus(BaseHTTPRequestHandler):
    """Knows one metric, another from the second time; NaN and what it lacks are no series."""

    def do_GET(self) -> None:
        at = urlsplit(self.path)
        query = parse_qs(at.query).get("query", [""])[0]
        result: Any = KNOWN.get(query, [])
        if query == "nan":
            result = [{"metric": {}, "value": [0, "NaN"]}]
        if query == "late":
            result = KNOWN["up"] if LATE else []
            LATE.append(query)
        data = ["a"] if at.path.endswith("/values") else {"result": result}
        body = json.dumps({"status": "success", "data": data}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Serve it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Prometheus)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def invoke(home: Path, *line: str) -> Result:
    environment = {"COLUMNS": "200", "TERM": "dumb", "MAMMO_HOME": str(home)}
    return CliRunner(env=environment).invoke(app, ["dashboards", "check", *line])


def _folder(path: Path, *queries: str) -> str:
    source = {"type": "prometheus"}
    panels = [
        {
            "type": "stat",
            "title": query,
            "datasource": source,
            "targets": [{"refId": "A", "expr": query, "instant": True}],
        }
        for query in queries
    ]
    board = {"title": "b", "time": {"from": "now-1h", "to": "now"}, "panels": panels}
    path.mkdir(exist_ok=True)
    (path / "b.json").write_text(json.dumps(board))
    return str(path)


@pytest.mark.parametrize(
    ("queries", "status", "empty"),
    [(("up",), 0, 0), (("up", "renamed"), 1, 1), (("nan",), 1, 1), ((), 1, 0)],
)
def test_status_says_whether_one_is_empty(
    address: str, tmp_path: Path, queries: tuple[str, ...], status: int, empty: int
) -> None:
    line = ("--prometheus", address, "--no-database", "--folder", _folder(tmp_path / "f", *queries))
    result = invoke(tmp_path, *line, "--json")
    assert (result.exit_code, json.loads(result.stdout)["empty"]) == (status, empty)
    assert invoke(tmp_path, *line).exit_code == status


def test_a_prometheus_that_is_not_there(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--prometheus", "http://127.0.0.1:9", "--no-database")
    assert result.exit_code == 1
    assert "SERVICE_UNREACHABLE" in result.stderr and "--prometheus" in result.stderr


def test_sqlite_is_no_source_of_grafana(address: str, tmp_path: Path) -> None:
    result = invoke(tmp_path, "--prometheus", address)
    assert result.exit_code == 2
    assert "--no-database" in result.stderr


@pytest.mark.parametrize(
    ("queries", "patience_seconds", "empty"),
    [
        (("up", "late"), 30, []),
        (("up", "late"), 0, ["late"]),
        (("up", "renamed"), 0.1, ["renamed"]),
    ],
)
def test_a_count_that_comes_late_is_asked_again(
    address: str,
    tmp_path: Path,
    queries: tuple[str, ...],
    patience_seconds: float,
    empty: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.dashboards.__main__.ASK_AGAIN_SECONDS", 0.01)
    LATE.clear()
    boards = Path(_folder(tmp_path / "f", *queries))
    found = ask_until_answered(boards, address, None, patience_seconds)
    assert [one.asked.title for one in found if one.is_empty] == empty
