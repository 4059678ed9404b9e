"""What Prometheus sees of the flows: asked of Prefect's API in the background, never by a scrape.

A scrape tells what was last heard, and lets a thread ask again when that is old: an API
that is slow or gone makes no scrape slow. Plain HTTP, since the monitor knows no Prefect.
"""

from __future__ import annotations

import copy
import json
import os
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mammo.settings import Settings

ASK_SECONDS = 15.0
"""How old what is told may become before Prefect is asked again."""
TIMEOUT_SECONDS = 10.0
PAGE, MOST_PAGES = 200, 10
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
FAILED = ("FAILED", "CRASHED")
GOING = ("RUNNING", "PENDING", "PAUSED", "CANCELLING")
Ask = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]
"""Posts JSON to a path of Prefect's API and returns its list."""


@dataclass
class FlowHistory:
    """What is known of the runs of every flow; times are Unix seconds.

    ``ended`` counts runs by flow and state since this process began to ask: what ended
    before is in ``last`` alone, so that a restart is not a burst of failures.
    """

    names: dict[str, str] = field(default_factory=dict)
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    last: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    going: Counter[tuple[str, str]] = field(default_factory=Counter)
    oldest_going: dict[str, float] = field(default_factory=dict)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    counted: set[str] = field(default_factory=set)

    def ask(self, ask: Ask) -> None:
        """Bring everything up to date; raises OSError or ValueError where the API does not."""
        known = {one["id"]: one["name"] for one in ask("flows/filter", {"limit": PAGE})}
        for flow_id in known.keys() - self.names.keys():
            self._look_back(ask, flow_id, known[flow_id])
        self.names = known
        self._count_ended(ask)
        self._count_going(ask)

    def _look_back(self, ask: Ask, flow_id: str, name: str) -> None:
        """Find the last run of a flow that completed and the last that did not."""
        for kind, states in (("completed", ("COMPLETED",)), ("failed", FAILED)):
            query = _runs(state={"type": {"any_": list(states)}}, sort="END_TIME_DESC", limit=1)
            query["flows"] = {"id": {"any_": [flow_id]}}
            for run in ask("flow_runs/filter", query):
                self.last[name, kind] = run

    def _count_ended(self, ask: Ask) -> None:
        fresh: list[dict[str, Any]] = []
        for page in range(MOST_PAGES):
            query = _runs(
                end_time={"after_": self.since.isoformat()},
                state={"type": {"any_": list(FINAL)}},
                sort="END_TIME_DESC",
                limit=PAGE,
            )
            found = ask("flow_runs/filter", query | {"offset": page * PAGE})
            fresh += found
            if len(found) < PAGE:
                break
        for run in sorted(fresh, key=lambda one: one["end_time"]):
            if run["id"] not in self.counted:
                self._note_ended(run)
        # asked from the end of the newest on: that one comes again, and is not counted again
        self.counted = {run["id"] for run in fresh}
        ends = (datetime.fromisoformat(run["end_time"]) for run in fresh)
        self.since = max(ends, default=self.since)

    def _note_ended(self, run: dict[str, Any]) -> None:
        name, state = self._name(run), str(run["state_type"])
        self.ended[name, state.lower()] += 1
        if state == "COMPLETED" or state in FAILED:
            self.last[name, "completed" if state == "COMPLETED" else "failed"] = run

    def _count_going(self, ask: Ask) -> None:
        going = ask("flow_runs/filter", _runs(state={"type": {"any_": list(GOING)}}, limit=PAGE))
        late = ask("flow_runs/filter", _runs(state={"name": {"any_": ["Late"]}}, limit=PAGE))
        self.going = Counter((self._name(run), run["state_type"].lower()) for run in going)
        self.going.update((self._name(run), "late") for run in late)
        self.oldest_going = {}
        for run in going:
            if run.get("start_time"):
                name, at = self._name(run), _seconds(run["start_time"])
                self.oldest_going[name] = min(at, self.oldest_going.get(name, at))

    def _name(self, run: dict[str, Any]) -> str:
        return self.names.get(run["flow_id"], "other")


