"""What the outbox keeps in ``gateway.sqlite``: deliveries and how their destinations do.

No name and no original identifier is in a column; the bytes, which have them, lie in
``<home>/gateway/outbox`` until every delivery of them is over. The SOP Instance UID
is the report's own.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

DeliveryState = Literal["waiting", "sending", "sent", "stuck", "replaced", "dropped"]
"""To be sent; an attempt is on its way; arrived; refused for good, a person must look; a newer
scoring of the study came before it was sent; given up by a person."""
STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)
OPEN = ("waiting", "sending", "stuck")
"""States in which the bytes are still needed."""
OUTBOX_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    study TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    destination TEXT NOT NULL,
    sop_class TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    file TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    uncertain INTEGER NOT NULL DEFAULT 0,
    code TEXT,
    text TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    put_at REAL NOT NULL,
    attempt_at REAL,
    next_try_at REAL NOT NULL,
    over_at REAL,
    UNIQUE (destination, sop_instance)
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, destination, next_try_at);
CREATE INDEX IF NOT EXISTS deliveries_by_study ON deliveries (study, version);
CREATE TABLE IF NOT EXISTS destinations (
    name TEXT PRIMARY KEY,
    failures INTEGER NOT NULL DEFAULT 0,
    next_try_at REAL NOT NULL DEFAULT 0,
    code TEXT,
    text TEXT NOT NULL DEFAULT '',
    reached_at REAL
);
"""


@dataclass(frozen=True)
class Delivery:
    """One report on its way to one destination; times are Unix seconds.

    ``uncertain`` is True when an attempt was begun whose end nobody knows: the report
    may have arrived. ``file`` is relative to the outbox's folder, "" once it is removed.
    """

    number: int
    study: str
    version: int
    kind: str
    destination: str
    sop_class: str
    sop_instance: str
    file: str
    bytes: int
    state: DeliveryState
    uncertain: bool
    code: str | None
    text: str
    attempts: int
    put_at: float
    attempt_at: float | None
    next_try_at: float
    over_at: float | None

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Delivery:
        """Build from a row of ``deliveries``."""
        return cls(**dict(row) | {"uncertain": bool(row["uncertain"])})

    def to_json(self) -> dict[str, Any]:
        """Return what may be shown; times as ISO 8601 in UTC."""
        told = asdict(self)
        times = ("put_at", "attempt_at", "next_try_at", "over_at")
        shown = {name: value for name, value in told.items() if name not in ("file", "sop_class")}
        return shown | {name: _time(told[name]) for name in times}


@dataclass(frozen=True)
class DestinationLine:
    """How a destination does: failures in a row, the last one's code, when it is tried next."""

    name: str
    failures: int = 0
    next_try_at: float = 0.0
    code: str | None = None
    text: str = ""
    reached_at: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what JSON has of it; times as ISO 8601 in UTC."""
        times = {"next_try_at": _time(self.next_try_at), "reached_at": _time(self.reached_at)}
        return asdict(self) | times


def _time(seconds: float | None) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
