"""What the hour of the whole stack takes for a fault, on series that are known."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.stack_soak.__main__ import LATENCY, faults, summarise
from benchmarks.stack_soak.prometheus import Series
from tests.dashboards.rules import program

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


SLOW_EXAMS_BESIDE_A_QUICK_LIST = {
    'mammo_exam_seconds_bucket{le="10.0"}': "0x20",
    'mammo_exam_seconds_bucket{le="30.0"}': "0+1x20",
    'mammo_exam_seconds_bucket{le="+Inf"}': "0+1x20",
    'mammo_request_duration_seconds_bucket{route="/v1/exams",le="0.005"}': "0+16x20",
    'mammo_request_duration_seconds_bucket{route="/v1/exams",le="+Inf"}': "0+17x20",
}


def test_the_latency_is_of_exams_and_not_of_their_list(tmp_path: Path) -> None:
    """Reads of the list are quick, and share their route with exams."""
    given = [{"series": a, "values": b} for a, b in SLOW_EXAMS_BESIDE_A_QUICK_LIST.items()]
    asked = [
        {"expr": LATENCY.format(q=q), "eval_time": "10m", "exp_samples": [{"value": value}]}
        for q, value in ((0.5, 20.0), (0.99, 29.8))  # within 10 to 30 s, evenly
    ]
    case = {"interval": "1m", "input_series": given, "promql_expr_test": asked}
    path = tmp_path / "latency.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))
    command = [program("promtool"), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_exam_takes_what_it_takes() -> None:
    disk = summarise(hour())["disk"]["disk_used_mib"]
    assert disk["first_kib"] == pytest.approx(6 * 1024)
    assert disk["second_kib"] == pytest.approx(6 * 1024)
