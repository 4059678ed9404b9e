from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bentos.screening.deployment import Why, rollback
from bentos.screening.workers import WorkerFile
from mammo.errors import (
    DeployFailed,
    MammoError,
    NoPreviousRelease,
    ParityError,
    PointerDamaged,
    ReleaseNotFound,
    StackNotRunning,
)
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
    return own_settings(tmp_path)


@pytest.fixture
def running(settings: Settings) -> Iterator[Settings]:
    with run_service(settings) as settings:
        yield settings


def test_deploy_and_roll_back(running: Settings) -> None:
    pack(running, "r-1")
    tag = pack(running, "r-2")
    first = deploy(running, "r-1")
    assert (first.release, first.previous, first.changed) == ("r-1", None, True)
    second = deploy(running, tag, why=Why("drift", "A:1", "automation"))
    assert (second.release, second.previous, second.bento_tag) == ("r-2", "r-1", tag)
    assert serving(running) == "r-2"
    back = rollback(running, check=load_embedded)
    assert (back.release, back.previous, serving(running)) == ("r-1", "r-2", "r-1")
    assert rollback(running, check=load_embedded).release == "r-2"
    records = [one["record"] for one in PredictionLog(running.log_url).changes()]
    assert [(one["release"], one["previous"], one["reason"]) for one in records] == [
        ("r-1", None, "manual"),
        ("r-2", "r-1", "drift"),
        ("r-1", "r-2", "rollback"),
        ("r-2", "r-1", "rollback"),
    ]
    assert (records[1]["episode_key"], records[1]["by"]) == ("A:1", "automation")
    kept = json.loads((running.releases_dir / "r-2" / "change_record.json").read_text())
    assert kept == records[-1]


def test_newest_bento_is_taken_when_none_is_named(running: Settings) -> None:
    pack(running, "r-1")
    pack(running, "r-2")
    assert deploy(running, None).release == "r-2"


def test_deploying_again_changes_nothing(running: Settings) -> None:
    pack(running, "r-1")
    first, again = deploy(running, "r-1"), deploy(running, "r-1")
    assert (first.changed, again.changed) == (True, False)
    assert again.record == first.record
    assert len(PredictionLog(running.log_url).changes()) == 1


def test_killed_before_the_record_and_run_again(
    running: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(running, "r-1")
    pack(running, "r-2")
    deploy(running, "r-1")

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("bentos.screening.deployment.write_change", kill)
        deploy(running, "r-2")
    again = deploy(running, "r-2")
    assert (again.changed, again.previous) == (False, "r-1")
    assert [one["release_id"] for one in PredictionLog(running.log_url).changes()] == ["r-1", "r-2"]


@pytest.mark.parametrize("before", [None, "r-1"])
def test_release_that_the_service_refuses_is_taken_back(
    running: Settings, before: str | None
) -> None:
    if before:
        pack(running, before)
        deploy(running, before)
    pointer = read_pointer(running.pointer_path)
    pack(running, "r-2-bad")
    for _ in range(2):
        with pytest.raises(DeployFailed) as caught:
            deploy(running, "r-2-bad", check=accept)
        assert "PARITY: The golden image scores" in str(caught.value)
        assert f"{before or 'No release'} is in service." in str(caught.value)
        assert read_pointer(running.pointer_path) == pointer
    assert len(PredictionLog(running.log_url).changes()) == (1 if before else 0)
    if before:
        assert serving(running) == before


def test_failed_smoke_test_moves_nothing(running: Settings) -> None:
    pack(running, "r-1-bad")
    with pytest.raises(ParityError):
        deploy(running, "r-1-bad")
    assert read_pointer(running.pointer_path) is None


@pytest.mark.parametrize("move", [lambda settings: deploy(settings, "r-2"), rollback])
def test_nothing_is_moved_over_a_damaged_pointer(
    running: Settings, move: Callable[[Settings], object]
) -> None:
    for name in ("r-1", "r-2"):
        pack(running, name)
    deploy(running, "r-1")
    running.pointer_path.write_text('{"release_id": "r-1", "bento')
    with pytest.raises(PointerDamaged, match="copy it from the last backup"):
        move(running)
    assert running.pointer_path.read_text() == '{"release_id": "r-1", "bento'
    assert serving(running) == "r-1"


def test_service_that_is_too_slow(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(settings, "r-1")
    monkeypatch.setattr("bentos.screening.deployment.require_running", lambda _: None)
    told = r"after 1 s no worker of the service says what it serves\. No release is in"
    with pytest.raises(DeployFailed, match=told):
        deploy(settings, "r-1", timeout=1)
    assert read_pointer(settings.pointer_path) is None


def test_slow_service_does_not_move_a_pointer_that_stood(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("r-1", "r-2"):
        pack(settings, release)
        deploy(settings, release, wait=False)
    pointer = read_pointer(settings.pointer_path)
    monkeypatch.setattr("bentos.screening.deployment.require_running", lambda _: None)
    with pytest.raises(DeployFailed, match=r"r-2 was not confirmed: after 1 s .* as before\."):
        deploy(settings, "r-2", timeout=1)
    assert read_pointer(settings.pointer_path) == pointer


def test_refusing_service_moves_a_pointer_that_stood(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("r-1", "r-2"):
        pack(settings, release)
        deploy(settings, release, wait=False)
    refused = {"release": "r-2", "code": "PARITY", "message": "no.", "at": "2999-01-01T00:00+00:00"}
    monkeypatch.setattr("bentos.screening.deployment.require_running", lambda _: None)
    WorkerFile(settings.home / "workers").tell(release="r-1", refused=refused)
    with pytest.raises(DeployFailed, match=r"PARITY: no\. r-1 is in service"):
        deploy(settings, "r-2", timeout=1)
    pointer = read_pointer(settings.pointer_path)
    assert pointer is not None and pointer["release_id"] == "r-1"


@pytest.mark.parametrize(
    ("wanted", "error", "text"),
    [
        ("r-1", StackNotRunning, "`mammo up` starts it"),
        ("r-9", ReleaseNotFound, r"No Bento of r-9 is in the store \(packaged: r-1\)"),
    ],
)
def test_refusals(settings: Settings, wanted: str, error: type[MammoError], text: str) -> None:
    pack(settings, "r-1")
    with pytest.raises(error, match=text):
        deploy(settings, wanted)
    assert read_pointer(settings.pointer_path) is None


def test_nothing_to_roll_back_to(settings: Settings) -> None:
    with pytest.raises(NoPreviousRelease, match="nothing to roll back to"):
        rollback(settings)


def test_without_a_service_the_pointer_waits_for_it(settings: Settings) -> None:
    pack(settings, "r-1")
    report = deploy(settings, "r-1", wait=False)
    assert (report.changed, report.confirmed) == (True, False)
    pointer = read_pointer(settings.pointer_path)
    assert pointer is not None and pointer["release_id"] == "r-1"


def test_no_request_fails_while_deploying(running: Settings) -> None:
    for number in range(3):
        pack(running, f"r-{number}")
    deploy(running, "r-0")
    files = [("files", ("a", b"E-1|L CC"))]
    with (
        httpx.Client(base_url=running.service_url) as client,
        Hammer(lambda: client.post("/v1/exams", files=files), threads=2) as hammer,
    ):
        for number in (1, 2):
            deploy(running, f"r-{number}")
    assert set(hammer.statuses) == {200}
    assert {"r-0", "r-2"} <= set(hammer.releases)
