"""Shards that are prepared and not yet part of the store.

A staged job is ``<job>.json`` with its rows and refusals and ``<shard>.npy``
with its pixels. The JSON is written last, so a job that has one is complete.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from mammo.data.quarantine import QuarantineRecord
from mammo.data.shards import Pixels, shard_digest, write_shard
from mammo.settings import Settings

ABANDONED_DAYS = 7
_DATES = {"acquired_on": date.fromisoformat, "outcome_known_at": datetime.fromisoformat}


@dataclass
class Staged:
    """What became of one job; ``pixels`` go with ``rows``, one to one."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    quarantined: list[QuarantineRecord] = field(default_factory=list)
    pixels: list[Pixels] = field(default_factory=list)

    def add(self, row: dict[str, Any], pixels: Pixels) -> None:
        """Add one prepared image, (height, width) uint16."""
        self.rows.append(row)
        self.pixels.append(pixels)


def directory_of(settings: Settings) -> Path:
    """Return the staging folder; it is on the store's file system, so moves are atomic."""
    return settings.data_dir / "staging"


def save(directory: Path, job: str, staged: Staged) -> None:
    """Write the shard, then the job's rows with the place of each image in it."""
    directory.mkdir(parents=True, exist_ok=True)
    if staged.pixels:
        shard = shard_digest(staged.pixels)
        write_shard(directory, shard, staged.pixels)
        for number, row in enumerate(staged.rows):
            row.update(shard=shard, shard_row=number)
    told = {"rows": staged.rows, "quarantined": [asdict(r) for r in staged.quarantined]}
    draft = directory / f".{job}.{os.getpid()}"
    draft.write_text(json.dumps(told, default=_iso))
    draft.replace(directory / f"{job}.json")


def load(directory: Path, job: str) -> Staged | None:
    """Return a complete staged job without its pixels, or None."""
    path = directory / f"{job}.json"
    if not path.exists():
        return None
    told = json.loads(path.read_text())
    rows = [{name: _revive(name, value) for name, value in row.items()} for row in told["rows"]]
    store = directory.parent / "store" / "shards"
    shards = {f"{row['shard']}.npy" for row in rows}
    if not all((directory / name).exists() or (store / name).exists() for name in shards):
        return None
    return Staged(rows, [QuarantineRecord(**record) for record in told["quarantined"]])


def discard(directory: Path, jobs: Iterable[str]) -> None:
    """Remove what is staged of these jobs, whose shards have been moved.

    What another run left here more than `ABANDONED_DAYS` ago goes too.
    """
    for job in jobs:
        (directory / f"{job}.json").unlink(missing_ok=True)
    oldest = time.time() - ABANDONED_DAYS * 86400
    for path in directory.glob("*"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _iso(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be staged")


def _revive(name: str, value: Any) -> Any:
    return _DATES[name](value) if name in _DATES and value is not None else value
