"""Tests of what is kept run on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from mammo.settings import Settings
from tests.postgres import Cluster, running_cluster

BACKENDS = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(params=BACKENDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An installation whose log nobody has made yet, on the backend of the turn."""
    url = None
    if request.param == "postgres":
        url = SecretStr(request.getfixturevalue("postgres").new_database())
    return Settings(home=tmp_path / "home", database_url=url, _env_file=None)
