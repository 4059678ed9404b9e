"""Each file is read in a process that may die of it, and the shards are the same for all that."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mammo.data import plan as plan_module
from mammo.data import preparation as preparation_module
from mammo.data.ingest import commit_ingest, ingest, plan_ingest, prepare_shard, prepare_shards
from mammo.data.pools import InThisProcess, close_pools, lend_pool
from mammo.data.quarantine import find_record, read_quarantine
from mammo.data.version import current_version
from mammo.killable import KillablePool, Limits
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

from .mixed import GOOD, REFUSED, write_mixed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LIMITS = Limits(2.0, 300)
StoreFiles = Callable[[Settings], dict[str, bytes]]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "SHARD_SIZE", 4)


# --- the same shards, byte for byte


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_any_number_of_processes_gives_the_same_store(
    processes: int,
    new_home: Callable[[str], Settings],
    config: PreprocessConfig,
    store_files: StoreFiles,
    tmp_path: Path,
) -> None:
    folder, alone, several = write_mixed(tmp_path / "in"), new_home("alone"), new_home("several")
    first = ingest("dicom", folder, alone, config, processes=0)
    seen: list[tuple[int, int]] = []
    second = ingest(
        "dicom", folder, several, config, lambda *step: seen.append(step), processes=processes
    )
    assert store_files(several) == store_files(alone)
    assert current_version(several) == current_version(alone)
    assert second.added == first.added == GOOD
    codes = {record.file: record.code for record in second.quarantined}
    assert codes == {record.file: record.code for record in first.quarantined} == REFUSED
    assert seen == [(number, 16) for number in range(1, 17)]
    again = ingest("dicom", folder, several, config, processes=processes)
    assert {(record.code, record.new) for record in again.quarantined} == {
        (code, False) for code in REFUSED.values()
    }
    assert (again.added, again.known) == (0, GOOD)


@pytest.mark.parametrize("order", [[3, 1, 0, 2], [2, 3, 1, 0]], ids=str)
def test_the_order_of_jobs_does_not_count(
    order: list[int],
    new_home: Callable[[str], Settings],
    config: PreprocessConfig,
    store_files: StoreFiles,
    tmp_path: Path,
) -> None:
    folder, forth, mixed = write_mixed(tmp_path / "in"), new_home("forth"), new_home("mixed")
    ingest("dicom", folder, forth, config, processes=0)
    plan = plan_ingest("dicom", folder, mixed, config)
    results = list(prepare_shards([plan.jobs[place] for place in order], InThisProcess()))
    report = commit_ingest(plan, results)
    assert store_files(mixed) == store_files(forth)
    assert [record.file for record in report.quarantined][-1] == "other.dcm"


def test_threads_that_prepare_at_once_give_the_same_store(
    new_home: Callable[[str], Settings],
    config: PreprocessConfig,
    store_files: StoreFiles,
    tmp_path: Path,
) -> None:
    folder, alone, threads = write_mixed(tmp_path / "in"), new_home("alone"), new_home("threads")
    ingest("dicom", folder, alone, config, processes=0)
    plan = plan_ingest("dicom", folder, threads, config)
    results = []
    work = [
        threading.Thread(target=lambda job=job: results.append(prepare_shard(job)))
        for job in plan.jobs
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    commit_ingest(plan, results)
    assert store_files(threads) == store_files(alone)


# --- what kills its reader


@pytest.fixture
def hostile_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[KillablePool]:
    """Two processes in which some files crash, hang or swallow memory."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with KillablePool(2, LIMITS, ("mammo.data.worker", "hostile")) as pool:
        yield pool


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"crash the codec", "DECODER_CRASHED"),
        (b"hang! for ever", "DECODER_TIMEOUT"),
        (b"bloat the memory", "DECODER_MEMORY"),
    ],
)
def test_file_that_kills_its_reader_is_refused_and_the_shard_goes_on(
    content: bytes,
    code: str,
    hostile_pool: KillablePool,
    new_home: Callable[[str], Settings],
    config: PreprocessConfig,
    store_files: StoreFiles,
    make_dicom: Callable[..., Path],
    tmp_path: Path,
) -> None:
    folder, spared, struck = tmp_path / "in", new_home("spared"), new_home("struck")
    for number, name in enumerate(("a.dcm", "c.dcm", "d.dcm")):
        make_dicom(folder / name, number)
    ingest("dicom", folder, spared, config, processes=0)
    (folder / "b.dcm").write_bytes(content)
    plan = plan_ingest("dicom", folder, struck, config)
    report = commit_ingest(plan, prepare_shards(plan.jobs, hostile_pool))
    (record,) = report.quarantined
    assert (record.file, record.code, report.added) == ("b.dcm", code, 3)
    assert (struck.quarantine_dir / f"{record.sha256}.dcm").read_bytes() == content
    assert store_files(struck) == store_files(spared)


