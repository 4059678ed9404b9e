from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from flows import demo, demo_checks, follow
from flows.demo_checks import MARKER, always, clear_own, require_own
from flows.demo_report import Recorder
from flows.demo_rollout import wait_until_served
from flows.demo_stream import Stream
from flows.ingest import without_names
from flows.stack_services import service_environment
from mammo.errors import FlowRunFailed, SettingsInvalid, StackUnhealthy
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings, read_settings
from mammo.tokens import TokenStore


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", _env_file=None)


# the demo's own directory


@pytest.mark.parametrize("name", ["home", "material"])
def test_foreign_folder_is_never_deleted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious").touch()
    with pytest.raises(SettingsInvalid, match=f"holds {name} without the mark of a demo"):
        demo.run_demo(tmp_path)
    assert (tmp_path / name / "precious").exists()
    assert not (tmp_path / MARKER).exists()


def test_own_folders_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    clear_own(directory)
    for name in ("home", "material", "other"):
        (directory / name).mkdir()
    require_own(directory)
    clear_own(directory)
    assert sorted(path.name for path in directory.iterdir()) == [MARKER, "other"]


def test_own_settings_overrule_variables_and_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("MAMMO_DATABASE_URL=postgresql://real/log\nMAMMO_SITE=north\n")
    monkeypatch.setenv("MAMMO_DATABASE_URL", "postgresql://real/log")
    monkeypatch.setenv("MAMMO_SITE", "north")
    settings = demo_checks.own_settings(tmp_path)
    assert (settings.database_url, settings.site) == (None, "site-1")
    for name, value in service_environment(settings, "worker", "token").items():
        if name.startswith("MAMMO_"):
            monkeypatch.setenv(name, value)
    child = read_settings()
    assert child.log_url == f"sqlite:///{tmp_path / 'home' / 'log.db'}"
    assert child.site == "site-1"
    assert os.environ["MAMMO_DATABASE_URL"] == ""


@pytest.mark.parametrize(
    ("change", "asked"), [({}, False), ({"auth": "on"}, True), ({"host": "0.0.0.0"}, True)]
)
def test_the_stream_shows_a_token_where_its_service_asks_for_one(
    settings: Settings, change: dict[str, str], asked: bool
) -> None:
    settings = settings.model_copy(update=change)
    shown = Stream(settings).client.headers.get("authorization", "").removeprefix("Bearer ")
    found = TokenStore(settings.tokens_path).find(shown)
    assert (found is not None and found.name == "demo") is asked
    assert settings.tokens_path.exists() is asked


# errors


def test_always_runs_last_and_keeps_the_first_error() -> None:
    done = []

    def fail() -> None:
        done.append("told")
        raise OSError("disk full")

    with (
        pytest.raises(ValueError, match="first") as caught,
        always(lambda: done.append("down")),
        always(fail),
    ):
        raise ValueError("first")
    assert done == ["told", "down"]
    assert caught.value.__notes__ == ["and then: OSError: disk full"]
    with (
        pytest.raises(OSError, match="disk full"),
        always(lambda: done.append("down")),
        always(fail),
    ):
        pass
    assert done[2:] == ["told", "down"]


