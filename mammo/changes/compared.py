"""One record beside what it speaks of: its schema, the disk, the log's books and the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from mammo.changes.plan import ChangePlan
from mammo.changes.record import decision_hash
from mammo.changes.schema import check_schema
from mammo.changes.signing import Record
from mammo.changes.terms import check_terms
from mammo.errors import MammoError
from mammo.prediction_log import PredictionLog
from mammo.release import MANIFEST, Release
from mammo.settings import Settings

How = Literal[
    "edited",
    "removed",
    "reordered",
    "unsigned",
    "key unknown",
    "schema",
    "release differs",
    "gate differs",
    "approval differs",
    "not covered",
    "copy differs",
    "not recorded",
    "cut off",
]
"""How a record is not what it should be."""


class Compared:
    """What records are compared with. Each release is hashed once."""

    def __init__(self, settings: Settings, log: PredictionLog, plan: ChangePlan) -> None:
        self._settings, self._log, self._plan = settings, log, plan
        self._gates = {one["key"]: one for one in log.gates()}
        self._releases: dict[str, str] = {}

    def check(self, record: Record) -> Iterator[tuple[How, str]]:
        """Yield what is wrong with one record, apart from its place."""
        broken = check_schema(record)
        yield from (("schema", one) for one in broken)
        if broken:
            return
        if told := self._release(record):
            yield "release differs", told
        if told := self._gate(record):
            yield "gate differs", told
        if told := self._approval(record):
            yield "approval differs", told
        yield from (("not covered", one) for one in check_terms(record, self._plan))

    def notes(self, records: Sequence[Record], unsigned: int) -> Iterator[str]:
        """Yield what a reader should know though nothing is wrong."""
        if unsigned:
            yield f"{unsigned} records are from before records were signed: they vouch for nothing"
        gone = sorted({one["release"] for one in records} - self._on_disk())
        if gone:
            yield f"no longer on the disk, hence not compared: {', '.join(gone)}"
        said = [(one.get("clause") or {}).get("plan_sha256") for one in records]
        others = sum(1 for one in said if one not in (None, self._plan.sha256))
        if others:
            yield (
                f"{others} records are of another plan than the one in force; each was checked "
                "against the clause that it holds"
            )

    def _on_disk(self) -> set[str]:
        return {path.parent.name for path in self._settings.releases_dir.glob(f"*/{MANIFEST}")}

    def _release(self, record: Record) -> str | None:
        """Return how the release on the disk is not the one that was recorded."""
        name = record["release"]
        directory = self._settings.releases_dir / name
        if not (directory / MANIFEST).is_file():
            return None
        if name not in self._releases:
            try:
                self._releases[name] = Release.read(directory, verify=True).digest
            except MammoError as error:
                self._releases[name] = error.message
        found = self._releases[name]
        if found == record["digest"]:
            return None
        if len(found) == len(record["digest"]):
            return f"{name} on the disk has digest {found[:12]}, recorded was another"
        return found

    def _gate(self, record: Record) -> str | None:
        said = record["gate"]
        if said is None:
            return None
        row = self._gates.get(said["key"])
        if row is None:
            return f"the log has no gate {said['key'][:12]}"
        facts = {name: row[name] for name in ("passed", "alpha", "account", "golden", "champion")}
        differs = [name for name, value in facts.items() if said[name] != value]
        if row["challenger_digest"] != record["digest"]:
            differs.append("release")
        if decision_hash(row["decision"] or {}) != said["sha256"]:
            differs.append("decision")
        told = f"gate {said['key'][:12]} in the log has another {', '.join(differs)}"
        return told if differs else None

    def _approval(self, record: Record) -> str | None:
        said: Mapping[str, Any] | None = record["approval"]
        if said is None:
            return None
        row = self._log.approval_of(record["digest"])
        if row is None:
            return f"the log has no approval by {said['by']}"
        differs = [name for name in ("by", "roles", "reason") if row[name] != said[name]]
        told = f"the approval in the log has another {', '.join(differs)}"
        return told if differs else None
