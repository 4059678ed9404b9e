"""PostgreSQL in a backup: `pg_dump` of one snapshot, restored in one transaction.

The programs are PostgreSQL's own: they know every type, sequence, index and extension,
which a copy of rows does not. The password goes to them in the environment, never on the
command line, which every user of the machine may read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mammo.errors import DiskFull, DumpFailed
from mammo.prediction_log.engine import log_url

LOCK_SECONDS = 20
"""How long a restore waits for a table that somebody still uses."""
DEBIAN = Path("/usr/lib/postgresql")


def is_postgres(url: str | None) -> bool:
    """True for the URL of a PostgreSQL database."""
    return bool(url) and sa.make_url(url or "").get_backend_name() == "postgresql"


def dump_database(url: str, target: Path) -> tuple[dict[str, int], str]:
    """Write a dump in `pg_dump`'s custom format; return the rows of each table and the version.

    The rows are counted in the very snapshot that is dumped.

    Raises
    ------
    DumpFailed
        No `pg_dump`, one older than the server, or the server refuses.
    DiskFull
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
            snapshot = str(_scalar(connection, "SELECT pg_export_snapshot()"))
            version = str(_scalar(connection, "SHOW server_version")).split()[0]
            rows = _count_rows(connection)
            options = ("--format=custom", "--no-owner", "--no-privileges")
            _run("pg_dump", url, *options, f"--snapshot={snapshot}", f"--file={target}")
    except sa.exc.DBAPIError as error:
        raise DumpFailed(f"the database does not answer: {_first_line(error.orig)}") from error
    finally:
        engine.dispose()
    target.chmod(0o600)
    return rows, version


def restore_database(url: str, source: Path) -> dict[str, int]:
    """Replace what is in the database by a dump, in one transaction; return the rows.

    The schema ``public`` is emptied (`EMPTIED`), also of what the dump does not know: tables
    of a later version would meet its migrations again, and may refer to those replaced.
    An extension that is there already stays: it may belong to the server's administrator,
    and then the database's user can neither drop it nor comment on it.
    Killed or failed, the database is as it was.

    Raises
    ------
    DumpFailed
    """
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction")
    with tempfile.NamedTemporaryFile("w", prefix="mammo-restore-", suffix=".list") as wanted:
        wanted.write(
            _list_without(_extensions(url), _run("pg_restore", url, "--list", str(source)))
        )
        wanted.flush()
        _replace(url, [*options, f"--use-list={wanted.name}", "--file=-", str(source)])
    return count_database(url)


EMPTIED = """
SET client_min_messages = warning;
DO $$ DECLARE drops text[]; one text; BEGIN
  SELECT array_agg(found.sql ORDER BY found.place) INTO drops FROM (
    SELECT 1 AS place, format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure) AS sql
      FROM pg_proc p WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
           SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
              AND d.deptype IN ('e', 'i'))
    UNION ALL
    SELECT 2, format('DROP %s IF EXISTS public.%I CASCADE', CASE relkind
             WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
             WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, relname)
      FROM pg_class c WHERE relnamespace = 'public'::regnamespace
       AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND NOT EXISTS (
           SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
              AND d.objsubid = 0 AND (d.deptype = 'e' OR d.deptype = 'i' AND c.relkind <> 'c'))
    UNION ALL
    SELECT 3, format('DROP TYPE IF EXISTS public.%I CASCADE', typname)
      FROM pg_type t WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd', 'r')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass
              AND d.objid = t.oid AND d.deptype = 'e')
  ) AS found;
  FOREACH one IN ARRAY coalesce(drops, '{}') LOOP EXECUTE one; END LOOP;
END $$;
"""
"""Drops tables, views, sequences, types and routines of ``public`` that no extension owns.

All names are told before the first goes: a routine cannot be named when its types are gone.
"""