@pytest.mark.parametrize("stages_fail", [True, False])
def test_stack_goes_down_when_the_summary_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages_fail: bool
) -> None:
    monkeypatch.setenv("MAMMO_DATABASE_URL", "")
    monkeypatch.setenv("MAMMO_SITE", "")
    ended = []

    def stages(*_: object) -> None:
        if stages_fail:
            raise StackUnhealthy("no health")

    def finish(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(demo.stack, "down", lambda _: ended.append("down"))
    monkeypatch.setattr(demo, "_run_stages", stages)
    monkeypatch.setattr(demo, "finish", finish)
    with pytest.raises(StackUnhealthy if stages_fail else OSError):
        demo.run_demo(tmp_path / "demo", as_json=True, keep_up=False)
    assert ended == ["down", "down"]


# waiting


class Log:
    """A prediction log of episodes only."""

    def __init__(self, *episodes: dict[str, Any]) -> None:
        self.known = list(episodes)

    def episodes(self) -> list[dict[str, Any]]:
        return self.known

    def episode(self, key: str) -> dict[str, Any]:
        return next(one for one in self.known if one["key"] == key)


def opened(key: str, action: str = "retrain", scanner: str = "Phantom Draco/Wyvern X") -> Any:
    return {"key": key, "action": action, "evidence": {"scanner": scanner}, "flow_run_id": "1",
            "status": "acting"}  # fmt: skip


def test_only_an_acting_episode_of_the_new_scanner_counts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = Log(
        opened("a", "note"), opened("b", "quarantine"), opened("c", scanner="X/Y"), opened("d")
    )
    monkeypatch.setattr(demo, "PredictionLog", lambda _: log)
    monkeypatch.setattr(demo, "run_deployment", lambda *_: {})
    assert demo._wait_for_episode(settings, Recorder(tmp_path, quiet=True))["key"] == "d"


def test_failed_run_ends_the_wait_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "PredictionLog", lambda _: Log(opened("d")))
    monkeypatch.setattr(demo, "run_has_failed", lambda *_: "x ended Crashed: oom (http://u/1)")
    write_pointer(settings.pointer_path, {"release_id": "r-2"})
    recorder = Recorder(tmp_path, quiet=True)
    with pytest.raises(FlowRunFailed, match=r"Episode d was not closed: .*\(http://u/1\)"):
        demo._wait_until_closed(settings, "d", {"release_id": "r-1"}, recorder)
    assert [event["label"] for event in recorder.events] == ["r-2"]


@pytest.mark.parametrize(
    ("state", "failed"),
    [("FAILED", True), ("CRASHED", True), ("CANCELLED", True), ("RUNNING", False),
     ("COMPLETED", False), (None, False)],
)  # fmt: skip
def test_run_has_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, state: str | None, failed: bool
) -> None:
    from prefect.client.schemas.objects import State, StateType

    run = SimpleNamespace(name="x", state=state and State(type=StateType[state], message="why"))

    class Client:
        def __enter__(self) -> Any:
            return SimpleNamespace(read_flow_run=lambda _: run)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(follow, "_client", lambda _: Client())
    run_id = str(uuid4())
    told = follow.run_has_failed(settings, run_id)
    assert bool(told) == failed
    if told:
        assert told.endswith(f"why ({settings.prefect_ui_url}/runs/flow-run/{run_id})")


# file names


def test_flow_report_holds_no_file_name() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    record = {"file": "DOE^JANE.dcm", "code": "NOT_DICOM", "sha256": digest, "source": "dicom",
              "message": "DOE^JANE.dcm is not DICOM"}  # fmt: skip
    report = without_names({"found": 1, "missing": ["DOE^JANE/2.dcm"], "quarantined": [record]})
    assert "DOE" not in str(report)
    assert report["missing"] == 1
    assert report["quarantined"] == [
        {"sha256": digest, "code": "NOT_DICOM", "message": "the file is not DICOM"}
    ]


def pointer_with(settings: Settings, release: str, challenger: str | None) -> None:
    place = {"release_id": release, "bento_tag": release, "release_dir": release}
    trial = place | {"release_id": challenger, "stage": "shadow", "percent": 0}
    write_pointer(settings.pointer_path, place | {"challenger": trial if challenger else None})


@pytest.mark.parametrize(
    ("served", "challenger", "recorded", "ends"),
    [
        ("r-2", None, "champion", "served"),
        ("r-1", None, "stopped", "stopped"),
        ("r-1", "r-2", "shadow", "waits"),
        ("r-1", None, "shadow", "waits"),  # between two moves of the guard
    ],
)
def test_the_demo_follows_the_guard(
    settings: Settings, served: str, challenger: str | None, recorded: str, ends: str
) -> None:
    settings.home.mkdir(parents=True)
    PredictionLog(settings.log_url).create().add_change("r-2", {"stage": recorded})
    pointer_with(settings, served, challenger)
    recorder = Recorder(settings.home, quiet=True)
    if ends == "waits":
        with pytest.raises(StackUnhealthy, match="r-2 was not led into service"):
            wait_until_served(settings, recorder, "r-2", 0.2)
    else:
        wait_until_served(settings, recorder, "r-2", 0.2)
    assert recorder.stopped == ("r-2" if ends == "stopped" else None)
