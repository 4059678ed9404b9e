"""What a stack's processes hold, by service: real children with the marks of `mammo up`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from monitoring.process_metrics import SERVICE, TOKEN, ProcessCollector, measure_services

HOLD = "import sys, time; held = bytearray(int(sys.argv[1])); print('held', flush=True); time.sleep(60)"  # fmt: skip  # noqa: E501


@pytest.fixture
def stack() -> Iterator[str]:
    """Two children of one service, one of another, one of another stack."""
    token = f"token-{os.getpid()}-{time.monotonic_ns()}"
    asked = [("worker", token, 0), ("worker", token, 60_000_000), ("service", token, 0)]
    asked.append(("worker", f"{token}-other", 0))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(size)],
            env=os.environ | {TOKEN: of, SERVICE: service},
            stdout=subprocess.PIPE,
        )
        for service, of, size in asked
    ]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
    yield token
    for child in children:
        child.kill()
        child.wait()


def test_memory_is_told_by_service_of_this_stack_alone(stack: str) -> None:
    held = measure_services(stack)
    assert {name: one.processes for name, one in held.items()} == {"worker": 2, "service": 1}
    assert held["worker"].private_bytes - 2 * held["service"].private_bytes > 50_000_000
    assert all(one.open_files >= 3 * one.processes for one in held.values())


def test_metrics_carry_the_service(stack: str) -> None:
    told = {one.name: one for one in ProcessCollector({TOKEN: stack}).collect()}
    assert sorted(sample.labels["service"] for sample in told["mammo_processes"].samples) == [
        "service",
        "worker",
    ]


def test_outside_a_stack_nothing_is_told() -> None:
    assert [one.samples for one in ProcessCollector({}).collect()] == [[], [], []]