def _runs(
    sort: str = "START_TIME_DESC", limit: int = PAGE, **flow_runs: dict[str, Any]
) -> dict[str, Any]:
    return {"sort": sort, "limit": limit, "flow_runs": flow_runs}


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def api_of(settings: Settings) -> Ask:
    """Return what asks the Prefect API of PREFECT_API_URL, else of the settings."""
    base = os.environ.get("PREFECT_API_URL") or settings.prefect_api_url

    def ask(path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        request = urllib.request.Request(
            f"{base}/{path}", json.dumps(query).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return list(json.load(response))

    return ask


class FlowCollector(Collector):
    """Tells what was last heard of the flows; nothing before Prefect has answered once."""

    def __init__(self, settings: Settings, ask: Ask | None = None) -> None:
        self._ask, self._history = ask or api_of(settings), FlowHistory()
        self._up: bool | None = None
        self._asked_at = float("-inf")
        self.asking: threading.Thread | None = None
        """The thread that asks, or has asked last."""

    def collect(self) -> Iterable[Metric]:
        """Yield what is known, and have it brought up to date for the next scrape."""
        up, history = self._up, self._history
        self._ask_again()
        if up is None:
            return
        yield GaugeMetricFamily(
            "mammo_prefect_up", "1 when Prefect's API answered the last question.", int(up)
        )
        yield from (*_ended(history), *_going(history))

    def _ask_again(self) -> None:
        under_way = self.asking is not None and self.asking.is_alive()
        if under_way or time.monotonic() - self._asked_at < ASK_SECONDS:
            return
        self._asked_at = time.monotonic()
        self.asking = threading.Thread(target=self._bring_up_to_date, name="prefect", daemon=True)
        self.asking.start()

    def _bring_up_to_date(self) -> None:
        fresh = copy.deepcopy(self._history)  # a scrape meanwhile tells what was known before
        try:
            fresh.ask(self._ask)
        except (OSError, ValueError, KeyError):
            self._up = False
        else:
            self._history, self._up = fresh, True


def _ended(history: FlowHistory) -> Iterator[Metric]:
    names = sorted(set(history.names.values()))
    runs = CounterMetricFamily(
        "mammo_flow_runs",
        "Flow runs that ended since this exporter started, by state.",
        labels=("flow", "state"),
    )
    for name in names:
        for state in FINAL:
            runs.add_metric((name, state.lower()), history.ended[name, state.lower()])
    yield runs
    success = GaugeMetricFamily(
        "mammo_flow_last_success_timestamp_seconds",
        "When a run of the flow last completed.",
        labels=("flow",),
    )
    failure = GaugeMetricFamily(
        "mammo_flow_last_failure_timestamp_seconds",
        "When a run of the flow last failed or crashed.",
        labels=("flow",),
    )
    took = GaugeMetricFamily(
        "mammo_flow_last_duration_seconds",
        "What the last completed run of the flow took.",
        labels=("flow",),
    )
    for name in names:
        if run := history.last.get((name, "completed")):
            success.add_metric((name,), _seconds(run["end_time"]))
            took.add_metric((name,), float(run["total_run_time"] or 0.0))
        if run := history.last.get((name, "failed")):
            failure.add_metric((name,), _seconds(run["end_time"]))
    yield from (success, failure, took)


def _going(history: FlowHistory) -> Iterator[Metric]:
    going = GaugeMetricFamily(
        "mammo_flow_runs_active",
        "Flow runs that go on or wait; late ones have not begun when they should have.",
        labels=("flow", "state"),
    )
    for name in sorted(set(history.names.values())):
        for state in (*(one.lower() for one in GOING), "late"):
            going.add_metric((name, state), history.going[name, state])
    yield going
    oldest = GaugeMetricFamily(
        "mammo_flow_oldest_run_timestamp_seconds",
        "When the run of the flow started that has gone on longest.",
        labels=("flow",),
    )
    for name, at in history.oldest_going.items():
        oldest.add_metric((name,), at)
    yield oldest
