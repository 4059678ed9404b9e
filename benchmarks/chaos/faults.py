"""Every other fault, one after the other, with what was seen.

    python -m benchmarks.chaos.faults    # about four minutes, writes the docs

Exit status 1 where a demand was not met; it says which.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.chaos.client_faults import (
    client_leaves,
    half_sent,
    same_job_at_once,
    same_key_at_once,
    slow_client,
)
from benchmarks.chaos.clock_faults import MovedClock, clock_jumps
from benchmarks.chaos.fault import Bench, Fault
from benchmarks.chaos.page import describe, write_run
from benchmarks.chaos.release_faults import nan_release, refused_releases
from benchmarks.chaos.served import make_installation, serve
from benchmarks.chaos.storage_faults import (
    database_gone,
    database_locked,
    disk_full,
    small_disk,
)
from tests.postgres import running_cluster


def run_faults(folder: Path) -> Iterator[Fault]:
    """Bring about each fault and tell what was seen."""
    with running_cluster() as cluster:
        yield database_gone(folder / "gone", cluster)
    with bench_of(folder) as (bench, clock):
        yield database_locked(bench)
        yield same_key_at_once(bench)
        yield same_job_at_once(bench)
        yield half_sent(bench)
        yield client_leaves(bench)
        yield slow_client(bench)
        yield refused_releases(bench)
        yield nan_release(bench)
        yield clock_jumps(bench, clock)
        yield disk_full(bench)


@contextmanager
def bench_of(folder: Path) -> Iterator[tuple[Bench, MovedClock]]:
    """Serve from a small disk, with a clock that can be set.

    Raises PermissionError where no small disk can be made, RuntimeError without a C compiler.
    """
    clock = MovedClock(folder)
    with small_disk(folder / "home") as home:
        settings = make_installation(home)
        with serve(settings, environment=clock.environment) as served:
            yield Bench(served), clock


def write_faults(faults: list[Fault]) -> None:
    """Write the numbers and the table in the docs."""
    rows = [[one.name, one.done, one.seen, _verdict(one)] for one in faults]
    run = describe("python -m benchmarks.chaos.faults")
    results = {"run": run, "faults": [asdict(one) | {"passed": one.passed} for one in faults]}
    head = ["fault", "what is done", "what is seen", "as promised"]
    write_run("faults", results, head, rows)


def _verdict(fault: Fault) -> str:
    return "yes" if fault.passed else f"**no:** {'; '.join(fault.broken)}"


def main() -> int:
    """Run from the command line."""
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for one in run_faults(Path(folder)):
            print(f"{one.name}: {one.seen}: {_verdict(one)}", flush=True)
            faults.append(one)
    write_faults(faults)
    return 0 if all(one.passed for one in faults) else 1


if __name__ == "__main__":
    sys.exit(main())