def test_refusal_is_believed_until_the_limits_are_changed(
    settings: Settings, config: PreprocessConfig, make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_dicom(tmp_path / "in/large.dcm", 1)
    path.write_bytes(path.read_bytes() + bytes(2**20))
    small = settings.model_copy(update={"max_file_mb": 1})
    first = ingest("dicom", tmp_path / "in", small, config, processes=0)
    again = ingest("dicom", tmp_path / "in", small, config, processes=0)
    assert [(r.code, r.new) for r in first.quarantined] == [("TOO_LARGE", True)]
    assert [(r.code, r.new) for r in again.quarantined] == [("TOO_LARGE", False)]
    assert ingest("dicom", tmp_path / "in", settings, config, processes=0).added == 1
    assert read_quarantine(settings.quarantine_dir) == []


def test_pool_is_kept_for_the_next_job_and_not_after_a_failure() -> None:
    close_pools()
    with lend_pool(1, LIMITS) as first, lend_pool(1, LIMITS) as other:
        assert first is not other
        child = next(first.map(os.getpid, [()])).result()
    with lend_pool(1, LIMITS) as second, pytest.raises(KeyError), lend_pool(1, LIMITS) as third:
        assert {second, third} == {first, other}
        raise KeyError
    assert child != os.getpid()
    close_pools()
    with lend_pool(1, LIMITS) as fresh:
        assert fresh not in (first, other)
    close_pools()


# --- files that vanish or change while they are ingested


def meddle(job_file: Path, change: str, original: bytes) -> None:
    """Do to a file what may happen between its listing and its reading."""
    if change == "vanish":
        job_file.unlink()
    elif change == "grow":
        job_file.write_bytes(original + b"\0" * 64)
    else:
        job_file.write_bytes(original[:-4000])


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize(
    ("change", "code"),
    [("vanish", "FILE_VANISHED"), ("grow", "FILE_CHANGED"), ("cut", "FILE_CHANGED")],
)
def test_file_that_changes_under_way_is_told_and_taken_next_time(
    change: str,
    code: str,
    processes: int,
    rsna_set: Path,
    settings: Settings,
    config: PreprocessConfig,
) -> None:
    file = rsna_set / "train_images/2/1020.dcm"
    original = file.read_bytes()
    plan = plan_ingest("rsna", rsna_set, settings, config)
    meddle(file, change, original)
    with lend_pool(processes, Limits()) as pool:
        report = commit_ingest(plan, prepare_shards(plan.jobs, pool))
    assert report.added == 11
    assert [(record.file, record.code) for record in report.quarantined] == [("1020.dcm", code)]
    assert read_quarantine(settings.quarantine_dir) == []
    file.write_bytes(original)
    again = ingest("rsna", rsna_set, settings, config, processes=0)
    assert (again.added, again.known, again.quarantined) == (1, 11, [])


def test_file_that_came_back_before_the_commit_is_read_again(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    file = rsna_set / "train_images/2/1020.dcm"
    original = file.read_bytes()
    plan = plan_ingest("rsna", rsna_set, settings, config)
    file.unlink()
    list(prepare_shards(plan.jobs, InThisProcess()))  # killed here: staged, not committed
    file.write_bytes(original)
    report = ingest("rsna", rsna_set, settings, config, processes=0)
    assert (report.added, report.quarantined) == (12, [])


def test_file_changed_within_its_times_is_not_believed_to_be_the_same(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    file = rsna_set / "train_images/2/1020.dcm"
    ingest("rsna", rsna_set, settings, config, processes=0)
    times = file.stat()
    file.write_bytes(file.read_bytes()[:-1] + b"\7")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    plan = plan_ingest("rsna", rsna_set, settings, config)
    assert [item.path for job in plan.jobs for _, item in job.items] == [file]


def test_unreadable_file_is_tried_again(
    rsna_set: Path,
    settings: Settings,
    config: PreprocessConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(path: Path) -> str:
        if path.name == "1020.dcm":
            raise PermissionError(13, "Permission denied")
        return original(path)

    original = preparation_module.digest_file
    plan = plan_ingest("rsna", rsna_set, settings, config)
    file = rsna_set / "train_images/2/1020.dcm"
    sha256 = original(file)
    content = file.read_bytes()
    file.unlink()
    monkeypatch.setattr(preparation_module, "digest_file", refuse)
    report = commit_ingest(plan, prepare_shards(plan.jobs, InThisProcess()))
    assert [record.code for record in report.quarantined] == ["UNREADABLE"]
    assert "Permission denied" in report.quarantined[0].message
    record = find_record(settings.quarantine_dir, sha256)
    assert record is not None and record.code == "UNREADABLE"
    file.write_bytes(content)
    monkeypatch.undo()
    assert ingest("rsna", rsna_set, settings, config, processes=0).added == 1
