"""Every test of the log runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mammo.prediction_log import PredictionLog
from tests.postgres import Cluster, running_cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgres"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a log that nobody has made yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/log.db"
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.new_database()


@pytest.fixture
def log(log_url: str) -> Iterator[PredictionLog]:
    made = PredictionLog(log_url, pooled=True, busy_seconds=5).create()
    yield made
    made.close()
