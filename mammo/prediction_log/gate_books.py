"""The books of the gate and of rollout: looks at the golden set, approvals, failures on trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from mammo.prediction_log.database import Database, plain
from mammo.prediction_log.tables import APPROVALS, GATES, TRIAL_FAILURES

Spend = Callable[[Sequence[dict[str, Any]]], Mapping[str, Any]]
"""From the gates so far, oldest first, to ``account``, ``alpha`` and ``golden_patients``."""


class GateBooks(Database):
    """The tables ``gates``, ``approvals`` and ``trial_failures``."""

    def open_gate(self, key: str, spend: Spend, **values: Any) -> dict[str, Any]:
        """Return the gate of this key; where there is none, spend for it and write it first.

        ``spend`` sees all gates before and is asked within the transaction: two processes
        never spend the same. ``values`` are golden, challenger, challenger_digest, champion.
        What is spent is on the disk before anybody looks at a golden score.
        """
        with self._writing(GATES) as connection:
            known = sa.select(GATES).where(GATES.c.key == key)
            if found := connection.execute(known).mappings().first():
                return dict(found)
            before = connection.execute(sa.select(GATES).order_by(GATES.c.id)).mappings().all()
            spent = plain(dict(spend([dict(one) for one in before])))
            row = {"key": key, "at": datetime.now(UTC), **plain(values), **spent}
            connection.execute(GATES.insert().values(**row))
            return dict(connection.execute(known).mappings().one())

    def settle_gate(self, key: str, *, passed: bool, decision: Mapping[str, Any]) -> None:
        """Write the verdict of a gate that was opened; one that has a verdict keeps it."""
        values = {"passed": passed, "decision": plain(dict(decision))}
        change = GATES.update().where(GATES.c.key == key, GATES.c.passed.is_(None))
        with self._writing(GATES) as connection:
            connection.execute(change.values(**values))

    def gates(self) -> list[dict[str, Any]]:
        """Return every gate, oldest first."""
        return self._rows(sa.select(GATES).order_by(GATES.c.id))

    def verdict_on(self, digest: str) -> dict[str, Any] | None:
        """Return the newest settled gate of the release with this digest, or None."""
        query = sa.select(GATES).where(GATES.c.challenger_digest == digest)
        query = query.where(GATES.c.passed.is_not(None)).order_by(GATES.c.id.desc()).limit(1)
        return next(iter(self._rows(query)), None)

    def add_approval(self, digest: str, **values: Any) -> bool:
        """Write a person's approval of the release with this digest; False where there is one.

        ``values`` are release_id, by, roles (comma-separated) and reason.
        """
        with self._writing(APPROVALS) as connection:
            known = sa.select(APPROVALS.c.id).where(APPROVALS.c.digest == digest)
            if connection.execute(known).first() is not None:
                return False
            row = {"digest": digest, "at": datetime.now(UTC), **values}
            connection.execute(APPROVALS.insert().values(**row))
        return True

    def approval_of(self, digest: str) -> dict[str, Any] | None:
        """Return the approval of the release with this digest, or None."""
        return next(
            iter(self._rows(sa.select(APPROVALS).where(APPROVALS.c.digest == digest))), None
        )

    def add_failure(self, release_id: str, role: str, code: str, request_id: str | None) -> None:
        """Write that a release on trial could not score an exam; ``code`` says how."""
        row = {"release_id": release_id, "role": role, "code": code, "request_id": request_id}
        with self._writing(TRIAL_FAILURES) as connection:
            connection.execute(TRIAL_FAILURES.insert().values(**row, at=datetime.now(UTC)))

    def failures(self, release_id: str, since: datetime) -> list[dict[str, Any]]:
        """Return the failures of a release on trial since an instant, oldest first."""
        query = sa.select(TRIAL_FAILURES).where(TRIAL_FAILURES.c.release_id == release_id)
        query = query.where(TRIAL_FAILURES.c.at >= since).order_by(TRIAL_FAILURES.c.id)
        return self._rows(query)
