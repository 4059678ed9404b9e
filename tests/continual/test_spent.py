"""What a training spent: counted where there is a counter, and said where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mammo.continual.spent import Meter, Spent, read_spent, write_spent


def zone(powercap: Path, name: str, microjoules: int, most: int = 1_000_000_000) -> Path:
    place = powercap / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")
    return place


@pytest.mark.parametrize(
    ("before", "after", "joules"),
    [
        ({"intel-rapl:0": 1_000_000}, {"intel-rapl:0": 6_500_000}, 5.5),
        ({"intel-rapl:0": 999_000_000}, {"intel-rapl:0": 2_000_000}, 3.0),  # it began again
        (
            {"intel-rapl:0": 0, "intel-rapl:1": 0, "intel-rapl:0:0": 0},
            {"intel-rapl:0": 2_000_000, "intel-rapl:1": 1_000_000, "intel-rapl:0:0": 9_000_000},
            3.0,  # a part of a package is not counted twice
        ),
        ({}, {}, None),
        ({}, {"intel-rapl:0": 5}, None),
    ],
)
def test_energy_is_what_the_packages_counted(
    tmp_path: Path, before: dict[str, int], after: dict[str, int], joules: float | None
) -> None:
    for name, value in before.items():
        zone(tmp_path, name, value)
    meter = Meter(tmp_path)
    for name, value in after.items():
        zone(tmp_path, name, value)
    assert meter.read(resumed=False).energy_j == joules


def test_a_counter_that_cannot_be_read_is_no_counter(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", 1) / "energy_uj").write_text("denied")
    assert Meter(tmp_path).read(resumed=False).energy_j is None


WAIT_AND_WORK = """
import json, time
from dataclasses import asdict
from mammo.continual.spent import Meter
meter = Meter()
time.sleep(0.3)
waited = meter.read(resumed=False)
busy = time.process_time() + 0.3
while time.process_time() < busy:
    sum(range(1000))
print(json.dumps([asdict(waited), asdict(meter.read(resumed=False))]))
"""


def test_waiting_takes_time_on_the_wall_and_work_takes_a_processor() -> None:
    """In a process that has no thread of another test: theirs would be counted."""
    done = subprocess.run(
        [sys.executable, "-c", WAIT_AND_WORK], capture_output=True, text=True, check=True
    )
    waited, worked = (Spent(**one) for one in json.loads(done.stdout))
    assert waited.wall_s >= 0.3 and waited.processor_s < 0.2
    assert worked.processor_s >= 0.28


def test_it_is_kept_beside_the_release(tmp_path: Path) -> None:
    assert read_spent(tmp_path) is None
    spent = Spent(12.5, 30.25, None, "x86_64, 2 processors", True)
    write_spent(tmp_path, spent)
    assert read_spent(tmp_path) == spent
