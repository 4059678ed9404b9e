"""The challenger beside the champion: who answers, who scores besides, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bentos.screening.rollout import Rollout
from bentos.screening.workers import STALE_SECONDS, WorkerState, live_workers
from mammo.errors import NotReady
from mammo.settings import Settings
from tests.bentos.conftest import FakeScreener, load_fake, point_to

EXAMS = [f"E-{number:06d}" for number in range(20_000)]


def challenge(release: str, stage: str = "canary", percent: int = 10) -> dict[str, Any]:
    """Return the pointer's entry of a challenger."""
    return {
        "release_id": release,
        "bento_tag": f"screening:{release}",
        "release_dir": f"/nowhere/{release}",
        "stage": stage,
        "percent": percent,
        "since": "2026-03-01T09:00:00+00:00",
    }


def follow(settings: Settings, release: str = "r-1", **more: object) -> Rollout:
    point_to(settings, release, **more)
    rollout = Rollout(settings.pointer_path, load_fake)
    rollout.check()
    return rollout


def canaries(rollout: Rollout) -> set[str]:
    return {one for one in EXAMS if rollout.route(one).role == "canary"}


def test_nobody_answers_before_the_first_release(settings: Settings) -> None:
    with pytest.raises(NotReady):
        Rollout(settings.pointer_path, load_fake).route("E-1")


def test_shadow_scores_every_exam_and_answers_none(settings: Settings) -> None:
    rollout = follow(settings, challenger=challenge("r-2", "shadow", 0))
    for exam in EXAMS[:100]:
        route = rollout.route(exam)
        assert (route.answering.release.id, route.role) == ("r-1", "champion")
        assert route.shadow is not None and route.shadow.release.id == "r-2"


@pytest.mark.parametrize("percent", [1, 10, 37, 50, 99, 100])
def test_share_of_the_canary_is_exact_to_a_percent(settings: Settings, percent: int) -> None:
    rollout = follow(settings, challenger=challenge("r-2", percent=percent))
    chosen = canaries(rollout)
    assert abs(100 * len(chosen) / len(EXAMS) - percent) < 1
    one = rollout.route(next(iter(chosen)))
    assert (one.answering.release.id, one.shadow) == ("r-2", None)


def test_same_exam_is_always_on_the_same_side(settings: Settings) -> None:
    first = canaries(follow(settings, challenger=challenge("r-2")))
    assert canaries(follow(settings, challenger=challenge("r-2"))) == first, "another process"
    assert first < canaries(follow(settings, challenger=challenge("r-2", percent=30)))
    other = canaries(follow(settings, challenger=challenge("r-3")))
    assert len(first & other) < 0.2 * len(first), "another challenger meets other exams"


@pytest.mark.parametrize("stage", ["shadow", "canary"])
def test_refused_challenger_is_never_used_and_told(settings: Settings, stage: str) -> None:
    rollout = follow(settings, challenger=challenge("r-2-bad", stage, 50))
    assert rollout.challenger is None and rollout.refused is None
    assert rollout.challenger_refused is not None
    assert (rollout.challenger_refused.release, rollout.challenger_refused.code) == (
        "r-2-bad",
        "PARITY",
    )
    assert {rollout.route(exam).answering.release.id for exam in EXAMS[:200]} == {"r-1"}
    assert {rollout.route(exam).shadow for exam in EXAMS[:200]} == {None}


def test_challenger_that_follows_a_refused_one(settings: Settings) -> None:
    rollout = follow(settings, challenger=challenge("r-2"))
    point_to(settings, "r-1", challenger=challenge("r-3-bad"))
    rollout.check()
    assert rollout.challenger is None, "the one before is not asked for any more"
    point_to(settings, "r-1", challenger=challenge("r-2"))
    rollout.check()
    assert rollout.challenger is not None and rollout.challenger_refused is None


def test_challenger_goes_with_its_entry(settings: Settings) -> None:
    rollout = follow(settings, challenger=challenge("r-2"))
    point_to(settings, "r-1")
    rollout.check()
    assert rollout.challenger is None and rollout.swaps == 1


def test_stage_and_share_change_without_loading_again(settings: Settings) -> None:
    loaded = []

    def load(directory: Path) -> FakeScreener:
        loaded.append(directory.name)
        return load_fake(directory)

    point_to(settings, "r-1", challenger=challenge("r-2", "canary", 10))
    rollout = Rollout(settings.pointer_path, load)
    rollout.check()
    for entry in (challenge("r-2", "canary", 50), challenge("r-2", "shadow", 0)):
        point_to(settings, "r-1", challenger=entry)
        rollout.check()
        assert rollout.challenger is not None
        assert (rollout.challenger.stage, rollout.challenger.percent) == (
            entry["stage"],
            entry["percent"],
        )
    assert loaded == ["r-1", "r-2"]


def test_shadow_is_loaded_at_low_priority_and_anew_to_answer(settings: Settings) -> None:
    loaded = []

    def load(directory: Path) -> FakeScreener:
        nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        loaded.append((directory.name, nice))
        return load_fake(directory)

    own = os.getpriority(os.PRIO_PROCESS, 0)
    point_to(settings, "r-1", challenger=challenge("r-2", "shadow", 0))
    rollout = Rollout(settings.pointer_path, load)
    rollout.check()
    point_to(settings, "r-1", challenger=challenge("r-2", "canary", 10))
    rollout.check()
    assert loaded == [("r-1", own), ("r-2", max(own, 10)), ("r-2", own)]


