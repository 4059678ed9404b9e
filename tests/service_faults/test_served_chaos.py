"""Small versions of `make chaos`, `make soak` and of schemathesis, on the served service."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import run_chaos
from benchmarks.chaos.openapi import try_document
from benchmarks.chaos.served import make_installation
from benchmarks.soak import run_soak

pytestmark = pytest.mark.stack


def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    chaos = run_chaos(make_installation(tmp_path / "home"), kills=10, pause_s=1.0)
    assert sum(chaos.killed.values()) == 10
    assert chaos.passed, chaos
    assert chaos.books.answered > 10


def test_three_hundred_requests_and_no_flood_of_memory(tmp_path: Path) -> None:
    soak = run_soak(make_installation(tmp_path / "home"), 300, workers=1)
    assert soak.books.balance and soak.books.answered == 300, soak.books
    assert soak.fails == 0, soak.attempts
    assert soak.growth.level_mib < 1500


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    tried, said = try_document(tmp_path, examples=1)
    assert tried.passed, said[-5000:]
    assert tried.operations >= 12
