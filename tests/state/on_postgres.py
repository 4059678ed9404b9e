"""A plugin of pytest: every prediction log that a test opens is a database of PostgreSQL.

    pytest -p tests.state.on_postgres tests/monitoring/test_episodes.py

A log that would be a SQLite file is a schema of its own instead, with an account that sees no
other, on a server that lives as long as the run; a database for each takes ten times as long.
Settings get its URL as `MAMMO_DATABASE_URL` would give it, so that child processes use it
too. The tests themselves are not changed.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from mammo.prediction_log import database
from mammo.prediction_log.engine import log_url
from mammo.settings import Settings
from tests.postgres import Cluster, running_cluster


class Databases:
    """One schema, with its account, for each file that would have been."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.names = cluster, dict[Path, str]()

    def url(self, file: Path) -> str:
        """Return the URL of what is in a file's place; made when it is asked for first."""
        if file not in self.names:
            name = f"t{len(self.names)}"
            self.cluster.execute(
                f"CREATE ROLE {name} LOGIN SUPERUSER; CREATE SCHEMA {name} AUTHORIZATION {name}; "
                f"ALTER ROLE {name} SET search_path = {name}"
            )
            self.names[file] = name
        return self.cluster.url("postgres").replace("mammo@", f"{self.names[file]}@")


def pytest_configure(config: pytest.Config) -> None:
    """Start the server and put its databases in the files' place."""
    stack = ExitStack()
    config.add_cleanup(stack.close)
    databases = Databases(stack.enter_context(running_cluster()))
    patch = stack.enter_context(pytest.MonkeyPatch.context())

    def instead(url: str | sa.URL) -> sa.URL:
        given = log_url(url)
        if given.get_backend_name() == "sqlite" and given.database:
            return log_url(databases.url(Path(given.database).absolute()))
        return given

    def with_database(self: Settings, _context: Any) -> None:
        if self.database_url is None:
            file = (self.home / "log.db").absolute()
            self.database_url = SecretStr(databases.url(file))

    told = Settings.log_url.fget
    assert told is not None
    patch.setattr(database, "log_url", instead)
    patch.setattr(Settings, "model_post_init", with_database, raising=False)
    # settings that were copied with another home keep no database of their own
    named = property(lambda self: instead(told(self)).render_as_string(hide_password=False))
    patch.setattr(Settings, "log_url", named)
    config.stash[DATABASES] = databases


DATABASES = pytest.StashKey[Databases]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell how many there were: none would mean that nothing was tried."""
    count = len(config.stash[DATABASES].names)
    terminalreporter.write_line(f"logs that the tests had in PostgreSQL: {count}")
