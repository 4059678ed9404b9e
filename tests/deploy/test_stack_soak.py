"""What the hour of the whole stack takes for a fault, on series that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.stack_soak.__main__ import faults, summarise
from benchmarks.stack_soak.prometheus import Series

SECONDS = np.arange(0.0, 3600, 5)
RATE = 0.8


def series(values: Any, **labels: str) -> Series:
    values = np.broadcast_to(np.asarray(values, dtype=np.float64), SECONDS.shape)
    return Series(labels, SECONDS, values)


def cut(one: Series, samples: int) -> Series:
    return Series(one.labels, one.seconds[:samples], one.values[:samples])


def hour(**changed: Any) -> dict[str, Any]:
    steady = {
        "memory_mib": [series(500, service="service"), series(200, service="prefect")],
        "open_files": [series(60, service="service")],
        "p50_s": [series(0.2)],
        "p99_s": [series(0.3)],
        "disk_used_mib": [series(5000 + SECONDS * RATE * 6)],
        "alerts": [],
    }
    found = {"statuses": {"200": 2880}, "exams_a_second": RATE}
    return (
        found
        | {name: changed[name] for name in found.keys() & changed.keys()}
        | {"series": steady | {name: changed[name] for name in steady.keys() & changed.keys()}}
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"statuses": {"200": 2870, "503": 10}}, ["10 requests were answered 503"]),
        ({"memory_mib": [series(500 + SECONDS / 36, service="a")]}, ["memory_mib a grows"]),
        ({"memory_mib": [series(500 - SECONDS / 36, service="a")]}, []),
        ({"p99_s": [series(0.2 + SECONDS / 36_000)]}, ["p99_s grows"]),
        (
            {"disk_used_mib": [series(5000 + SECONDS**2 / 700)]},
            ["disk_used_mib: later exams take more"],
        ),
        (
            {"memory_mib": [series(5, service="a"), cut(series(5, service="guard"), 300)]},
            ["guard ended"],
        ),
        ({"memory_mib": [series(5, service="a"), cut(series(5, service="deployments"), 9)]}, []),
        ({"alerts": [cut(series(1, alertname="MammoQueueFull"), 4)]}, ["MammoQueueFull fired"]),
        ({"alerts": [cut(series(1, alertname="MammoRecallRateOutOfRange"), 4)]}, []),
    ],
)
def test_an_hour_is_judged(changed: dict[str, Any], told: list[str]) -> None:
    assert faults(summarise(hour(**changed))) == told


def test_an_exam_takes_what_it_takes() -> None:
    disk = summarise(hour())["disk"]["disk_used_mib"]
    assert disk["first_kib"] == pytest.approx(6 * 1024)
    assert disk["second_kib"] == pytest.approx(6 * 1024)
