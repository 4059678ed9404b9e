from __future__ import annotations

import time
from pathlib import Path

from fastapi.testclient import TestClient

from bentos.screening.app import create_app
from bentos.screening.rollout import Rollout
from mammo.release import write_json
from mammo.settings import Settings
from tests.bentos.conftest import (
    FakeScreener,
    Hammer,
    load_fake,
    make_release,
    open_client,
    point_to,
)


def load_slowly(directory: Path) -> FakeScreener:
    time.sleep(0.2)
    return FakeScreener(directory, seconds=0.02)


def test_no_request_fails_during_five_swaps(settings: Settings) -> None:
    point_to(settings, "r-0")
    app = create_app(settings, load=load_slowly)
    with open_client(app) as client:

        def send() -> object:
            return client.post("/v1/exams", files=[("files", ("a", b"E-1|L CC"))])

        with Hammer(send) as hammer:
            for number in range(1, 6):
                point_to(settings, f"r-{number}")
                wait_for(client, f"r-{number}")
        assert set(hammer.statuses) == {200}
        assert set(hammer.releases) == {f"r-{number}" for number in range(6)}
        logged = app.state.service.log.exams()
        assert len(logged) == len(hammer.statuses), "every answer is in the log, once"
        assert set(logged["release_id"]) == set(hammer.releases)


def wait_for(client: TestClient, release: str) -> None:
    deadline = time.monotonic() + 10
    while client.get("/v1/release").json()["release"] != release:
        assert time.monotonic() < deadline, f"{release} did not come into service"
        time.sleep(0.02)
    time.sleep(0.1)  # let some requests be scored by it


def test_refused_release_leaves_the_old_one(settings: Settings) -> None:
    rollout = Rollout(settings.pointer_path, load_fake)
    rollout.check()
    assert rollout.current is None
    point_to(settings, "r-1")
    rollout.check()
    point_to(settings, "r-2-bad", previous={"release_id": "r-1"})
    rollout.check()
    assert rollout.current is not None and rollout.refused is not None
    assert rollout.current.release.id == "r-1"
    assert (rollout.refused.release, rollout.refused.code) == ("r-2-bad", "PARITY")
    point_to(settings, "r-1")
    rollout.check()
    assert rollout.refused is None, "the pointer went back"
    assert rollout.swaps == 1


def test_refused_release_is_tried_again_only_when_asked(settings: Settings) -> None:
    tries = []

    def load(directory: Path) -> FakeScreener:
        tries.append(directory.name)
        return load_fake(directory)

    rollout = Rollout(settings.pointer_path, load)
    point_to(settings, "r-bad")
    for _ in range(3):
        rollout.check()
    assert tries == ["r-bad"]
    point_to(settings, "r-bad")
    rollout.check()
    assert tries == ["r-bad", "r-bad"]


def test_unexpected_failure_and_wrong_folder_are_refusals(settings: Settings) -> None:
    def load(directory: Path) -> FakeScreener:
        if directory.name == "r-1":
            raise RuntimeError("onnxruntime says no")
        return FakeScreener(Path("r-other"))

    rollout = Rollout(settings.pointer_path, load)
    for release, code in (("r-1", "INTERNAL"), ("r-2", "RELEASE_NOT_FOUND")):
        point_to(settings, release)
        rollout.check()
        assert rollout.current is None
        assert rollout.refused is not None
        assert (rollout.refused.release, rollout.refused.code) == (release, code)


def test_broken_pointer_changes_nothing(settings: Settings) -> None:
    point_to(settings, "r-1")
    rollout = Rollout(settings.pointer_path, load_fake)
    rollout.check()
    settings.pointer_path.write_text("{")
    rollout.check()
    assert rollout.current is not None and rollout.current.release.id == "r-1"


def test_embedded_release_serves_until_a_pointer_comes(settings: Settings, tmp_path: Path) -> None:
    embedded = tmp_path / "r-embedded"
    embedded.mkdir()
    write_json(embedded / "manifest.json", make_release("r-embedded").to_dict())
    rollout = Rollout(settings.pointer_path, load_fake, embedded)
    rollout.check()
    assert rollout.current is not None
    assert (rollout.current.release.id, rollout.current.bento_tag) == ("r-embedded", None)
    point_to(settings, "r-1")
    rollout.check()
    assert rollout.current.release.id == "r-1"


def test_embedded_release_serves_when_the_pointed_one_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    embedded = tmp_path / "r-embedded"
    embedded.mkdir()
    write_json(embedded / "manifest.json", make_release("r-embedded").to_dict())
    point_to(settings, "r-bad")
    rollout = Rollout(settings.pointer_path, load_fake, embedded)
    rollout.check()
    assert rollout.current is not None and rollout.refused is not None
    assert (rollout.current.release.id, rollout.refused.release) == ("r-embedded", "r-bad")
