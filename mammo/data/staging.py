"""Shards that are prepared and not yet part of the store.

A staged job is ``<job>.json`` with its rows and refusals, ``<shard>.npy`` with
its pixels and ``<shard>.jsonl`` with its de-identified headers. The JSON is
written last, so a job that has one is complete.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from mammo.data.durable import (
    make_folder,
    move_file,
    storing,
    sweep_drafts,
    write_text,
)
from mammo.data.quarantine import FindKnown, QuarantineRecord, is_for_good
from mammo.data.shards import Pixels, shard_digest, write_shard
from mammo.errors import SourceInvalid
from mammo.folder_entries import sync_folder
from mammo.settings import Settings

ABANDONED_DAYS = 7
SPILL = "spill-"
"""How the folders begin, beside the store, in which queries keep what memory does not hold."""
_DATES = {"acquired_on": date.fromisoformat, "outcome_known_at": datetime.fromisoformat}


@dataclass
class Staged:
    """What became of one job; ``pixels`` and ``headers`` go with ``rows``, one to one."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    quarantined: list[QuarantineRecord] = field(default_factory=list)
    pixels: list[Pixels] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    def add(self, row: dict[str, Any], pixels: Pixels, header: str = "{}") -> None:
        """Add one prepared image, (height, width) uint16."""
        self.rows.append(row)
        self.pixels.append(pixels)
        self.headers.append(header)


def directory_of(settings: Settings) -> Path:
    """Return the staging folder; it is on the store's file system, so moves are atomic."""
    return settings.data_dir / "staging"


def headers_of(settings: Settings) -> Path:
    """Return the store's folder of de-identified headers, one file beside each shard."""
    return settings.index_path.parent / "headers"


def save(directory: Path, job: str, staged: Staged) -> None:
    """Write shard and headers, then the job's rows with the place of each image in it."""
    make_folder(directory)
    if staged.pixels:
        shard = shard_digest(staged.pixels, staged.headers)
        write_shard(directory, shard, staged.pixels)
        lines = "".join(f"{header}\n" for header in staged.headers)
        write_text(directory / f"{shard}.jsonl", lines, directory)
        for number, row in enumerate(staged.rows):
            row.update(shard=shard, shard_row=number)
    told = {"rows": staged.rows, "quarantined": [asdict(r) for r in staged.quarantined]}
    write_text(directory / f"{job}.json", json.dumps(told, default=_iso), directory)


def load(settings: Settings, job: str) -> Staged | None:
    """Return a complete staged job without its pixels, or None.

    One with files that may be read at the next try is to be done again.
    """
    path = directory_of(settings) / f"{job}.json"
    try:
        told = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    rows = [{name: _revive(name, value) for name, value in row.items()} for row in told["rows"]]
    refused = [QuarantineRecord(**record) for record in told["quarantined"]]
    whole = all(_is_there(settings, shard) for shard in {row["shard"] for row in rows})
    return Staged(rows, refused) if whole and all(map(is_for_good, refused)) else None


def is_complete(settings: Settings, job: str) -> bool:
    """Return True when a job's rows, shard and headers are in the staging folder."""
    path = directory_of(settings) / f"{job}.json"
    if not path.exists():
        return False
    return all(_is_there(settings, row["shard"]) for row in json.loads(path.read_text())["rows"])


def move_to_store(settings: Settings, shards: Iterable[str]) -> None:
    """Move staged shards into the store; they are on the disk when this returns.

    Raises
    ------
    SourceInvalid
        One is in neither place.
    """
    wanted = sorted(shards)
    for shard in wanted:
        for staged, stored in _files(settings, shard):
            # absent when an interrupted commit had moved it already
            if staged.exists():
                move_file(staged, stored.parent)
        if not _is_there(settings, shard):
            raise SourceInvalid(
                f"shard {shard} was removed from the staging folder while it was waited for: "
                "run the ingest again, it prepares what is missing"
            )
    for folder in (settings.shards_dir, headers_of(settings)):
        make_folder(folder)
        with storing(folder):
            sync_folder(folder)


def discard(settings: Settings, jobs: Iterable[str], shards: Iterable[str]) -> None:
    """Remove what is staged of these jobs; their shards were moved, or nobody wants them."""
    directory = directory_of(settings)
    waste = [directory / f"{job}.json" for job in jobs]
    waste += [staged for shard in shards for staged, _ in _files(settings, shard)]
    with storing(directory):
        for path in waste:
            path.unlink(missing_ok=True)


def discard_finished(settings: Settings, find_done: FindKnown) -> None:
    """Remove staged jobs whose every file is in the index or in quarantine.

    They are of a run that was killed after its index was written.
    """
    directory = directory_of(settings)
    jobs: dict[Path, set[str]] = {}
    for path in directory.glob("*.json"):
        with storing(directory), contextlib.suppress(FileNotFoundError):
            told = json.loads(path.read_text())
            jobs[path] = {file["sha256"] for file in (*told["rows"], *told["quarantined"])}
    done = find_done(set().union(*jobs.values()))
    with storing(directory):
        for path, files in jobs.items():
            if files.issubset(done):
                path.unlink(missing_ok=True)


def sweep(settings: Settings) -> None:
    """Remove what killed runs left: drafts, and what is over `ABANDONED_DAYS` old.

    That is staged jobs, and what queries had spilled beside the store.
    """
    directory = directory_of(settings)
    oldest = time.time() - ABANDONED_DAYS * 86400
    for path in settings.data_dir.glob(f"{SPILL}*"):
        with contextlib.suppress(FileNotFoundError):  # its query ended
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)
    with storing(directory):
        sweep_drafts(directory)
        for path in directory.glob("*"):
            with contextlib.suppress(FileNotFoundError):  # another run swept it, or took it
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _files(settings: Settings, shard: str) -> list[tuple[Path, Path]]:
    """Return where the two files of a shard are staged, and where they are stored."""
    staging = directory_of(settings)
    places = (settings.shards_dir / f"{shard}.npy", headers_of(settings) / f"{shard}.jsonl")
    return [(staging / place.name, place) for place in places]


def _is_there(settings: Settings, shard: str) -> bool:
    return all(staged.exists() or stored.exists() for staged, stored in _files(settings, shard))


def _iso(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be staged")


def _revive(name: str, value: Any) -> Any:
    return _DATES[name](value) if name in _DATES and value is not None else value
