"""PostgreSQL's own programs: which of those installed is run, with what, and why it refused.

The password goes to them in the environment, never on the command line, which every user
of the machine may read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import sqlalchemy as sa

from mammo.errors import DiskFull, DumpFailed

LOCK_SECONDS = 20
"""How long a restore waits for a table that somebody still uses."""
DEBIAN = Path("/usr/lib/postgresql")
TOO_NEW = "unsupported version"
"""What `pg_restore` says of a dump that a later `pg_dump` wrote."""


def find_programs(name: str, server: int) -> list[Path]:
    """Return those that may serve a server of this major version, the best first.

    That of the server's version, then newer ones from the nearest on: they read what an
    older server holds, and write what it may not know. Of older ones alone the newest,
    which says itself what it cannot do. ``name`` is `pg_dump`, `pg_restore` or `psql`.

    Raises
    ------
    DumpFailed
        None is installed.
    """
    installed = {int(one.parts[-3]): one for one in DEBIAN.glob(f"*/bin/{name}")}
    if installed:
        able = sorted(version for version in installed if version >= server)
        return [installed[version] for version in able or [max(installed)]]
    found = shutil.which(name)
    if found is None:
        raise DumpFailed(
            f"the state lies in PostgreSQL, and {name} is not installed: install PostgreSQL's "
            "client programs (Debian: postgresql-client), at least as new as the server"
        )
    return [Path(found)]


def run_program(program: Path, url: str, *arguments: str) -> str:
    """Run a program against the database; return what it printed.

    Raises
    ------
    DumpFailed, DiskFull
    """
    done = subprocess.run(
        [program, *arguments], env=libpq(url), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise refusal(program.name, done.stderr, url)
    return done.stdout


def libpq(url: str) -> dict[str, str]:
    """Return the environment in which PostgreSQL's programs find the database."""
    given = sa.make_url(url)
    # libpq's own variables: no name of a server or user shows in the list of processes either
    named = {
        "PGHOST": given.host or given.query.get("host"),
        "PGPORT": given.port,
        "PGUSER": given.username,
        "PGPASSWORD": given.password,
        "PGDATABASE": given.database,
        "PGOPTIONS": f"-c lock_timeout={LOCK_SECONDS}s",
        "PGCONNECT_TIMEOUT": "10",
        "LC_ALL": "C",  # what the programs say is read below
    }
    return {
        **os.environ,
        **{name: str(value) for name, value in named.items() if value is not None},
    }


def refusal(program: str, told: str, url: str) -> DumpFailed | DiskFull:
    """Return the error for what a program said, with what to do where that is known."""
    line = next((one for one in told.splitlines() if "error:" in one.lower()), told.strip())
    if "No space left" in told:
        return DiskFull(f"{program}: no room for the dump: make room, then run it again")
    hint = ""
    if "server version mismatch" in told:
        hint = f"; {told.strip().splitlines()[-1].strip()}: install the client of that version"
    elif TOO_NEW in told:
        hint = ": install the client that the dump was taken with, or a newer one"
    elif "lock timeout" in told:
        hint = ": end what uses the database (`mammo down`), then again"
    return DumpFailed(f"{program} of database {sa.make_url(url).database} failed: {line}{hint}")
