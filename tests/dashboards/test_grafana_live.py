"""Every query of every dashboard on a real Prometheus and a real PostgreSQL, with real metrics."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.dashboards.__main__ import BOARDS, check_all, main
from benchmarks.dashboards.scene import FIRST, SECOND, THIRD, Scene
from benchmarks.dashboards.servers import find_prometheus
from monitoring.dashboards.check import Answered, Sources, check_board, check_boards, window_of
from monitoring.dashboards.queries import queries_of, resolve_promql
from monitoring.dashboards.write import FOLDER
from tests.postgres import running_cluster

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(
        find_prometheus() is None,
        reason="prometheus is not installed (apt-get install prometheus)",
    ),
]
RULES = yaml.safe_load((FOLDER / "provisioning/alerting/rules.yaml").read_text())


@dataclass
class Played:
    """What the dashboards gave, and what else was asked while the scene still ran."""

    found: list[Answered]
    renamed: list[Answered]
    alerts: dict[str, list[dict[str, Any]]]
    blind: list[Answered]
    refused: dict[str, float]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Play the scene once."""
    seen: dict[str, Any] = {}

    def then(scene: Scene) -> None:
        sources = Sources(scene.prometheus, scene.settings.log_url, datetime.now(UTC))
        seen["renamed"] = list(check_board(_renamed(), sources))
        seen["alerts"] = {
            one["title"]: _fires(scene.prometheus, one) for one in RULES["groups"][0]["rules"]
        }
        seen["refused"] = _refused(sources)
        blind = Sources(scene.prometheus, None, datetime.now(UTC))
        seen["blind"] = list(check_boards(BOARDS, blind))

    with running_cluster() as cluster:
        folder = tmp_path_factory.mktemp("scene")
        found = check_all(folder, cluster.new_database(), lambda _: None, then)
    yield Played(found, seen["renamed"], seen["alerts"], seen["blind"], seen["refused"])


def _renamed() -> dict[str, Any]:
    """Return a dashboard that asks for a metric by a name that it no longer has."""
    board: dict[str, Any] = copy.deepcopy(json.loads((BOARDS / "mammo-service.json").read_text()))
    text = json.dumps(board).replace("mammo_requests_total{status", "mammo_answers_total{status")
    return dict(json.loads(text))


def _fires(prometheus: str, rule: dict[str, Any]) -> list[dict[str, Any]]:
    query = rule["data"][0]["model"]["expr"]
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=30).json()
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])


def _refused(sources: Sources) -> dict[str, float]:
    """Return what the panel *Refused by code* shows."""
    board = json.loads((BOARDS / "mammo-data.json").read_text())
    (asked,) = [one for one in queries_of(board) if one.title == "Refused by code"]
    window = window_of(board, sources.now)
    found = sources.series(resolve_promql(asked.text, {}, window), asked, window)
    return {one["metric"]["code"]: float(one["value"][1]) for one in found}


def test_the_first_refusal_of_a_code_counts(played: Played) -> None:
    assert played.refused["NOT_DICOM"] == played.refused["DICOM_TRUNCATED"] == 1


def test_no_query_is_empty(played: Played) -> None:
    assert [(one.asked.title, one.error) for one in played.found if one.is_empty] == []
    asked = {(one.asked.board, one.asked.title) for one in played.found}
    titles = {
        (board["title"], panel["title"])
        for board in (json.loads(path.read_text()) for path in BOARDS.glob("*.json"))
        for panel in board["panels"]
        if panel["type"] != "row"
    }
    assert titles <= asked and len(played.found) > 120


def test_what_is_asked_is_what_happened(played: Played) -> None:
    rows = {(one.asked.what, one.asked.title): one.series for one in played.found}
    assert rows["annotation", "Episodes"] == 1
    assert rows["variable", "release"] == len({FIRST, SECOND, THIRD})
    assert rows["variable", "scanner"] == 4
    assert rows["panel", "Failures on trial"] == 1
    assert rows["panel", "From episode to release"] == 1
    assert rows["panel", "Quarantine by code"] >= 5


def test_a_metric_that_was_renamed_is_found(played: Played) -> None:
    assert "Errors by status" in [one.asked.title for one in played.renamed if one.is_empty]


def test_without_a_database_its_panels_are_empty_and_say_why(played: Played) -> None:
    errors = {one.error for one in played.blind if one.asked.source != "prometheus"}
    assert errors == {"ValueError: no PostgreSQL was given, and Grafana reads no SQLite by itself"}


def test_the_drift_of_the_scene_fires_grafanas_rule(played: Played) -> None:
    (drift,) = played.alerts["MammoDriftConfirmed"]
    assert "Draco" in drift["metric"]["stratum"]
    assert played.alerts["MammoAucBelowReference"] == []


def test_status_is_1_without_prometheus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == 1
    assert "apt-get install prometheus" in capsys.readouterr().err
