"""Faults of the served service, small; `python -m benchmarks.chaos.faults` has them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.client_faults import (
    client_leaves,
    half_sent,
    same_job_at_once,
    same_key_at_once,
)
from benchmarks.chaos.clock_faults import MovedClock, clock_jumps
from benchmarks.chaos.fault import Bench, Fault
from benchmarks.chaos.faults import bench_of
from benchmarks.chaos.release_faults import nan_release, refused_releases
from benchmarks.chaos.storage_faults import database_gone, database_locked, disk_full
from tests.postgres import running_cluster

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, MovedClock]]:
    """One service for all faults: its home on a small disk, its clock to be set."""
    try:
        with bench_of(tmp_path_factory.mktemp("faults")) as bench:
            yield bench
    except (PermissionError, RuntimeError) as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize(
    "bring",
    [
        lambda bench: database_locked(bench, 2),
        lambda bench: same_key_at_once(bench, 2),
        lambda bench: same_job_at_once(bench, 2),
        lambda bench: half_sent(bench, 2),
        lambda bench: client_leaves(bench, 4),
        refused_releases,
        nan_release,
    ],
    ids=["locked", "same key", "same job", "half-sent", "client leaves", "refused", "NaN"],
)
def test_fault_is_borne(served: tuple[Bench, MovedClock], bring: Callable[[Bench], Fault]) -> None:
    fault = bring(served[0])
    assert fault.passed, (fault.broken, fault.seen, fault.facts)


def test_clock_jumps(served: tuple[Bench, MovedClock]) -> None:
    fault = clock_jumps(*served, exams=1)
    assert fault.passed, (fault.broken, fault.seen, fault.facts)


def test_disk_full(served: tuple[Bench, MovedClock]) -> None:
    fault = disk_full(served[0], 2)
    assert fault.passed, (fault.broken, fault.seen, fault.facts)


def test_postgres_gone(tmp_path: Path) -> None:
    with running_cluster() as cluster:
        fault = database_gone(tmp_path, cluster, 2)
    assert fault.passed, (fault.broken, fault.seen, fault.facts)
