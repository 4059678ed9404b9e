"""An ingest that was killed, and run again, ends as if it had not been."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from mammo.data.index import read_index
from mammo.data.quarantine import read_quarantine
from mammo.data.shards import open_shard
from mammo.data.version import current_version
from mammo.settings import Settings

from .mixed import GOOD, REFUSED, write_mixed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
POINTS = 20
Run = Callable[[Settings, Path, int, int], tuple[int, int, int]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Return a function that ingests in a child: its id, exit status, touches of the disk."""
    paths = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed_runs.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def start(settings: Settings, folder: Path, processes: int, point: int) -> tuple[int, int, int]:
        print(settings.home, folder, processes, point, file=process.stdin, flush=True)
        child, status, touches = map(int, process.stdout.readline().split())
        return child, status, touches

    yield start
    process.stdin.close()
    process.wait()


@pytest.mark.parametrize("before", [False, True], ids=["first ingest", "later ingest"])
def test_killed_anywhere_and_run_again_is_as_if_not_killed(
    before: bool, run: Run, new_home: Callable[[str], Settings], tmp_path: Path
) -> None:
    folder, whole = write_mixed(tmp_path / "in"), new_home("whole")
    if before:
        run(whole, write_mixed(tmp_path / "early", 20), 0, 0)
        shutil.copytree(whole.home, tmp_path / "early-home")
    _, status, touches = run(whole, folder, 0, 0)
    assert (status, len(read_index(whole.index_path))) == (0, GOOD * (1 + before))
    random.seed(before)
    for number, point in enumerate(sorted(random.sample(range(1, touches), POINTS // 2))):
        settings = Settings(home=tmp_path / f"home-{point}", _env_file=None)
        shutil.copytree(tmp_path / "early-home" if before else new_home("new").home, settings.home)
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        child, status, _ = run(settings, folder, number % 3, point)
        assert status == -9, f"point {point} of {touches}"
        assert_whole(settings, had_rows=GOOD * before)
        assert_no_workers_of(child)
        _, status, _ = run(settings, folder, (number + 1) % 3, 0)
        assert status == 0
        assert outcome(settings) == outcome(whole), f"killed at {point} of {touches}"


def assert_whole(settings: Settings, had_rows: int) -> None:
    """What a reader sees of the store is whole: the old state or the new one."""
    for path in settings.shards_dir.glob("*.npy"):
        open_shard(path)
    if had_rows or settings.index_path.exists():
        index = read_index(settings.index_path)
        assert len(index) in (had_rows, had_rows + GOOD)
        for shard, rows in index.groupby("shard")["shard_row"]:
            assert rows.max() < len(open_shard(settings.shards_dir / f"{shard}.npy"))
            headers = settings.index_path.parent / "headers" / f"{shard}.jsonl"
            assert len(headers.read_text().splitlines()) > rows.max()


def outcome(settings: Settings) -> dict[str, object]:
    """Everything that an ingest leaves, but for the time when a file was first refused."""
    store = settings.index_path.parent
    files = {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*") if path.is_file()
    }  # fmt: skip
    refused = [asdict(r) | {"first_seen": ""} for r in read_quarantine(settings.quarantine_dir)]
    assert sorted((r["file"], r["code"]) for r in refused if r["file"] in REFUSED)
    kept = sorted(path.name for path in settings.quarantine_dir.iterdir())
    staged = sorted(path.name for path in (settings.data_dir / "staging").iterdir())
    return {
        "files": files, "refused": refused, "kept": kept, "staged": staged,
        "version": current_version(settings),
    }  # fmt: skip


def workers_of(parent: int) -> list[str]:
    """Return the reading processes that were started by a process, dead or alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "mammo.killable_worker" in words and str(parent) in words:
            found.append(path.parent.name)
    return found


def assert_no_workers_of(parent: int) -> None:
    until = time.monotonic() + 60
    while (left := workers_of(parent)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


READ = """
import time
from mammo.data.pools import lend_pool
from mammo.killable import Limits
with lend_pool(2, Limits()) as pool:
    for future in pool.map(time.sleep, [(60,), (60,)]):
        future.result()
"""


def test_readers_at_work_end_with_the_ingest_that_is_killed() -> None:
    run = subprocess.Popen([sys.executable, "-c", READ], env=os.environ | {"PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 60
    while len(workers_of(run.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(workers_of(run.pid)) == 2
    run.kill()
    run.wait()
    assert_no_workers_of(run.pid)
