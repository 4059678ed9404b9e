"""Copies that are whole: of files that are appended to or replaced, and of live SQLite files."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from mammo.errors import BackupInvalid, DiskFull, MammoError

BLOCK_BYTES = 2**20
TRIES = 5
BUSY_SECONDS = 30.0
NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR")
"""How SQLite's errors begin where the disk refuses."""

Moved = Callable[[int], None]
"""Called with bytes that were copied."""


def copy_whole(source: Path, target: Path, moved: Moved, *, lines: bool = False) -> tuple[str, int]:
    """Copy a file and return its SHA-256 and size; a file changed meanwhile is copied again.

    With ``lines`` the file only grows: what is there now is copied, up to the last
    whole line. Raises FileNotFoundError where the file is gone.
    """
    for _ in range(TRIES):
        with source.open("rb") as stream:
            before = os.fstat(stream.fileno())
            copied = _copy(stream.fileno(), target, before.st_size, moved)
            after = os.fstat(stream.fileno())
        if lines:
            return _cut_half_line(target)
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return copied
        moved(-copied[1])
    raise BackupInvalid(
        f"{source.name} changed during each of {TRIES} copies: end what writes to it, then again"
    )


def _copy(source: int, target: Path, size: int, moved: Moved) -> tuple[str, int]:
    """Copy ``size`` bytes, or as many as there are."""
    digest, done = hashlib.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        while block := os.read(source, min(BLOCK_BYTES, size - done)):
            digest.update(block)
            out.write(block)
            done += len(block)
            moved(len(block))
    return digest.hexdigest(), done


def _cut_half_line(path: Path) -> tuple[str, int]:
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    os.truncate(path, len(whole))
    return hashlib.sha256(whole).hexdigest(), len(whole)


def copy_sqlite(source: Path, target: Path) -> dict[str, int]:
    """Copy a live SQLite file by its online backup and return the rows of its tables.

    One read transaction sees one state of the file; in WAL mode writers go on. The copy
    is one file without journal, checked by SQLite (``PRAGMA quick_check``).

    Raises
    ------
    BackupInvalid
        SQLite finds the copy damaged, which means that the file itself is.
    """
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600))
    try:
        return _copy_live(source, target)
    except sqlite3.DatabaseError as error:
        raise _named(error, source.name) from error


def _copy_live(source: Path, target: Path) -> dict[str, int]:
    address = f"{source.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as live,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        found = [str(row[0]) for row in copy.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise BackupInvalid(f"{source.name} is damaged, SQLite says: {'; '.join(found)}")
        return count_rows(copy)


def _named(error: sqlite3.DatabaseError, name: str) -> MammoError:
    """Return what SQLite's refusal means: no room, or a file that is damaged."""
    if getattr(error, "sqlite_errorname", "").startswith(NO_ROOM):
        return DiskFull(
            f"the copy of {name} cannot be written ({error}): make room or raise the limit, then "
            "take the backup again"
        )
    return BackupInvalid(f"{name} cannot be copied, SQLite says: {error}")


def count_rows(database: sqlite3.Connection) -> dict[str, int]:
    """Return the number of rows of each table of a SQLite database."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    names = [str(row[0]) for row in database.execute(query)]
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in sorted(names)}
    return {
        name: int(database.execute(f"SELECT count(*) FROM {sql}").fetchone()[0])
        for name, sql in quoted.items()
    }


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
