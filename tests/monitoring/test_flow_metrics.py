"""What Prometheus sees of the flows, from a Prefect API of a few runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from mammo.settings import Settings
from monitoring.flow_metrics import FlowCollector, FlowHistory

FLOWS = [{"id": "f1", "name": "monitor"}, {"id": "f2", "name": "retrain"}]


def run(name: str, flow: str, state: str, *, ended: float | None = None) -> dict[str, Any]:
    """Return a run as Prefect's API has it; ``ended`` in seconds from now."""
    now = datetime.now(UTC)  # not of the module: it may be minutes old when a test begins
    end = None if ended is None else (now + timedelta(seconds=ended)).isoformat()
    start = (now - timedelta(seconds=90)).isoformat()
    return {
        "id": name, "flow_id": flow, "state_type": state, "state_name": state.title(),
        "start_time": start, "end_time": end, "total_run_time": 12.5,
    }  # fmt: skip


class Prefect:
    """Answers as the API does to the questions that are asked of it."""

    def __init__(self, *runs: dict[str, Any]) -> None:
        self.runs, self.down = list(runs), False

    def __call__(self, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self.down:
            raise ConnectionRefusedError
        if path == "flows/filter":
            return FLOWS
        found = [one for one in self.runs if _matches(one, query)]
        found.sort(key=lambda one: one["end_time"] or "", reverse=True)
        begin = query.get("offset", 0)
        return found[begin : begin + query["limit"]]


def _matches(one: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    wanted = query["flow_runs"]
    state = wanted["state"]
    if "type" in state and one["state_type"] not in state["type"]["any_"]:
        return False
    if "name" in state and one["state_name"] not in state["name"]["any_"]:
        return False
    after = wanted.get("end_time", {}).get("after_")
    if after and (one["end_time"] is None or one["end_time"] < after):
        return False
    return one["flow_id"] in query.get("flows", {}).get("id", {}).get("any_", [one["flow_id"]])


def test_runs_before_the_start_are_no_burst_of_failures() -> None:
    api = Prefect(
        run("a", "f1", "COMPLETED", ended=-600), run("b", "f1", "FAILED", ended=-900),
        run("c", "f2", "RUNNING"),
    )  # fmt: skip
    history = FlowHistory()
    history.ask(api)
    assert sum(history.ended.values()) == 0
    assert history.last["monitor", "failed"]["id"] == "b"
    assert history.going == {("retrain", "running"): 1}


def test_each_run_is_counted_once_however_often_it_is_asked() -> None:
    api, history = Prefect(), FlowHistory()
    history.ask(api)
    api.runs += [run(str(n), "f1", "COMPLETED", ended=5 + n / 1000) for n in range(450)]
    for _ in range(3):
        history.ask(api)
    api.runs.append(run("z", "f1", "CRASHED", ended=9))
    history.ask(api)
    assert history.ended == {("monitor", "completed"): 450, ("monitor", "crashed"): 1}
    assert history.last["monitor", "completed"]["id"] == "449"


@pytest.mark.parametrize("down", [False, True])
def test_a_scrape_waits_for_nobody_and_tells_what_was_heard_last(down: bool) -> None:
    api = Prefect(run("a", "f1", "COMPLETED", ended=-600))
    collector = FlowCollector(Settings(), ask=api)
    registry = CollectorRegistry()
    api.down = down
    registry.register(collector)
    assert "mammo_flow" not in generate_latest(registry).decode(), "nothing was heard yet"
    assert collector.asking is not None
    collector.asking.join()
    told = generate_latest(registry).decode()
    assert f"mammo_prefect_up {0.0 if down else 1.0}" in told
    assert ('mammo_flow_last_duration_seconds{flow="monitor"} 12.5' in told) is not down
    assert ('mammo_flow_runs_total{flow="retrain",state="crashed"} 0.0' in told) is not down
