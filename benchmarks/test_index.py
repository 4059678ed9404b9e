"""The exam index at 55 thousand, 550 thousand and 5.5 million rows, against pandas' usual way.

pytest benchmarks/test_index.py                    # up to 547,060 rows
pytest benchmarks/test_index.py --rows 5470600     # and at 5,470,600: half an hour, 15 GB of memory
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clock import Row
from benchmarks.index_report import SCALES, STEPS, write_scale
from benchmarks.index_rows import TABLE, TABLE_ROWS, write_copies

ROOT = Path(__file__).parents[1]
USUAL_LIMIT_MB = 12 * 1024
"""Above it the usual way is told to need more, and this machine is spared."""
GROWTH_MB = {"extend": 200, "known": 60, "count": 600, "patients": 600}
"""How much more than for the smallest index a step may hold; DuckDB is given 512 MB."""
LONG = ("split", "leaks")
"""Steps that take a minute at 547,060 rows: measured there only when --rows asks for more."""


@pytest.fixture(scope="module", params=SCALES, ids=lambda copies: f"{copies * TABLE_ROWS} rows")
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """An index of so many copies of the table, and their number."""
    if request.param * TABLE_ROWS > request.config.getoption("rows"):
        pytest.skip("larger than --rows")
    if not TABLE.is_file():
        pytest.skip(f"RSNA's table is not at {TABLE}; set MAMMO_TEST_DATA")
    path = tmp_path_factory.mktemp("index") / "index.parquet"
    write_copies(TABLE, path, request.param)
    yield request.param, path
    path.unlink()  # pytest keeps the folders of three runs


@pytest.fixture(scope="module")
def scale() -> dict[str, dict[str, Any]]:
    """What was measured, by step and number of rows; written when all is done."""
    measured: dict[str, dict[str, Any]] = {}
    yield measured
    if measured:
        write_scale(measured)


@pytest.mark.parametrize("step", STEPS)
def test_work_on_an_index(
    step: str, index: tuple[int, Path], scale: dict[str, Any], record: Callable[[Row], None],
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    copies, path = index
    if step in LONG and copies > 1 and request.config.getoption("rows") < 10**6:
        pytest.skip("takes minutes; --rows 5470600 measures it")
    rows = copies * TABLE_ROWS
    ours, usual = (measure(step, way, path) for way in ("ours", "usual"))
    scale[f"{step} {rows}"] = {
        "step": step, "rows": rows, "file_mb": path.stat().st_size / 2**20,
        "ours": ours, "usual": usual,
    }  # fmt: skip
    assert ours["seconds"] is not None
    if usual["seconds"] is not None:
        name, times = "pandas, all of it", (ours["seconds"], usual["seconds"])
        told = f"index of {rows:,} rows: {STEPS[step]}"
        record(Row(told, times[0], name, times[1], name, times[1], None))
    first = scale.get(f"{step} {TABLE_ROWS}")
    if first is not None and step in GROWTH_MB:
        assert ours["peak_mb"] - first["ours"]["peak_mb"] < GROWTH_MB[step]


def measure(step: str, way: str, path: Path) -> dict[str, float | None]:
    """Do a step in a process of its own; return its CPU seconds and peak memory, MB."""
    limit = ["--limit-mb", str(USUAL_LIMIT_MB)] if way == "usual" else []
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.index_work", step, way, str(path), *limit],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
