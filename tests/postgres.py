"""A real PostgreSQL server in a folder of its own, for the tests of what is kept in SQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.servers import free_port

DATABASE, PREFIX = "mammo", "mammo-postgres-"
MEMORY, MEMORY_MB = Path("/dev/shm"), 300
"""A file system in memory, and what must be free there: thousands of small files go quickly."""
OWNER = "postgres"
"""The account that runs the server where the tests run as root, which PostgreSQL refuses."""


def find_binaries() -> Path | None:
    """Return the folder of the newest initdb and pg_ctl, or None where there are none."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name))
    on_path = [Path(found).parent for found in [shutil.which("pg_ctl")] if found]
    return next((one for one in [*reversed(known), *on_path] if (one / "initdb").exists()), None)


class Cluster:
    """One server on a free port of the loopback; `stop` and `start` as often as wanted."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder = binaries, folder
        self.data = folder / "data"
        self.port = free_port()
        self._made = False

    def init(self) -> None:
        """Make the cluster; connections of the loopback need no password."""
        if os.getuid() == 0:
            shutil.chown(self.folder, OWNER, pwd.getpwnam(OWNER).pw_gid)
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self._run("initdb", "--username=mammo", *options, f"--pgdata={self.data}")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        listen = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        # without flushing, what a killed server wrote is still there: the machine goes on
        small = "-c shared_buffers=16MB -c max_connections=40 -c fsync=off"
        log = self.folder / "server.log"
        self._run(
            "pg_ctl", "start", "--wait", f"--pgdata={self.data}", f"--log={log}",
            f"--options={listen} {small}",
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; ``immediate`` is a crash: it recovers from its journal at `start`."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={mode}", f"--pgdata={self.data}")

    def new_database(self) -> str:
        """Return the URL of an empty database: what an earlier test left there is dropped.

        A database a test would be three hundred files each time.
        """
        if not self._made:
            self.execute(f"CREATE DATABASE {DATABASE}")
            self._made = True
        # who still reads would hold the lock that dropping needs
        others = f"WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid()"
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity {others}")
        self.execute("DROP SCHEMA public CASCADE", DATABASE)
        self.execute("CREATE SCHEMA public", DATABASE)
        return self.url(DATABASE)

    def url(self, database: str) -> str:
        """Return the URL of a database, as `MAMMO_DATABASE_URL` takes it."""
        return f"postgresql://mammo@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[sa.Row[tuple[object]]]:
        """Run a statement as the owner of the server, outside of a transaction."""
        url = sa.make_url(self.url(database)).set(drivername="postgresql+pg8000")
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            result = connection.execute(sa.text(statement))
            return list(result) if result.returns_rows else []

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", OWNER, "--", *command]
        # pg_ctl's child keeps an inherited pipe open, and waiting for its end never ends
        with (self.folder / f"{program}.out").open("wb") as out:
            done = subprocess.run(command, stdout=out, stderr=out, cwd=self.folder, check=False)
        if done.returncode:
            told = (self.folder / f"{program}.out").read_text(errors="replace")
            raise RuntimeError(f"{program} ended with {done.returncode}: {told}")


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Give a running server; skips where PostgreSQL is not installed."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no postgres server is installed (initdb and pg_ctl)")
    if os.getuid() == 0 and not _has_owner():
        pytest.skip(f"postgres refuses to run as root, and there is no account {OWNER}")
    sweep_orphans(binaries)
    # the owner cannot enter pytest's folders
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_place()))
    cluster = Cluster(binaries, folder)
    try:
        cluster.init()
        cluster.start()
        yield cluster
    finally:
        if (cluster.data / "postmaster.pid").exists():
            cluster.stop("immediate")
        shutil.rmtree(folder)


def sweep_orphans(binaries: Path) -> None:
    """Stop and remove the servers of test runs that were killed; their folders name the run."""
    for folder in (_place() or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        run = folder.name.removeprefix(PREFIX).split("-")[0]
        if run.isdigit() and not _lives(int(run)):
            orphan = Cluster(binaries, folder)
            with suppress(RuntimeError, FileNotFoundError):  # another run sweeps as well
                if (orphan.data / "postmaster.pid").exists():
                    orphan.stop("immediate")
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _place() -> Path | None:
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_MB * 2**20
    return MEMORY if roomy else None


def _has_owner() -> bool:
    try:
        pwd.getpwnam(OWNER)
    except KeyError:
        return False
    return shutil.which("runuser") is not None
