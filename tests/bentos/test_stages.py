"""Shadow, canary, promotion and their end, driven by deployments and killed in between."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bentos.screening import deployment, pointing
from bentos.screening.change_record import Why
from bentos.screening.deployment import DeployReport, rollback, stop_challenger
from bentos.screening.workers import WorkerState
from mammo.errors import DeployFailed, ParityError
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.bentos.conftest import Hammer
from tests.bentos.deploying import (
    accept,
    deploy,
    load_embedded,
    own_settings,
    pack,
    run_service,
    serving,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = own_settings(tmp_path)
    for release in ("r-0", "r-1", "r-2", "r-3", "r-4-bad"):
        pack(settings, release)
    return settings


@pytest.fixture
def running(settings: Settings) -> Iterator[Settings]:
    with run_service(settings) as settings:
        yield settings


def challenger(settings: Settings) -> tuple[str, str, int] | None:
    found = (read_pointer(settings.pointer_path) or {}).get("challenger")
    return found and (found["release_id"], found["stage"], found["percent"])


def test_from_shadow_to_champion_and_back(running: Settings) -> None:
    deploy(running, "r-1")
    shadow = deploy(running, "r-2", stage="shadow")
    assert (shadow.release, shadow.stage, shadow.changed) == ("r-2", "shadow", True)
    assert (serving(running), challenger(running)) == ("r-1", ("r-2", "shadow", 0))
    canary = deploy(running, "r-2", stage="canary", percent=10)
    assert (canary.stage, canary.percent, canary.confirmed) == ("canary", 10, True)
    assert deploy(running, "r-2", stage="canary", percent=50).changed
    assert not deploy(running, "r-2", stage="canary", percent=50).changed
    champion = deploy(running, "r-2")
    assert (champion.previous, champion.stage, serving(running)) == ("r-1", "champion", "r-2")
    assert challenger(running) is None
    assert rollback(running, check=load_embedded).release == "r-1"
    records = [one["record"] for one in PredictionLog(running.log_url).changes()]
    assert [(one["release"], one["stage"], one["percent"]) for one in records] == [
        ("r-1", "champion", 0),
        ("r-2", "shadow", 0),
        ("r-2", "canary", 10),
        ("r-2", "canary", 50),
        ("r-2", "champion", 0),
        ("r-1", "champion", 0),
    ]
    assert [one["champion"] for one in records] == ["r-1"] * 4 + ["r-2", "r-1"]


def test_challenger_is_stopped_and_stopping_again_changes_nothing(running: Settings) -> None:
    deploy(running, "r-1")
    deploy(running, "r-2", stage="canary", percent=50)
    stopped = stop_challenger(running)
    assert (stopped.release, stopped.stage, stopped.changed) == ("r-2", "stopped", True)
    assert (serving(running), challenger(running)) == ("r-1", None)
    again = stop_challenger(running)
    assert (again.changed, again.record) == (False, stopped.record)
    assert len(PredictionLog(running.log_url).changes()) == 3


def test_another_champion_leaves_the_challenger_and_rolling_back_ends_it(
    running: Settings,
) -> None:
    deploy(running, "r-1")
    deploy(running, "r-2", stage="canary", percent=50)
    deploy(running, "r-3")
    assert (serving(running), challenger(running)) == ("r-3", ("r-2", "canary", 50))
    rollback(running, check=load_embedded)
    assert (serving(running), challenger(running)) == ("r-1", None)


@pytest.mark.parametrize("stage", [("shadow", 0), ("canary", 30)])
def test_challenger_that_the_service_refuses_is_taken_back(
    running: Settings, stage: tuple[str, int]
) -> None:
    deploy(running, "r-1")
    deploy(running, "r-2", stage="shadow")
    before = read_pointer(running.pointer_path)
    with pytest.raises(DeployFailed, match=r"PARITY: The golden .* r-1 is in service"):
        deploy(running, "r-4-bad", stage=stage[0], percent=stage[1], check=accept)
    assert read_pointer(running.pointer_path) == before
    assert serving(running) == "r-1"


def test_failed_smoke_test_of_a_challenger_moves_nothing(running: Settings) -> None:
    deploy(running, "r-1")
    before = read_pointer(running.pointer_path)
    with pytest.raises(ParityError):
        deploy(running, "r-4-bad", stage="shadow")
    assert read_pointer(running.pointer_path) == before


@pytest.mark.parametrize(
    ("release", "options", "words"),
    [
        ("r-2", {"stage": "canary", "percent": 0}, "1 to 100 percent of the exams; asked was 0"),
        ("r-2", {"stage": "canary", "percent": 101}, "asked was 101"),
        ("r-2", {"stage": "shadow", "percent": 5}, "Only a canary has a share"),
        ("r-2", {"percent": 5}, "the stage is champion"),
        ("r-2", {"stage": "boss"}, "no stage 'boss'; a release is champion, shadow, canary"),
        ("r-1", {"stage": "shadow"}, "cannot challenge itself"),
    ],
)
def test_what_no_challenger_can_be(
    settings: Settings, release: str, options: dict[str, Any], words: str
) -> None:
    deploy(settings, "r-1", wait=False)
    before = read_pointer(settings.pointer_path)
    with pytest.raises(DeployFailed, match=words):
        deploy(settings, release, wait=False, **options)
    assert read_pointer(settings.pointer_path) == before


@pytest.mark.parametrize(
    "ask",
    [lambda home: deploy(home, "r-2", stage="shadow", wait=False), stop_challenger],
    ids=["shadow", "stop"],
)
def test_challenger_without_a_champion(settings: Settings, ask: Callable[..., Any]) -> None:
    with pytest.raises(DeployFailed, match=r"there is none|No release is in"):
        ask(settings)
    assert read_pointer(settings.pointer_path) is None


STEPS: dict[str, Callable[[Settings], DeployReport]] = {
    "shadow": lambda home: deploy(home, "r-3", stage="shadow", wait=False),
    "canary": lambda home: deploy(home, "r-3", stage="canary", percent=25, wait=False),
    "promotion": lambda home: deploy(home, "r-2", wait=False),
    "stop": lambda home: stop_challenger(home, wait=False),
    "rollback": lambda home: rollback(home, wait=False, check=load_embedded),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("place", "after"),
    [("write_pointer", False), ("write_pointer", True), ("write_change", True)],
    ids=["before the pointer", "before the record", "after the record"],
)
def test_killed_anywhere_and_run_again_ends_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str, place: str, after: bool
) -> None:
    for release in ("r-0", "r-1"):
        deploy(settings, release, wait=False)
    deploy(settings, "r-2", stage="canary", percent=10, wait=False)
    real = getattr(deployment, place)

    def kill(*given: Any) -> None:
        if after:
            real(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(deployment, place, kill)
        STEPS[step](settings)
    if (step, place) != ("rollback", "write_change"):  # that one is done, and again swaps back
        STEPS[step](settings)
    pointer = read_pointer(settings.pointer_path)
    assert pointer is not None
    champion = {"promotion": "r-2", "rollback": "r-0"}.get(step, "r-1")
    beside = {"shadow": ("r-3", "shadow", 0), "canary": ("r-3", "canary", 25)}.get(step)
    assert (pointer["release_id"], challenger(settings)) == (champion, beside)
    records = [one["record"] for one in PredictionLog(settings.log_url).changes()]
    assert len(records) == 4, "one for each move, none twice"
    assert records[-1]["at"] == pointer["moved"]["at"]


def test_every_worker_must_follow(running: Settings) -> None:
    """A second worker, that is this test's parent, lags behind and then follows."""
    deploy(running, "r-1")
    folder, parent = running.home / "workers", psutil.Process(os.getppid())
    (own,) = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    lagging = WorkerState(**own | {"pid": parent.pid, "started": parent.create_time()})
    (folder / f"{parent.pid}.json").write_text(json.dumps(asdict(lagging)))
    with pytest.raises(DeployFailed, match="after 1 s 1 of 2 workers of the service have champion"):
        deploy(running, "r-2", timeout=1)
    assert read_pointer(running.pointer_path) is not None
    wait_until(lambda: serving(running) == "r-1")
    refusal = {"release": "r-2", "code": "DIGEST_MISMATCH", "message": "model.onnx differs."}
    refusing = asdict(lagging) | {"refused": refusal | {"at": "2999-01-01T00:00:00+00:00"}}
    (folder / f"{parent.pid}.json").write_text(json.dumps(refusing))
    with pytest.raises(DeployFailed, match=r"DIGEST_MISMATCH: model.onnx differs"):
        deploy(running, "r-2")
    (folder / f"{parent.pid}.json").write_text(
        json.dumps(asdict(lagging) | {"release": "r-3", "bento_tag": "screening:r-3-c0de"})
    )
    assert deploy(running, "r-3").confirmed


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_request_fails_through_every_stage(running: Settings) -> None:
    deploy(running, "r-1")
    files = [("files", ("a", b"E-1|L CC"))]
    with (
        httpx.Client(base_url=running.service_url) as client,
        Hammer(lambda: client.post("/v1/exams", files=files), threads=2) as hammer,
    ):
        deploy(running, "r-2", stage="shadow")
        deploy(running, "r-2", stage="canary", percent=100)
        deploy(running, "r-2")
        rollback(running, check=load_embedded)
    assert set(hammer.statuses) == {200}


def test_pointer_of_before_is_understood() -> None:
    old = {"release_id": "r-1", "bento_tag": "t-1", "release_dir": "d", "changed_at": "x"}
    target = {"release_id": "r-2", "bento_tag": "t-2", "release_dir": "d"}
    moved = pointing.with_champion(old | {"previous": None}, target, Why("drift", "A:1", "me"))
    assert (moved["previous"]["release_id"], moved["challenger"]) == ("r-1", None)
    assert (moved["moved"]["stage"], moved["moved"]["episode_key"]) == ("champion", "A:1")
    assert pointing.rolled_back(moved, Why(), finished=True)["release_id"] == "r-1"
