"""PostgreSQL in a backup: `pg_dump` of one snapshot, restored in one transaction.

The programs are PostgreSQL's own: they know every type, sequence, index and extension,
which a copy of rows does not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from mammo.backup.postgres_programs import (
    TOO_NEW,
    find_programs,
    libpq,
    refusal,
    run_program,
)
from mammo.errors import DumpFailed
from mammo.prediction_log.engine import log_url

LOST = "connection to server was lost"
"""What `psql` says when it cannot know what became of the transaction."""


class ConnectionLost(DumpFailed):
    """The server was lost while a database was replaced: it may be as it was or as in the dump."""


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
            program = find_programs("pg_dump", _major(connection))[0]
            run_program(program, url, *options, f"--snapshot={snapshot}", f"--file={target}")
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
    DumpFailed, DiskFull
        The database is as it was.
    ConnectionLost
        It may be replaced.
    """
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction")
    server, extensions = _ask_server(url)
    program, listed = _read_list(url, server, source)
    with tempfile.NamedTemporaryFile("w", prefix="mammo-restore-", suffix=".list") as wanted:
        wanted.write(_list_without(extensions, listed))
        wanted.flush()
        restore = [str(program), *options, f"--use-list={wanted.name}", "--file=-", str(source)]
        _replace(url, server, program.with_name("psql"), restore)
    try:
        return count_database(url)
    except DumpFailed as error:
        raise ConnectionLost(str(error)) from error


def _read_list(url: str, server: int, source: Path) -> tuple[Path, str]:
    """Return the `pg_restore` that reads the dump, and what it lists.

    The dump may be by a newer `pg_dump` than the server, where no other was installed.
    """
    *nearer, newest = find_programs("pg_restore", server)
    for program in nearer:
        try:
            return program, run_program(program, url, "--list", str(source))
        except DumpFailed as error:
            if TOO_NEW not in str(error):
                raise
    return newest, run_program(newest, url, "--list", str(source))


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


def _replace(url: str, server: int, psql: Path, restore: list[str]) -> None:
    """Let psql read what `pg_restore` writes, in one transaction that emptied the database before.

    pg_restore writes the COMMIT, last of all: a dump that breaks off has none, and large
    objects get no transaction of their own. The two are of one version: what a later one
    writes, an earlier one may not understand.
    """
    with tempfile.TemporaryFile() as refused, tempfile.TemporaryFile() as broken:
        reader = subprocess.Popen(
            [psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"],
            env=libpq(url), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=refused,
        )  # fmt: skip
        writer = subprocess.Popen(restore, stdout=subprocess.PIPE, stderr=broken)
        assert reader.stdin is not None and writer.stdout is not None
        with writer.stdout, suppress(BrokenPipeError):  # its own word says why it went
            reader.stdin.write(f"BEGIN;\n{EMPTIED}".encode())
            _hand_over(writer.stdout, reader.stdin, server)
        reader.communicate()
        writer.wait()
        for program, code, told in (
            ("psql", reader.returncode, refused),
            ("pg_restore", writer.returncode, broken),
        ):
            if code:
                told.seek(0)
                said = told.read().decode(errors="replace")
                failure = refusal(program, said, url)
                raise ConnectionLost(str(failure)) if code < 0 or LOST in said else failure


UNKNOWN_BEFORE = {17: b"SET transaction_timeout = 0;\n"}
"""What `pg_restore` sets from this version on, whatever the server: an older one refuses it."""
LAST_SET = b"SET client_encoding"
"""Behind the settings that might be unknown, and before any row."""


def _hand_over(script: IO[bytes], reader: IO[bytes], server: int) -> None:
    """Copy the script, without settings that the server does not know yet."""
    unknown = {line for since, line in UNKNOWN_BEFORE.items() if server < since}
    for line in script:
        if line not in unknown:
            reader.write(line)
        if line.startswith(LAST_SET):
            break
    shutil.copyfileobj(script, reader)


def _ask_server(url: str) -> tuple[int, set[str]]:
    """Return the server's major version, and the names of the database's extensions."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            names = connection.execute(sa.text("SELECT extname FROM pg_extension"))
            return _major(connection), {str(name) for name in names.scalars()}
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


def _major(connection: sa.Connection) -> int:
    return int(_scalar(connection, "SHOW server_version_num")) // 10_000


def _count_rows(connection: sa.Connection) -> dict[str, int]:
    quote = connection.dialect.identifier_preparer.quote
    names = sorted(sa.inspect(connection).get_table_names())
    return {name: int(_scalar(connection, f"SELECT count(*) FROM {quote(name)}")) for name in names}


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