def _replace(url: str, restore: list[str]) -> None:
    """Let psql read what `pg_restore` writes, in one transaction that emptied the database before.

    pg_restore writes the COMMIT, last of all: a dump that breaks off has none, and large
    objects get no transaction of their own.
    """
    with tempfile.TemporaryFile() as refused, tempfile.TemporaryFile() as broken:
        reader = subprocess.Popen(
            [find_program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"],
            env=_libpq(url), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=refused,
        )  # fmt: skip
        assert reader.stdin is not None
        with suppress(BrokenPipeError):  # its own word says why it went
            reader.stdin.write(f"BEGIN;\n{EMPTIED}".encode())
            reader.stdin.flush()
        writer = subprocess.run(
            [find_program("pg_restore"), *restore], stdout=reader.stdin, stderr=broken, check=False
        )
        reader.communicate()
        for program, code, told in (
            ("psql", reader.returncode, refused),
            ("pg_restore", writer.returncode, broken),
        ):
            if code:
                told.seek(0)
                _refuse(program, told.read().decode(errors="replace"), _name(url))


def _extensions(url: str) -> set[str]:
    """Return the names of the extensions that the database has."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            names = connection.execute(sa.text("SELECT extname FROM pg_extension"))
            return {str(name) for name in names.scalars()}
    except sa.exc.DBAPIError as error:
        raise DumpFailed(f"the database does not answer: {_first_line(error.orig)}") from error
    finally:
        engine.dispose()


ABOUT_EXTENSION = re.compile(r"\d+; \d+ \d+ (?:EXTENSION -|COMMENT - EXTENSION) (\S+)")
"""A line of `pg_restore --list`: number; catalogue and object, kind, schema, name, owner."""


def _list_without(extensions: set[str], listed: str) -> str:
    """Return the list of a dump's contents without these extensions and their comments."""
    found = ((line, ABOUT_EXTENSION.match(line)) for line in listed.splitlines(keepends=True))
    return "".join(line for line, about in found if not about or about[1] not in extensions)


def count_database(url: str) -> dict[str, int]:
    """Return the rows of each table of the schema ``public``; none for an empty database.

    Raises
    ------
    DumpFailed
        The server does not answer.
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            return _count_rows(connection)
    except sa.exc.DBAPIError as error:
        raise DumpFailed(f"the database does not answer: {_first_line(error.orig)}") from error
    finally:
        engine.dispose()


def _engine(url: str) -> sa.Engine:
    return sa.create_engine(log_url(url), poolclass=sa.pool.NullPool, hide_parameters=True)


def _scalar(connection: sa.Connection, query: str) -> Any:
    return connection.execute(sa.text(query)).scalar_one()


def _count_rows(connection: sa.Connection) -> dict[str, int]:
    quote = connection.dialect.identifier_preparer.quote
    names = sorted(sa.inspect(connection).get_table_names())
    return {name: int(_scalar(connection, f"SELECT count(*) FROM {quote(name)}")) for name in names}


def _run(program: str, url: str, *arguments: str) -> str:
    """Run a program of PostgreSQL against the database; return what it printed."""
    command = [find_program(program), *arguments]
    done = subprocess.run(command, env=_libpq(url), capture_output=True, text=True, check=False)
    if done.returncode:
        _refuse(program, done.stderr, _name(url))
    return done.stdout


def _name(url: str) -> str:
    return sa.make_url(url).database or ""


def _libpq(url: str) -> dict[str, str]:
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
    }
    return {
        **os.environ,
        **{name: str(value) for name, value in named.items() if value is not None},
    }


def _refuse(program: str, told: str, database: str) -> None:
    line = next((one for one in told.splitlines() if "error:" in one.lower()), told.strip())
    if "No space left" in told:
        raise DiskFull(f"{program}: no room for the dump: make room, then run it again")
    hint = ""
    if "server version mismatch" in told:
        hint = f"; {told.strip().splitlines()[-1].strip()}: install the client of that version"
    elif "lock timeout" in told:
        hint = ": end what uses the database (`mammo down`), then again"
    raise DumpFailed(f"{program} of database {database} failed: {line}{hint}")


def find_program(name: str) -> str:
    """Return the newest `pg_dump`, `pg_restore` or `psql`: the newest reads every older server.

    Raises
    ------
    DumpFailed
        None is installed.
    """
    newest = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda one: int(one.parts[-3]))
    found = str(newest[-1]) if newest else shutil.which(name)
    if found is None:
        raise DumpFailed(
            f"the state lies in PostgreSQL, and {name} is not installed: install PostgreSQL's "
            "client programs (Debian: postgresql-client), at least as new as the server"
        )
    return found


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
