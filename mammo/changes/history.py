"""What happened to what is in service, in order: changes, gates, approvals, episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mammo.changes.books import ChangeBooks
from mammo.changes.signing import Record, hash_of
from mammo.errors import ChangeUnknown
from mammo.evaluation.ledger import left_after
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

Kind = Literal["change", "refused", "passed", "approval", "episode"]


@dataclass(frozen=True)
class Event:
    """One thing that happened, at an instant in UTC.

    ``title`` is a few words, ``text`` a sentence. Of a change, ``number`` is its place in the
    history and ``record`` what was recorded.
    """

    at: datetime
    kind: Kind
    title: str
    text: str
    release: str | None = None
    number: int | None = None
    record: Record | None = None


def read_history(settings: Settings) -> list[Event]:
    """Return all that happened, oldest first."""
    log = PredictionLog(settings.log_url).create()
    records = [one["record"] for one in log.changes()]
    events = [
        *_changes(records),
        *_gates(log.gates()),
        *_approvals(ChangeBooks(settings.log_url).approvals()),
        *_episodes(log.episodes()),
    ]
    return sorted(events, key=lambda one: one.at)


def find_change(settings: Settings, number: int) -> Record:
    """Return a record by its place in the history, from 1, with its ``hash``.

    Raises ChangeUnknown.
    """
    records = [one["record"] for one in PredictionLog(settings.log_url).create().changes()]
    if not 1 <= number <= len(records):
        known = f"1 to {len(records)} are recorded" if records else "none is recorded yet"
        raise ChangeUnknown(f"There is no change {number}; {known}.")
    return records[number - 1] | {"hash": hash_of(records[number - 1])}


def words_of(record: Mapping[str, Any]) -> str:
    """Return a change in a few words: ``canary, 10%``."""
    if record.get("rollback"):
        return "rollback"
    stage = str(record.get("stage", "champion"))
    if stage == "canary":
        return f"canary, {record['percent']}%"
    return {"champion": "in service", "stopped": "trial ended"}.get(stage, stage)


def harm_of(record: Mapping[str, Any]) -> str | None:
    """Return ``rollback``, or ``stopped`` for a trial that did harm; None for other changes."""
    if record.get("rollback"):
        return "rollback"
    stopped = record.get("stage") == "stopped" and record.get("reason") == "harm"
    return "stopped" if stopped else None


def clause_of(record: Mapping[str, Any]) -> str:
    """Return the clauses of a change: ``C11 (C5)``, or nothing for one of before the plan."""
    said = record.get("clause") or {}
    own, move = said.get("of_release"), said.get("clause") or ""
    return f"{move} ({own})" if own and own != move else str(move)


def _changes(records: Sequence[Record]) -> Iterator[Event]:
    for number, record in enumerate(records, 1):
        said = (record.get("clause") or {}).get("text") or "No clause is recorded."
        why = f"{record.get('reason', 'manual')}, by {record.get('by', 'unknown')}"
        yield Event(
            _instant(record["at"]),
            "change",
            f"{record['release']}: {words_of(record)}",
            f"{said} Trigger: {why}.{_harm_seen(record)}",
            record["release"],
            number,
            record,
        )


def _harm_seen(record: Mapping[str, Any]) -> str:
    """Return what the guard found harmful, as a sentence to follow."""
    trial = (record.get("guard") or {}).get("guard") or {}
    harm = [str(one.get("text")) for one in trial.get("checks", ()) if one.get("verdict") == "harm"]
    return f" The guard saw {'; '.join(harm)}." if harm else ""


def _gates(rows: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    for row in rows:
        if row["passed"] is None:
            continue
        decision = row["decision"] or {}
        failed = ", ".join(decision.get("failed", ()))
        against = f"against {row['champion']}" if row["champion"] else "as the first release"
        verdict = "passed the gate" if row["passed"] else "refused by the gate"
        told = f"{against}, at alpha {row['alpha']:.3g}{_left(row)}."
        text = f"{_capital(told)} {f'Failed: {failed}.' if failed else ''}".strip()
        kind: Kind = "passed" if row["passed"] else "refused"
        title = f"{row['challenger']} {verdict}"
        yield Event(row["at"], kind, title, text, row["challenger"])


def _left(row: Mapping[str, Any]) -> str:
    left = left_after((row["decision"] or {}).get("ledger") or {}, row["passed"])
    return "" if left is None else f", {left:.3g} left"


def _approvals(rows: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    for row in rows:
        text = f"By {row['by']} ({row['roles']}): {row['reason']}"
        yield Event(row["at"], "approval", f"{row['release_id']} approved", text, row["release_id"])


def _episodes(rows: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    for row in rows:
        words = str(row["cause"]).replace("_", " ")
        text = f"{row['stratum']}: {row['action'].replace('_', ' ')}, {row['status']}."
        yield Event(row["opened_at"], "episode", f"Episode: {words}", text, row["release_id"])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _instant(text: str) -> datetime:
    """Return an instant of a record; one of before may say no zone, and is in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
