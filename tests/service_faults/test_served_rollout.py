"""Every stage of a release under load, with two workers: `benchmarks.chaos.rollout`, small."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.rollout import STEPS, WORKERS, run_rollout
from benchmarks.chaos.served import make_home

pytestmark = pytest.mark.stack
EXAMS = 8


def test_no_request_fails_or_goes_astray_through_every_stage(tmp_path: Path) -> None:
    rolled = run_rollout(make_home(tmp_path / "home"), EXAMS)
    assert WORKERS > 1 and [one.step for one in rolled.windows] == list(STEPS)
    assert rolled.passed, rolled
    by = {one.step: (one.by_a > 0, one.by_b > 0) for one in rolled.windows}
    assert by["B in shadow"] == by["rolled back to A"] == (True, False)
    assert by["B in service"] == (False, True)
