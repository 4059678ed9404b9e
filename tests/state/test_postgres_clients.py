"""Which of several PostgreSQL clients dumps and restores, and what a newer one asks of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammo.backup import postgres_programs
from mammo.backup.postgres import (
    ConnectionLost,
    count_database,
    dump_database,
    restore_database,
)
from mammo.backup.postgres_programs import find_programs
from mammo.errors import DumpFailed
from mammo.prediction_log import PredictionLog
from tests.postgres import Cluster, find_binaries
from tests.prediction_log.rows import scoring

pytestmark = pytest.mark.slow

PROGRAMS = ("pg_dump", "pg_restore", "psql")
AS_17 = "| sed 's/^SET idle_in_transaction_session_timeout = 0;$/&\\nSET transaction_timeout = 0;/'"
"""pg_restore 17 asks for what no server before 17 knows, unlike that of the tests' own version."""
OLDER = "echo 'pg_restore: error: unsupported version (1.16) in file header' >&2; exit 1"
LATER = "echo 'pg_restore: error: could not read from input file: end of file' >&2; exit 1"


def install(place: Path, version: int, scripts: dict[str, str] | None = None) -> None:
    """Lay programs of a version as Debian does: those of the tests, where no script is given."""
    own = find_binaries()
    for name in PROGRAMS:
        program = place / str(version) / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        line = (scripts or {}).get(name, 'exec "$REAL" "$@"').replace("$REAL", f"{own}/{name}")
        program.write_text(f"#!/bin/bash\nset -o pipefail\n{line}\n")
        program.chmod(0o755)


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(postgres_programs, "DEBIAN", tmp_path / "postgresql")
    return tmp_path / "postgresql"


@pytest.fixture
def database(postgres: Cluster) -> str:
    url = postgres.new_database()
    PredictionLog(url).create().append_exam(scoring("E-0"))
    return url


@pytest.mark.parametrize(
    ("installed", "server", "order"),
    [
        ((15,), 15, [15]),
        ((9, 15, 17), 15, [15, 17]),
        ((17, 18), 15, [17, 18]),
        ((15, 16, 18), 17, [18]),
        ((13, 14), 17, [14]),
    ],
    ids=["its own", "its own before newer", "the nearest newer", "no older", "an older says why"],
)
def test_the_client_of_the_servers_version_comes_first(
    debian: Path, installed: tuple[int, ...], server: int, order: list[int]
) -> None:
    for version in installed:
        install(debian, version)
    found = find_programs("pg_restore", server)
    assert found == [debian / str(one) / "bin" / "pg_restore" for one in order]


def test_no_client_is_installed(debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(debian))
    with pytest.raises(DumpFailed, match="pg_dump is not installed"):
        find_programs("pg_dump", 15)


def test_a_newer_client_restores_on_an_older_server(
    debian: Path, database: str, tmp_path: Path
) -> None:
    install(debian, 17, {"pg_restore": f'"$REAL" "$@" {AS_17}'})
    rows, _ = dump_database(database, tmp_path / "old.dump")
    PredictionLog(database).append_exam(scoring("E-1"))
    assert restore_database(database, tmp_path / "old.dump") == rows == count_database(database)


def test_a_dump_of_a_newer_client_is_read_by_one(
    debian: Path, database: str, tmp_path: Path
) -> None:
    """As backups were taken that chose the newest client: its format is not that of the server."""
    install(debian, 15, {"pg_restore": OLDER})
    install(debian, 17, {"pg_restore": f'"$REAL" "$@" {AS_17}'})
    rows, _ = dump_database(database, tmp_path / "old.dump")
    assert restore_database(database, tmp_path / "old.dump") == rows


@pytest.mark.parametrize(
    ("script", "says"),
    [(OLDER, "install the client that the dump was taken with"), (LATER, "end of file$")],
)
def test_a_dump_that_no_client_reads(
    debian: Path, database: str, tmp_path: Path, script: str, says: str
) -> None:
    install(debian, 15, {"pg_restore": script})
    rows, _ = dump_database(database, tmp_path / "old.dump")
    with pytest.raises(DumpFailed, match=says):
        restore_database(database, tmp_path / "old.dump")
    assert count_database(database) == rows


LOST = (
    '{ cat; echo \'SELECT pg_terminate_backend(pg_backend_pid());\'; echo COMMIT; } | "$REAL" "$@"'
)


def test_a_server_that_goes_away_leaves_it_open(
    debian: Path, database: str, tmp_path: Path
) -> None:
    install(debian, 15, {"psql": LOST})
    dump_database(database, tmp_path / "old.dump")
    with pytest.raises(ConnectionLost):
        restore_database(database, tmp_path / "old.dump")
