"""A move that was killed before its record is ended by the next one, or by the reconciler."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from bentos.screening import deployment
from bentos.screening.deployment import rollback, stop_challenger
from bentos.screening.finishing import finish_move
from bentos.screening.workers import WorkerFile
from mammo.changes.verify import verify_changes
from mammo.errors import DeployFailed
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.bentos.deploying import deploy, load_embedded, own_settings, pack


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose second deployment was killed when it had moved the pointer."""
    settings = own_settings(tmp_path)
    for release in ("r-1", "r-2", "r-3"):
        pack(settings, release)
    deploy(settings, "r-1", wait=False)

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(deployment, "write_change", kill)
        deploy(settings, "r-2", wait=False)
    return settings


def recorded(settings: Settings) -> list[tuple[str, str]]:
    changes = PredictionLog(settings.log_url).changes()
    return [(one["record"]["release"], one["record"]["stage"]) for one in changes]


def test_it_is_finished_once_and_nothing_is_moved(settings: Settings) -> None:
    pointer = read_pointer(settings.pointer_path)
    report = finish_move(settings, wait=False, check=load_embedded)
    assert report is not None and (report.release, report.changed) == ("r-2", False)
    assert finish_move(settings, wait=False, check=load_embedded) is None
    assert read_pointer(settings.pointer_path) == pointer
    assert recorded(settings) == [("r-1", "champion"), ("r-2", "champion")]


@pytest.mark.parametrize(
    ("move", "last"),
    [
        (lambda one: deploy(one, "r-3", wait=False), ("r-3", "champion")),
        (lambda one: deploy(one, "r-3", stage="shadow", wait=False), ("r-3", "shadow")),
        (lambda one: rollback(one, wait=False, check=load_embedded), ("r-1", "champion")),
    ],
)
def test_the_next_move_leaves_no_gap_in_the_records(
    settings: Settings, move: Callable[[Settings], object], last: tuple[str, str]
) -> None:
    move(settings)
    assert recorded(settings) == [("r-1", "champion"), ("r-2", "champion"), last]


def test_a_trial_that_was_killed_is_finished_as_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_move(settings, wait=False, check=load_embedded)
    deploy(settings, "r-3", stage="canary", percent=10, wait=False)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(deployment, "write_change", lambda *_: 1 / 0)
        stop_challenger(settings, wait=False)
    report = finish_move(settings, wait=False, check=load_embedded)
    assert report is not None and report.stage == "stopped"
    assert recorded(settings)[2:] == [("r-3", "canary"), ("r-3", "stopped")]


def canary(settings: Settings, **options: object) -> object:
    return deploy(settings, "r-3", stage="canary", percent=10, **options)


def finish(settings: Settings, **options: object) -> object:
    return finish_move(settings, check=load_embedded, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("killed", "again"),
    [(True, canary), (True, finish), (False, canary)],
    ids=["killed and run again", "killed and finished", "recorded and run again"],
)
def test_a_trial_that_is_refused_later_is_recorded_as_ended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, killed: bool, again: Callable[..., object]
) -> None:
    finish(settings, wait=False)
    dies = pytest.raises(ZeroDivisionError) if killed else nullcontext()
    with monkeypatch.context() as patch, dies:
        if killed:
            patch.setattr(deployment, "write_change", lambda *_: 1 / 0)
        canary(settings, wait=False)
    refused = {"release": "r-3", "code": "PARITY", "message": "no.", "at": "2999-01-01T00:00+00:00"}
    monkeypatch.setattr(deployment, "require_running", lambda _: None)
    WorkerFile(settings.home / "workers").tell(release="r-2", challenger_refused=refused)
    with pytest.raises(DeployFailed, match=r"r-3 did not come into service: PARITY: no\."):
        again(settings, timeout=1)
    report = finish_move(settings, timeout=1, check=load_embedded)
    assert report is not None and (report.release, report.stage) == ("r-3", "stopped")
    assert recorded(settings)[2:] == [*([] if killed else [("r-3", "canary")]), ("r-3", "stopped")]
    assert (report.record["reason"], report.record["champion"]) == ("refused", "r-2")
    assert verify_changes(settings).wrong == ()


def test_a_champion_that_is_refused_later_is_recorded_as_rolled_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(settings, wait=False)
    refused = {"release": "r-2", "code": "PARITY", "message": "no.", "at": "2999-01-01T00:00+00:00"}
    monkeypatch.setattr(deployment, "require_running", lambda _: None)
    WorkerFile(settings.home / "workers").tell(release="r-1", refused=refused)
    with pytest.raises(
        DeployFailed, match=r"r-2 did not come into service: PARITY: no\. r-1 is in"
    ):
        deploy(settings, "r-2", timeout=1)
    pointer = read_pointer(settings.pointer_path)
    assert pointer is not None and pointer["release_id"] == "r-1"
    assert recorded(settings) == [("r-1", "champion"), ("r-2", "champion"), ("r-1", "champion")]
    last = PredictionLog(settings.log_url).changes()[-1]["record"]
    assert (last["rollback"], last["reason"], last["previous"]) == (True, "refused", "r-2")
    assert finish_move(settings, timeout=1, check=load_embedded) is None
    assert verify_changes(settings).wrong == ()


def test_nothing_to_finish(tmp_path: Path) -> None:
    assert finish_move(own_settings(tmp_path)) is None
