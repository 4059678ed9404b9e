"""What a database says when it cannot: told apart from rows that it will never take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from mammo.errors import DiskFull, LogUnavailable, MammoError

SQLITE_FULL = 13
POSTGRES_DISK_FULL = "53100"
UNAVAILABLE = (
    "08",
    "25",
    "28",
    "3D",
    "40",
    "42501",
    "42703",
    "42P01",
    "53",
    "55",
    "57",
    "58",
    "XX",
)
"""How SQLSTATEs (PostgreSQL, appendix A) begin that tell of the server, its locks and rights,
or of tables and columns that are not made yet. Classes 22 and 23 tell of the row."""
ADVICE = "nothing was changed; try again when the database is back"


@contextmanager
def told() -> Iterator[None]:
    """Give a database that is gone, locked, full or refusing its code.

    What is wrong with a row stays an error of SQLAlchemy.

    Raises
    ------
    LogUnavailable, DiskFull
    """
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise refusal from error


def refusal_of(error: Exception) -> MammoError | None:
    """Return what to tell of the database, or None where the row is at fault."""
    if isinstance(error, OSError | sa.exc.TimeoutError):
        return LogUnavailable(f"The prediction log does not answer ({_kind(error)}); {ADVICE}.")
    if not isinstance(error, sa.exc.DBAPIError):
        return None
    number = getattr(error.orig, "sqlite_errorcode", None)
    return _of_server(error) if number is None else _of_sqlite(error, number)


def _of_sqlite(error: sa.exc.DBAPIError, number: int) -> MammoError | None:
    if number & 0xFF == SQLITE_FULL:
        return _full()
    if isinstance(error, sa.exc.IntegrityError | sa.exc.DataError):
        return None
    return LogUnavailable(f"The prediction log refuses ({error.orig}); {ADVICE}.")


def _of_server(error: sa.exc.DBAPIError) -> MammoError | None:
    state = _state(error.orig)
    if state == POSTGRES_DISK_FULL:
        return _full()
    if state and not state.startswith(UNAVAILABLE):
        return None
    if not state and not isinstance(error, sa.exc.InterfaceError):
        return None
    # the server's own text may quote a row or name a host; its code may not
    why = f"SQLSTATE {state}" if state else "no connection"
    return LogUnavailable(f"The prediction log does not answer ({why}); {ADVICE}.")


def _state(error: Any) -> str:
    """Return the five characters of SQLSTATE that pg8000 (or another driver) gives."""
    given = error.args[0] if getattr(error, "args", None) else None
    found = given.get("C") if isinstance(given, dict) else getattr(error, "sqlstate", None)
    return str(found or "")


def _kind(error: Exception) -> str:
    return "no answer in time" if isinstance(error, sa.exc.TimeoutError) else type(error).__name__


def _full() -> DiskFull:
    return DiskFull("The disk of the prediction log is full; nothing was written: make room.")
