"""Files of shared metrics have their place on the disk before a value is written to them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKER = """
import resource, sys
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from bentos.screening.metric_files import reserve_metric_files

if sys.argv[1] == "late":  # somebody else's metric was there first
    Counter("before", "b.", registry=CollectorRegistry()).inc(3)
def fill():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, 2**12))

if sys.argv[1] == "full":
    fill()
reserve_metric_files()
reserve_metric_files()
if sys.argv[1] == "full later":
    fill()
Histogram("took", "t.", ("stage",), registry=CollectorRegistry()).labels("read").observe(1)
counter = Counter("seen", "s.", ("name",), registry=CollectorRegistry())
for number in range(int(sys.argv[2])):
    counter.labels(f"{number:04d}" + "x" * 200).inc(number)
counted = CollectorRegistry()
MultiProcessCollector(counted)
print(generate_latest(counted).decode())
"""


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", WORKER, *words],
        env=environment, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("how", "names"), [("early", 1), ("early", 9000), ("late", 1), ("late", 900), ("full later", 9)]
)
def test_no_byte_of_a_file_is_without_a_place(tmp_path: Path, how: str, names: int) -> None:
    done = _run(tmp_path, how, str(names))
    assert done.returncode == 0, done.stderr
    last = f"{names - 1:04d}" + "x" * 200
    assert f'seen_total{{name="{last}"}} {names - 1}.0' in done.stdout
    assert ("before_total 3.0" in done.stdout) == (how == "late")
    assert 'took_count{stage="read"} 1.0' in done.stdout
    files = {file.name.split("_")[0]: file.stat() for file in tmp_path.glob("*.db")}
    assert set(files) == {"counter", "histogram"}
    for status in files.values():
        assert status.st_blocks * 512 >= status.st_size, "a page of it could end the process"
    assert files["counter"].st_size > names * 200


def test_a_disk_without_room_at_the_start_is_an_error_and_no_signal(tmp_path: Path) -> None:
    done = _run(tmp_path, "full", "1")
    assert done.returncode == 1 and "OSError" in done.stderr, done.stderr
    assert not list(tmp_path.glob("*.db"))