def test_promoted_canary_answers_all_without_loading_again(settings: Settings) -> None:
    loaded = []

    def load(directory: Path) -> FakeScreener:
        loaded.append(directory.name)
        return load_fake(directory)

    point_to(settings, "r-1", challenger=challenge("r-2"))
    rollout = Rollout(settings.pointer_path, load)
    rollout.check()
    point_to(settings, "r-2", previous={"release_id": "r-1"})
    rollout.check()
    assert rollout.current is not None
    assert (rollout.current.release.id, rollout.current.previous) == ("r-2", "r-1")
    assert rollout.challenger is None and loaded == ["r-1", "r-2"]


def test_refused_release_is_tried_again_when_it_was_signed(
    settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "r-2-bad"
    place.mkdir()
    tried = []

    def load(directory: Path) -> FakeScreener:
        tried.append(directory.name)
        return load_fake(directory)

    point_to(settings, "r-2-bad", release_dir=str(place))
    rollout = Rollout(settings.pointer_path, load)
    rollout.check()
    rollout.check()
    (place / "signature.json").write_text("{}")
    rollout.check()
    assert tried == ["r-2-bad", "r-2-bad"]


@pytest.mark.parametrize("pointer", ["{", "[]", '{"bento_tag": "x"}', '{"release_id": "r-9"}'])
def test_broken_pointer_changes_nothing(settings: Settings, pointer: str) -> None:
    rollout = follow(settings, challenger=challenge("r-2"))
    settings.pointer_path.write_text(pointer)
    rollout.check()
    assert rollout.current is not None and rollout.current.release.id == "r-1"


def test_worker_tells_what_it_follows_until_it_ends(settings: Settings) -> None:
    rollout = follow(settings, challenger=challenge("r-2-bad"))
    (worker,) = rollout.workers()
    assert (worker.pid, worker.release, worker.bento_tag) == (os.getpid(), "r-1", "screening:r-1")
    assert worker.refused is None and worker.challenger is None
    assert worker.challenger_refused is not None
    assert worker.challenger_refused["code"] == "PARITY"
    point_to(settings, "r-1", challenger=challenge("r-2"))
    rollout.check()
    (worker,) = rollout.workers()
    assert worker.challenger == {
        "release": "r-2",
        "bento_tag": "screening:r-2",
        "stage": "canary",
        "percent": 10,
    }

    async def end() -> None:
        following = asyncio.create_task(rollout.follow())
        await asyncio.sleep(0.05)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    asyncio.run(end())
    assert rollout.workers() == []
    assert list((settings.home / "workers").iterdir()) == []


def test_worker_that_still_loads_is_waited_for(settings: Settings) -> None:
    point_to(settings, "r-1")
    seen: list[WorkerState] = []

    def load(directory: Path) -> FakeScreener:
        seen.extend(rollout.workers())
        return load_fake(directory)

    rollout = Rollout(settings.pointer_path, load)
    rollout.check()
    assert [(one.pid, one.release) for one in seen] == [(os.getpid(), None)]


def write(folder: Path, state: WorkerState) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{state.pid}.json").write_text(json.dumps(asdict(state)))


def test_dead_workers_and_other_files_are_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "workers"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine = WorkerState.of_this_process(release="r-1")
    write(folder, mine)
    write(folder, WorkerState(child.pid, mine.host, time.time(), at=mine.at))
    assert {one.pid for one in live_workers(folder)} == {mine.pid, child.pid}
    child.kill()
    deadline = time.monotonic() + 10
    while len(live_workers(folder)) > 1:  # a zombie until waited for is no worker, either
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.communicate()
    (folder / "17.json").write_text("{")
    (folder / "18.json").write_text('{"pid": 18}')
    assert live_workers(folder) == [mine]


def test_new_worker_sweeps_what_the_killed_have_left(settings: Settings) -> None:
    folder, mine = settings.home / "workers", WorkerState.of_this_process()
    folder.mkdir(parents=True)
    for pid in (mine.pid + 1, mine.pid + 2):
        write(folder, WorkerState(pid, mine.host, 0.0, at=mine.at))
    rollout = follow(settings)
    assert [path.name for path in folder.iterdir()] == [f"{mine.pid}.json"]
    assert [one.release for one in rollout.workers()] == ["r-1"]


def test_full_disk_stops_no_answers_and_is_told_once_a_heartbeat(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.home.mkdir()
    (settings.home / "workers").write_text("no folder")
    rollout = follow(settings)
    for _ in range(5):
        rollout.check()
    assert rollout.require().release.id == "r-1"
    told = [one for one in caplog.records if "worker's file cannot be written" in one.message]
    assert len(told) == 2, "when it began to load, and when it served"


def test_pid_that_was_given_to_another_process(tmp_path: Path) -> None:
    mine = WorkerState.of_this_process(release="r-1")
    write(tmp_path / "workers", WorkerState(mine.pid, mine.host, mine.started - 60, at=mine.at))
    assert live_workers(tmp_path / "workers") == []


@pytest.mark.parametrize(("ago", "alive"), [(0.0, True), (STALE_SECONDS + 5, False)])
def test_worker_on_another_host_lives_while_it_speaks(ago: float, alive: bool) -> None:
    from datetime import UTC, datetime, timedelta

    spoke = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    assert WorkerState(1, "elsewhere", 0.0, at=spoke).alive is alive
