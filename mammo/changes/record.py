"""What a change record says; the schema beside this file says what it must.

Everything that a reader needs to judge a change without this installation: what triggered it,
which clause permits it, on which data and by which code it was made, what the gate found and
spent, who approved, what the guard saw, and what a rollback would bring back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammo.changes.coverage import trigger_of
from mammo.changes.signing import Record, hash_of
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.database import plain
from mammo.release import Release

SCHEMA_PATH = Path(__file__).with_name("change_record.schema.json")
SCHEMA_VERSION = 1
CHANGE_RECORD = "change_record.json"
DATA_FILES = {"images": "images.parquet", "patients": "patients.parquet"}
SELECTION = "selection.parquet"
GATE_ROW = ("key", "account", "golden", "champion", "alpha", "passed")
DECISION = ("clauses", "power", "forgetting", "approval", "summary")
OWN = ("result", "recalibrated", "attempts")
"""What of an episode's evidence its run added: what came of it, not what triggered it."""


@dataclass(frozen=True)
class Origin:
    """By which code a change was made: `mammo.changes.origin`, and the model's version."""

    code: Mapping[str, Any]
    container: Mapping[str, Any]
    mlflow_version: str | None


def describe_change(
    pointer: Mapping[str, Any],
    moved: Mapping[str, Any],
    release: Release,
    log: PredictionLog,
    origin: Origin,
) -> Record:
    """Return the record of a move of the pointer, as plain data, before it is sealed.

    ``moved`` is the pointer's last move; only it, the release's manifest and the log's books
    are read, so that a deployment that was killed before its record can write it when run again.
    """
    gate = _gate_row(log, release.digest, moved.get("clause"))
    previous = pointer.get("previous")
    reason = str(moved["reason"])
    record = {
        "schema": SCHEMA_VERSION,
        **_what(release, moved),
        "previous": previous and previous["release_id"],
        "champion": pointer["release_id"],
        "rollback_target": previous and {k: previous[k] for k in ("release_id", "bento_tag")},
        "data": _data(release),
        "metrics": release.metrics,
        **{name: moved[name] for name in ("reason", "episode_key", "by", "at")},
        "trigger": trigger_of(reason),
        "statistics": _statistics(log, moved["episode_key"]),
        "clause": moved.get("clause"),
        "gate": gate and gate_table(gate),
        "ledger": gate and (gate["decision"] or {}).get("ledger"),
        "approval": _approval(log, release.digest),
        "guard": moved.get("evidence"),
        "code": dict(origin.code),
        "container": dict(origin.container),
        "mlflow_version": origin.mlflow_version,
    }
    told: Record = json.loads(json.dumps(plain(record), default=str))
    return told


def gate_table(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of a gate: its verdict by clauses, and the hash of all of it.

    Without the patients of the golden set.
    """
    decision = row["decision"] or {}
    said = {name: decision.get(name) for name in DECISION}
    facts = {name: row[name] for name in GATE_ROW}
    return {**facts, "at": row["at"].isoformat(), **said, "sha256": decision_hash(decision)}


def decision_hash(decision: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a decision as it is in the books."""
    return hash_of(json.loads(json.dumps(plain(dict(decision)), default=str)))


def _what(release: Release, moved: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "release": release.id,
        "kind": release.kind,
        "parent": release.parent,
        "digest": release.digest,
        "data_version": release.data_version,
        "bento_tag": moved["bento_tag"],
        "stage": moved["stage"],
        "percent": moved.get("percent", 0),
        "rollback": bool(moved.get("rollback")),
    }


def _data(release: Release) -> dict[str, Any]:
    """Return the digests of what it was trained on; None where the release keeps no such file."""
    kept = {name: release.files.get(file) for name, file in DATA_FILES.items()}
    return {"version": release.data_version, **kept, "selection": release.files.get(SELECTION)}


def _statistics(log: PredictionLog, key: str | None) -> dict[str, Any] | None:
    """Return what the monitor saw in the episode that led to the change."""
    episode = log.episode(key) if key else None
    if episode is None:
        return None
    names = ("stratum", "cause", "action", "opened_at", "exams_to_alarm", "started_by")
    evidence = episode["evidence"] or {}
    seen = {name: value for name, value in evidence.items() if name not in OWN}
    return {**{name: episode[name] for name in names}, "evidence": seen}


def _gate_row(
    log: PredictionLog, digest: str, clause: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return the gate that the permit rests on, or the newest verdict on the release."""
    key = (clause or {}).get("gate")
    if key is None:
        return log.verdict_on(digest)
    return next((one for one in log.gates() if one["key"] == key), None)


def _approval(log: PredictionLog, digest: str) -> dict[str, Any] | None:
    found = log.approval_of(digest)
    if found is None:
        return None
    return {name: found[name] for name in ("by", "roles", "reason")} | {
        "at": found["at"].isoformat()
    }
