from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bentos.screening.jobs import JobStore, new_job
from bentos.screening.upload import ReceivedFile
from mammo.errors import DiskFull, JobUnknown, Overloaded
from mammo.release import write_json

FILES = [ReceivedFile("Doe_Jane.dcm", b"one"), ReceivedFile("", b"two")]
ID, OTHER = "a" * 32, "b" * 32


def accept(store: JobStore, job_id: str = ID) -> object:
    return store.accept(new_job(job_id, "pacs", ["predict"], FILES, "d1"), FILES)


def test_a_job_is_kept_once_and_loses_its_files_when_it_is_over(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs", 9)
    job = accept(store)
    assert store.accept(new_job(ID, "other", [], [], "d2"), []) == job
    assert list(store.open_ids()) == [ID]
    assert [(one.name, one.data) for one in store.files(job)] == [
        ("Doe_Jane.dcm", b"one"),
        ("", b"two"),
    ]
    with store.claim(ID) as mine:
        assert mine == job
        with JobStore(tmp_path / "jobs", 9).claim(ID) as second:
            assert second is None, "one worker has it"
        store.set(mine, "done", exam="E-1")
    assert store.read(ID).exam == "E-1"
    assert list(store.open_ids()) == []
    with store.claim(ID) as again:
        assert again is None
    assert not list((tmp_path / "jobs" / ID).glob("*.dcm"))
    assert (tmp_path / "jobs").stat().st_mode & 0o077 == 0


def test_files_of_a_job_that_was_killed_at_its_end_go(tmp_path: Path) -> None:
    """Its record says that it is over, its files were not yet taken away."""
    store = JobStore(tmp_path / "jobs", 1)
    job = accept(store)
    write_json(store.folder / ID / "job.json", asdict(replace(job, status="done", exam="E-1")))
    assert list(store.open_ids()) == [ID]
    with store.claim(ID) as mine:
        assert mine is None
    assert list(store.open_ids()) == []
    accept(store, OTHER)  # its place is free


def test_files_go_though_it_is_killed_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(tmp_path / "jobs", 1)
    job, unlink, gone = accept(store), Path.unlink, list[str]()

    def die_at_the_second(path: Path, missing_ok: bool = False) -> None:
        if gone:
            raise KeyboardInterrupt
        gone.append(path.name)
        unlink(path, missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", die_at_the_second)
        store.set(job, "done", exam="E-1")
    assert gone and list(store.open_ids()) == [ID]
    with store.claim(ID) as mine:
        assert mine is None
    assert not list((store.folder / ID).glob("*.dcm"))


def test_the_same_request_at_once_is_one_job(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs", 99)
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            job_id = f"{number:032x}"
            kept = list(pool.map(lambda _, job_id=job_id: accept(store, job_id), range(8)))
            assert len({id(one) for one in kept}) == 8 and len(set(kept)) == 1
            assert store.files(kept[0]) == FILES
    assert not list(store.folder.glob(".*"))


def hold(folder: Path, ready: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    store = JobStore(folder, 9)
    with store.claim(ID) as job:
        assert job is not None
        store.set(job, "running")
        ready.put(1)
        signal.pause()


def test_a_killed_worker_leaves_its_job_to_others(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs", 9)
    accept(store)
    ready = multiprocessing.get_context("spawn").Queue()
    worker = multiprocessing.get_context("spawn").Process(target=hold, args=(store.folder, ready))
    worker.start()
    ready.get(timeout=30)
    with store.claim(ID) as job:
        assert job is None
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    with store.claim(ID) as job:
        assert job is not None and job.status == "running"
        assert store.files(job) == FILES


@pytest.mark.parametrize("job_id", ["c" * 32, "../audit", "", ".hidden", "%2e%2e"])
def test_unknown_jobs(tmp_path: Path, job_id: str) -> None:
    store = JobStore(tmp_path / "jobs", 9)
    accept(store)
    with pytest.raises(JobUnknown):
        store.read(job_id)


def test_no_more_wait_than_may(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs", 1)
    accept(store)
    with pytest.raises(Overloaded, match="MAMMO_QUEUE_JOBS"):
        accept(store, OTHER)
    assert accept(store) == store.read(ID), "a repeated one is no new one"
    assert [path.name for path in store.folder.iterdir()] == [ID]


def test_a_disk_that_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = JobStore(tmp_path / "jobs", 9)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DiskFull):
        accept(store)
    assert list(store.folder.iterdir()) == []


def test_old_jobs_go_and_those_that_wait_stay(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs", 9)
    accept(store)
    done = accept(store, OTHER)
    store.set(done, "failed", problem={"code": "NOTHING_READABLE"})
    for path in store.folder.iterdir():
        os.utime(path, (0, 0))
    assert store.sweep(30.0) == 1
    assert list(store.open_ids()) == [ID]
