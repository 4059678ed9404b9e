"""The dashboards as Grafana reads them: made from the tables, whole, and of the SDK's shape."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grafana_foundation_sdk", reason="the extra dev is not installed")

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.check import window_of
from monitoring.dashboards.render import SCHEMA_VERSION, SOURCES, TEXT_BOXES
from monitoring.dashboards.write import FOLDER, made_files

ROOT = Path(__file__).parents[2]
BOARDS = {
    path.stem: json.loads(path.read_text()) for path in (FOLDER / "dashboards").glob("*.json")
}
PANELS = [
    pytest.param(board, panel, id=f"{uid}-{panel['title']}")
    for uid, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def test_committed_files_are_those_that_the_tables_make() -> None:
    made = made_files()
    stale = [name for name, text in made.items() if (FOLDER / name).read_text() != text]
    assert not stale, "run `python -m monitoring.dashboards`"
    assert {f"dashboards/{uid}.json" for uid in BOARDS} <= set(made), "no file is left over"
    assert len(BOARDS) == 5


@pytest.mark.parametrize("uid", BOARDS)
def test_the_sdk_reads_it_and_writes_the_same(uid: str) -> None:
    register_default_plugins()
    board = copy.deepcopy(BOARDS[uid])
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    for one in (board, again):
        for annotation in one["annotations"]["list"]:
            # the SDK knows targets of Grafana's own annotations alone
            annotation.pop("target", None)
    again["schemaVersion"] = SCHEMA_VERSION
    assert again == board


@pytest.mark.parametrize("uid", BOARDS)
def test_ids_are_unique_and_panels_do_not_overlap(uid: str) -> None:
    panels = BOARDS[uid]["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for one in panels:
        at = one["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24, one["title"]
        assert not cells & taken, one["title"]
        taken |= cells


@pytest.mark.parametrize("uid", BOARDS)
def test_no_data_source_is_hard_coded(uid: str) -> None:
    board = BOARDS[uid]
    asked = {one["name"] for one in board["templating"]["list"] if one["type"] == "datasource"}
    uids = re.findall(r'"uid": "([^"]+)"', json.dumps(board))
    used = {one for one in uids if one != uid}
    assert used == {f"${{{name}}}" for name in asked}
    assert used <= {source.uid for source in SOURCES.values()}


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_says_what_it_is_and_what_to_do(board: Any, panel: Any) -> None:
    assert len(panel["description"]) > 60
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    links = {one["title"]: one["url"] for one in panel["links"]}
    page = links["Runbook"].removeprefix("${docs}/").split("#")[0]
    assert (ROOT / "docs" / page).is_file(), page
    assert all(url.startswith(("${docs}/", "${reports}/")) for url in links.values())
    if panel["type"] == "stat":
        assert defaults["thresholds"]["steps"][0]["value"] is None
    limits = [one["value"] for one in defaults.get("thresholds", {}).get("steps", [])][1:]
    assert limits == sorted(limits)
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"]


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_what_is_no_table_keeps_its_legends(board: Any, panel: Any) -> None:
    shapes = {one["format"] for one in panel["targets"] if "expr" in one}
    assert shapes <= {"table" if panel["type"] == "table" else "time_series"}


@pytest.mark.parametrize("uid", BOARDS)
def test_every_variable_that_is_used_is_there(uid: str) -> None:
    text = json.dumps(BOARDS[uid])
    used = {a or b for a, b in re.findall(r"\$\{(\w+)(?::\w+)?\}|\$([a-z]\w*)", text)}
    known = {one["name"] for one in BOARDS[uid]["templating"]["list"]}
    assert used <= known
    assert known - set(TEXT_BOXES) <= used, "a choice that changes nothing"


@pytest.mark.parametrize("uid", BOARDS)
def test_it_opens_at_a_time_that_the_check_understands(uid: str) -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 11, 29, tzinfo=UTC)
    assert window_of(BOARDS[uid], now).start < now
