"""`mammo retrain --wait`: what retrain.yml waits for on a stack, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State, StateType
from typer.testing import CliRunner

from flows import follow
from flows.cli import app

RUN = UUID(int=7)


class Prefect:
    """A server with one run, which goes through its states, one for each time it is asked."""

    def __init__(self, states: list[StateType]) -> None:
        self.states = states

    def read_deployment_by_name(self, name: str) -> Any:
        return SimpleNamespace(id=name)

    def create_flow_run_from_deployment(self, deployment: str, parameters: Any) -> Any:
        return SimpleNamespace(id=RUN, name="kind-fox")

    def read_flow_run(self, run: UUID) -> Any:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return SimpleNamespace(state=State(type=state, message="told"))

    def read_logs(self, *_: Any, **__: Any) -> list[Any]:
        return []


def retrain(monkeypatch: pytest.MonkeyPatch, states: list[StateType], hours: float) -> Any:
    @contextmanager
    def client(_settings: Any) -> Iterator[Prefect]:
        yield Prefect(states)

    monkeypatch.setattr(follow, "_client", client)
    monkeypatch.setattr(follow, "require_up", lambda _settings: None)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    return CliRunner().invoke(app, ["retrain", "--wait", "--hours", str(hours), "--json"])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))


@pytest.mark.parametrize("end", [StateType.FAILED, StateType.CRASHED, StateType.CANCELLED])
def test_a_run_that_fails_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, end: StateType
) -> None:
    done = retrain(monkeypatch, [StateType.RUNNING, StateType.RUNNING, end], hours=1)
    assert (done.exit_code, json.loads(done.stderr)["code"]) == (1, "FLOW_RUN_FAILED")
    assert "kind-fox" in done.stderr


def test_a_run_that_outlasts_the_hours_is_told_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = retrain(monkeypatch, [StateType.RUNNING], hours=0.2 / 3600)
    told = json.loads(done.stderr)
    assert (done.exit_code, told["code"]) == (1, "FLOW_RUN_FAILED")
    assert f"it goes on at http://127.0.0.1:4200/runs/flow-run/{RUN}" in told["detail"]
