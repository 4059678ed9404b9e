from __future__ import annotations

import inspect
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from flows.automations import (
    LOST_AFTER,
    WINDOW,
    episode_event,
    lost_episodes,
    retrain_automation,
)
from flows.retries import unforeseen
from flows.stack_deployments import read_deployments, read_signature
from flows.stack_services import ROOT, list_services
from mammo.errors import SourceNotFound
from mammo.settings import Settings

PARAMETERS = {
    "ingest": ["source", "directory", "config", "dask"],
    "ingest_dicomweb": ["since", "overlap_days", "config"],
    "validate": ["suites"],
    "explore": [],
    "train": ["target", "config", "overrides", "seed", "data_version"],
    "package": ["release_id"],
    "deploy": [
        "release_id", "rollback", "reason", "episode_key", "stage", "percent", "stop_challenger",
    ],
    "monitor": [],
    "reconcile": [],
    "retrain": ["episode_key", "reason", "minimum_labelled", "strategy", "work"],
    "refine": [],
}  # fmt: skip
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
DEPLOYMENTS = {entry["name"]: entry for entry in read_deployments(ROOT / "prefect.yaml")}


def test_every_flow_is_deployed() -> None:
    assert list(DEPLOYMENTS) == list(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_signatures_are_read_without_importing(name: str) -> None:
    signature = inspect.signature(read_signature(DEPLOYMENTS[name]["entrypoint"], ROOT))
    assert list(signature.parameters) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_prefect_reads_the_same_flow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    monkeypatch.chdir(ROOT)
    entrypoint = DEPLOYMENTS[name]["entrypoint"]
    flow: Any = load_flow_from_entrypoint(entrypoint)
    parsed = read_signature(entrypoint, ROOT)
    assert flow.name == parsed.__name__ == name
    assert parameter_schema(flow) == parameter_schema(parsed)


def test_prefect_accepts_the_file_and_drops_nothing() -> None:
    from prefect.cli.deploy._models import PrefectYamlModel

    raw = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    model = PrefectYamlModel.model_validate(raw)
    for read, given in zip(model.deployments, raw["deployments"], strict=True):
        assert set(given) <= set(type(read).model_fields)
        limit = read.concurrency_limit
        assert limit is None or limit.collision_strategy == "ENQUEUE"  # type: ignore[union-attr]
    assert DEPLOYMENTS["retrain"]["concurrency_limit"]["limit"] == 1


def test_the_automation_runs_retrain_with_the_episode() -> None:
    deployment = uuid4()
    written = retrain_automation(deployment).model_dump(mode="json")
    trigger, (action,) = written["trigger"], written["actions"]
    assert trigger["expect"] == ["mammo.drift.confirmed"]
    assert trigger["for_each"] == ["prefect.resource.id"]
    assert (trigger["posture"], trigger["threshold"], trigger["within"]) == ("Reactive", 1, 60.0)
    assert set(trigger["match"]["mammo.action"]) == {"retrain", "recalibrate_and_retrain"}
    assert action["deployment_id"] == str(deployment)
    key = action["parameters"]["episode_key"]
    assert key == {"__prefect_kind": "jinja", "template": "{{ event.payload.key }}"}


def episode(**changes: Any) -> dict[str, Any]:
    usual = {
        "key": "r-1:draco:act:1",
        "stratum": "Phantom/Draco",
        "cause": "acquisition",
        "action": "recalibrate_and_retrain",
        "status": "open",
        "flow_run_id": None,
        "opened_at": AT - timedelta(hours=1),
        "evidence": {"exam_id": "E-1"},
    }
    return usual | changes


def test_the_event_is_about_the_episode_and_tells_no_exam() -> None:
    event = episode_event(episode())
    assert event["resource"]["prefect.resource.id"] == "mammo.episode.r-1:draco:act:1"
    assert event["payload"]["key"] == "r-1:draco:act:1"
    assert "E-1" not in str(event)


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({}, True),
        ({"action": "retrain"}, True),
        ({"opened_at": (AT - timedelta(hours=1)).isoformat()}, True),
        ({"opened_at": (AT - timedelta(hours=1)).replace(tzinfo=None)}, True),
        ({"opened_at": AT - timedelta(minutes=1)}, False),
        ({"status": "acting"}, False),
        ({"status": "closed"}, False),
        ({"flow_run_id": "abc"}, False),
        ({"action": "note"}, False),
        ({"action": "quarantine"}, False),
    ],
)
def test_which_episodes_are_started_without_their_event(
    changes: dict[str, Any], lost: bool
) -> None:
    assert bool(lost_episodes([episode(**changes)], AT)) is lost


def test_an_event_on_its_way_is_waited_for() -> None:
    assert LOST_AFTER > WINDOW


@pytest.mark.parametrize(
    ("error", "again"), [(SourceNotFound("x"), False), (OSError("busy"), True), (None, False)]
)
def test_refusals_are_not_tried_again(error: Exception | None, again: bool) -> None:
    class State:
        def result(self) -> None:
            if error is not None:
                raise error

    assert unforeseen(None, None, State()) is again


def test_compose_has_the_services_of_the_stack() -> None:
    compose = yaml.safe_load(Path(ROOT / "docker-compose.yml").read_text())["services"]
    services = list_services(Settings(host="0.0.0.0", home=Path("/var/lib/mammo")))
    assert {service.name for service in services} <= set(compose)
    for service in services:
        python, *ours = [part.replace(str(ROOT), "/app") for part in service.command]
        if service.name == "prefect":  # in a container its database comes from a secret's file
            ours = ["-m", "flows.stack_prefect"]
        assert shlex.split(compose[service.name]["command"]) == ["python", *ours]
        assert "python" in python
        assert set(service.after) <= set(compose[service.name]["depends_on"])
