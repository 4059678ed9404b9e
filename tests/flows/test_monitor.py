"""Which acting episodes the monitor flow gives back, against a stand-in for Prefect's API."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import ObjectNotFound

from flows import monitor
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings


class Runs:
    """Knows the state types of some flow runs."""

    def __init__(self, states: dict[str, str]) -> None:
        self.states, self.asked = states, 0

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read_flow_run(self, run_id: UUID) -> Any:
        self.asked += 1
        if str(run_id) not in self.states:
            raise ObjectNotFound(http_exc=httpx.HTTPError("404"))
        kind = SimpleNamespace(value=self.states[str(run_id)])
        return SimpleNamespace(state=SimpleNamespace(type=kind))


@pytest.fixture
def log(settings: Settings) -> PredictionLog:
    return PredictionLog(settings.log_url).create()


def take(log: PredictionLog, key: str, run_id: str | None) -> None:
    log.open_episode(key, stratum="s", cause="acquisition", action="retrain", release_id="r-1")
    if run_id:
        log.update_episode(key, status="acting", flow_run_id=run_id)


def test_episodes_of_dead_runs_are_open_again(
    settings: Settings, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed, running, gone = (str(uuid4()) for _ in range(3))
    taken = {"a": crashed, "b": running, "c": gone, "d": "not-a-run", "e": None}
    for key, run_id in taken.items():
        take(log, key, run_id)
    runs = Runs({crashed: "CRASHED", running: "RUNNING"})
    monkeypatch.setattr(monitor, "get_client", lambda **_: runs)
    assert monitor.free_abandoned.fn(settings) == ["a", "c", "d"]
    assert {one["key"]: one["status"] for one in log.episodes()} == {
        "a": "open",
        "b": "acting",
        "c": "open",
        "d": "open",
        "e": "open",
    }


def test_prefect_is_not_asked_where_nothing_acts(
    settings: Settings, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(log, "a", None)
    runs = Runs({})
    monkeypatch.setattr(monitor, "get_client", lambda **_: runs)
    assert monitor.free_abandoned.fn(settings) == []
    assert runs.asked == 0


def test_a_person_is_told_what_is_asked_and_where_the_evidence_is() -> None:
    told = {
        "key": "r-1:site-1:act:1",
        "stratum": "site-1",
        "reason": "Two things at once.",
        "report_url": "http://host/drift/x/",
    }
    text = monitor.question_of([told])
    assert "[evidence](http://host/drift/x/episode-r-1-site-1-act-1.html)" in text
    assert "mammo retrain --episode r-1:site-1:act:1" in text
    assert "mammo close r-1:site-1:act:1" in text
