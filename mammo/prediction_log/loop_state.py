"""What readers, the monitor and the flows remember: watermarks, episodes, changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from mammo.prediction_log.database import Database, plain
from mammo.prediction_log.tables import CHANGES, EPISODES, WATERMARKS


@dataclass(frozen=True)
class Watermark:
    """How far a reader has read (``last_id``, 0 = nothing) and what it remembers."""

    last_id: int = 0
    state: dict[str, Any] = field(default_factory=dict)


class LoopState(Database):
    """The tables ``watermarks``, ``episodes`` and ``changes``."""

    def watermark(self, name: str) -> Watermark:
        """Return how far the reader ``name`` has read; zero and no state at first."""
        found = self._rows(sa.select(WATERMARKS).where(WATERMARKS.c.name == name))
        return Watermark(found[0]["last_id"], found[0]["state"]) if found else Watermark()

    def set_watermark(self, name: str, last_id: int, state: Mapping[str, Any]) -> None:
        """Store position and state of the reader ``name`` in one step."""
        values = {"last_id": int(last_id), "state": plain(dict(state))}
        with self._writing(WATERMARKS) as connection:
            change = WATERMARKS.update().where(WATERMARKS.c.name == name).values(**values)
            if connection.execute(change).rowcount == 0:
                connection.execute(WATERMARKS.insert().values(name=name, **values))

    # episodes

    def open_episode(self, key: str, *, settles: Collection[str] = (), **values: Any) -> bool:
        """Open a drift episode; False, and nothing written, if the key exists already.

        ``values`` are columns of ``episodes``: stratum, cause and action at least.
        ``settles`` are keys of questions that it answers: those open are ``settled`` with
        it or not at all, as nobody who finds it open later would settle them.
        """
        row = {"key": key, "opened_at": datetime.now(UTC), "status": "open", **plain(values)}
        with self._writing(EPISODES) as connection:
            known = sa.select(EPISODES.c.id).where(EPISODES.c.key == key)
            if connection.execute(known).first() is not None:
                return False
            connection.execute(EPISODES.insert().values(**row))
            asked = EPISODES.c.key.in_(list(settles)) & (EPISODES.c.status == "open")
            connection.execute(EPISODES.update().where(asked).values(status="settled"))
        return True

    def update_episode(
        self, key: str, *, if_status: str | None = None, if_run: str | None = None, **values: Any
    ) -> bool:
        """Change columns of an episode; True if it was there (and in ``if_status``).

        ``update_episode(key, if_status="open", status="acting")`` lets exactly one
        of several callers go on. ``if_run`` changes it only while it is that flow
        run's: who read it as another's must not take it from its new owner.
        """
        change = EPISODES.update().where(EPISODES.c.key == key).values(**plain(values))
        if if_status is not None:
            change = change.where(EPISODES.c.status == if_status)
        if if_run is not None:
            change = change.where(EPISODES.c.flow_run_id == if_run)
        with self._writing(EPISODES) as connection:
            return connection.execute(change).rowcount == 1

    def episode(self, key: str) -> dict[str, Any] | None:
        """Return one episode, or None."""
        found = self._rows(sa.select(EPISODES).where(EPISODES.c.key == key))
        return found[0] if found else None

    def episodes(self, status: str | None = None) -> list[dict[str, Any]]:
        """Return the episodes (of one status), oldest first."""
        query = sa.select(EPISODES).order_by(EPISODES.c.id)
        if status is not None:
            query = query.where(EPISODES.c.status == status)
        return self._rows(query)

    # changes

    def add_change(self, release_id: str, record: Mapping[str, Any]) -> None:
        """Append the record of a release put into service."""
        row = {"release_id": release_id, "record": plain(dict(record)), "at": datetime.now(UTC)}
        with self._writing(CHANGES) as connection:
            connection.execute(CHANGES.insert().values(**row))

    def changes(self) -> list[dict[str, Any]]:
        """Return the changes (release_id, record, at), oldest first."""
        return self._rows(sa.select(CHANGES).order_by(CHANGES.c.id))
