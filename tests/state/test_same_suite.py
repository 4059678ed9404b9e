"""The tests of what the loop remembers, on PostgreSQL as they stand.

The prediction log, outcomes, gates, approvals, trials and the spool have both backends in
`tests/prediction_log`, backups in `test_backup`. The modules below are written for a home; here
they run again, unchanged, with every log in PostgreSQL (`on_postgres`).

What has one backend alone, whatever `MAMMO_DATABASE_URL` says, and so nothing to run twice: the
gateway's book and outbox (one SQLite file of one process), the audit log and the spool (lines),
jobs, tokens and the pointer (files). `tests/prediction_log/test_full_disk.py` fills SQLite's
disk by a limit on the process, which a server does not share; `tests/test_loop_properties.py`
and `tests/bentos/test_killed_moves.py` copy a home with the log in it, as tests/changes do.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import find_binaries

ROOT = Path(__file__).parents[2]
MODULES = ("test_episodes.py", "test_outcomes.py", "test_closing.py", "test_exam_counts.py")
TESTS = 80
pytestmark = pytest.mark.slow


def test_the_loop_remembers_the_same_on_postgres(tmp_path: Path) -> None:
    if find_binaries() is None:
        pytest.skip("no postgres server is installed (initdb and pg_ctl)")
    modules = [str(ROOT / "tests" / "monitoring" / name) for name in MODULES]
    options = ("-q", "-p", "tests.state.on_postgres", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--basetemp={tmp_path / 'runs'}", *modules],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    passed = int(re.findall(r"(\d+) passed", done.stdout)[-1])
    logs = int(re.findall(r"logs that the tests had in PostgreSQL: (\d+)", done.stdout)[-1])
    assert passed >= TESTS and logs >= 60 and "failed" not in done.stdout
