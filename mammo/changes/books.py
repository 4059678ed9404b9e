"""The table of change records: each move once, each record after the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from mammo.prediction_log.database import Database, plain
from mammo.prediction_log.tables import APPROVALS, CHANGES

Record = dict[str, Any]


class ChangeBooks(Database):
    """The table ``changes`` (`PredictionLog.changes` reads the same rows), and all approvals."""

    def approvals(self) -> list[dict[str, Any]]:
        """Return every person's approval, oldest first."""
        return self._rows(sa.select(APPROVALS).order_by(APPROVALS.c.id))

    def write_once(self, at: str, seal: Callable[[Sequence[Record]], Record]) -> Record:
        """Return the record of the move at this instant; where there is none, seal and append it.

        ``seal`` sees all records before, oldest first, within the transaction: of two processes
        that race, one writes, and no two records follow the same one.
        """
        with self._writing(CHANGES) as connection:
            rows = connection.execute(sa.select(CHANGES.c.record).order_by(CHANGES.c.id))
            before: list[Record] = list(rows.scalars())
            known = next((one for one in before if one.get("at") == at), None)
            if known is not None:
                return known
            record: Record = seal(before)
            if plain(record) != record:
                raise TypeError("a record is plain data before it is sealed, see `plain`")
            values = {"release_id": record["release"], "record": record, "at": datetime.now(UTC)}
            connection.execute(CHANGES.insert().values(**values))
        return record
