"""Backup and `restore --replace` of all three databases, as the roles of docker-compose.yml.

The server is made by the init script, so `mammo`, `mlflow` and `prefect` own their database and
nothing else; the tables are those that MLflow's and Prefect's own migrations make.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from mammo.backup import restore_backup, take_backup
from mammo.backup.postgres import count_database
from mammo.backup.restore import pending
from mammo.models.tracking import mlflow_client
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.engine import log_url
from mammo.settings import Settings
from tests.deploy.compose import Here
from tests.deploy.images import ROOT
from tests.deploy.scram import ScramCluster, bound_to
from tests.postgres import running_cluster
from tests.prediction_log.rows import scoring
from tests.state.installation import EXAMS, fill

pytestmark = [pytest.mark.slow, pytest.mark.stack]


class Server:
    """The server with its three databases, and an administrator."""

    def __init__(self, here: Here, cluster: ScramCluster) -> None:
        self.here, self.cluster = here, cluster

    def url(self, name: str) -> SecretStr:
        return SecretStr((self.here.secrets / f"{name}_database_url").read_text())

    def as_admin(self, database: str, *statements: str) -> list[str]:
        """Run statements as the administrator and return the first column of the last."""
        given = sa.make_url(log_url(self.url("mammo").get_secret_value()))
        url = given.set(username="postgres", password=self.cluster.password, database=database)
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                result = connection.execute(sa.text(statement))
            return [str(row[0]) for row in result] if result.returns_rows else []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    here = bound_to(tmp_path_factory.mktemp("compose"))
    with running_cluster() as plain:
        cluster = ScramCluster(plain, here)
        cluster.init()
        cluster.start()
        try:
            cluster.run_init_script(here)
            yield Server(here, cluster)
        finally:
            cluster.stop("immediate")


@pytest.fixture(scope="module")
def settings(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation with rows in all three databases."""
    made = Settings(
        home=tmp_path_factory.mktemp("state") / "home",
        database_url=server.url("mammo"),
        mlflow_database_url=server.url("mlflow"),
        prefect_database_url=server.url("prefect"),
        mlflow_port=9,
        _env_file=None,
    )
    fill(made)
    client = mlflow_client(made)
    client.log_metric(client.create_run(client.create_experiment("night")).info.run_id, "auc", 0.87)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
        env={**os.environ, **made.child_environment(), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    server.as_admin("prefect", "INSERT INTO flow (name) VALUES ('night')")
    return made


def counts(settings: Settings) -> dict[str, dict[str, int]]:
    urls = (settings.database_url, settings.mlflow_database_url, settings.prefect_database_url)
    names = ("log", "mlflow", "prefect")
    return {
        name: count_database(url.get_secret_value())
        for name, url in zip(names, urls, strict=True)
        if url
    }


OWNER = """SELECT rolname FROM pg_extension JOIN pg_roles ON pg_roles.oid = extowner
WHERE extname = 'pg_trgm'"""


def test_the_extension_belongs_to_its_user(server: Server) -> None:
    assert server.as_admin("prefect", OWNER) == ["prefect"]


@pytest.mark.parametrize("extension", ["prefect", "postgres", "absent"])
def test_all_three_databases_come_back(
    extension: str, settings: Settings, server: Server, tmp_path: Path
) -> None:
    """Also where an older init script gave pg_trgm to the administrator, and onto a bare one."""
    before = counts(settings)
    assert before["log"]["predictions"] == 3 * EXAMS
    assert before["mlflow"]["runs"] == 1 and before["prefect"]["flow"] == 1
    taken = take_backup(settings, tmp_path / "backup")
    assert {one["kind"] for one in taken.manifest.databases.values()} >= {"postgresql"}
    log = PredictionLog(settings.log_url)
    log.append_scoring("q-later", scoring("E-later"))
    log.close()
    server.as_admin("prefect", "INSERT INTO flow (name) VALUES ('later')")
    give_extension_to(extension, server)
    restored = restore_backup(settings, tmp_path / "backup", replace=True)
    assert not pending(settings.home), "the containers start again"
    assert counts(settings) == before
    kept = {one.name for one in (restored.aside or tmp_path).glob("databases/*.dump")}
    full = {"log.dump", "mlflow.dump", "prefect.dump"}
    assert kept == (full - {"prefect.dump"} if extension == "absent" else full), "nothing to keep"
    searched = "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%gin_trgm_ops%'"
    assert int(server.as_admin("prefect", searched)[0]) > 0, "Prefect's indexes are there, too"


def give_extension_to(owner: str, server: Server) -> None:
    """Drop the schema with all in it and make the extension anew, or not at all."""
    if owner == "prefect":
        return  # as the init script made it, with everything in place
    drop, bare = "DROP SCHEMA public CASCADE", "CREATE SCHEMA public AUTHORIZATION prefect"
    server.as_admin("prefect", drop, bare)
    if owner == "postgres":
        server.as_admin("prefect", "CREATE EXTENSION pg_trgm", "CREATE TABLE flow (name text)")
        server.as_admin("prefect", "ALTER TABLE flow OWNER TO prefect",
                        "CREATE INDEX flow_name ON flow USING gin (name gin_trgm_ops)",
                        "INSERT INTO flow VALUES ('of before')")  # fmt: skip
