"""What each worker process of the service follows, told in a small file of its own.

A service of several workers has one port, and a question to it is answered by
any of them. Each therefore writes ``<home>/workers/<pid>.json``, so that a
deployment can wait for every one.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
"""After so long without a word a worker on another host counts as dead."""
SAME_START_SECONDS = 1.0
FOLDER = "workers"


@dataclass(frozen=True)
class WorkerState:
    """One worker: who it is, and what it has in service.

    ``release`` and ``bento_tag`` are None until it serves; ``challenger`` is
    ``{release, bento_tag, stage, percent}``; ``refused`` and ``challenger_refused``
    are ``{release, code, message, at}``. ``started`` (seconds since the epoch)
    tells a process from a later one of the same ``pid``. ``at`` is ISO 8601, UTC.
    """

    pid: int
    host: str
    started: float
    release: str | None = None
    bento_tag: str | None = None
    challenger: dict[str, Any] | None = None
    refused: dict[str, Any] | None = None
    challenger_refused: dict[str, Any] | None = None
    at: str = ""

    @classmethod
    def of_this_process(cls, **following: Any) -> Self:
        """Return the state of the process that asks, which follows ``following``."""
        return cls(os.getpid(), platform.node(), _started(), **following, at=_now())

    def same_as(self, other: WorkerState | None) -> bool:
        """True when nothing but the time of the word differs."""
        return other is not None and asdict(self) | {"at": ""} == asdict(other) | {"at": ""}

    @property
    def alive(self) -> bool:
        """Whether the process lives; of another host's, whether it spoke lately."""
        if self.host != platform.node():
            age = datetime.now(UTC) - datetime.fromisoformat(self.at)
            return age.total_seconds() < STALE_SECONDS
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same: bool = abs(process.create_time() - self.started) < SAME_START_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        return False


class WorkerFile:
    """The file of this process: written when what it follows changes, and as a heartbeat."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: WorkerState | None = None
        self._written = 0.0

    def tell(self, **following: Any) -> None:
        """Write what this process follows, unless the file says so and is fresh.

        The first word also removes what workers that were killed have left. Raises
        OSError; the next try is made with the next change or heartbeat.
        """
        state = WorkerState.of_this_process(**following)
        fresh = time.monotonic() - self._written < HEARTBEAT_SECONDS
        if fresh and state.same_as(self._last):
            return
        first, self._last, self._written = self._last is None, state, time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{state.pid}"
        draft.write_text(json.dumps(asdict(state)))
        draft.replace(self._path)
        if first:
            _sweep(self._folder)

    def remove(self) -> None:
        """Say that this process follows nothing any more."""
        self._path.unlink(missing_ok=True)
        self._last, self._written = None, 0.0

    @property
    def _path(self) -> Path:
        return self._folder / f"{os.getpid()}.json"


def live_workers(folder: Path) -> list[WorkerState]:
    """Return the workers that live, by pid; files of the dead are ignored.

    A file that is gone by now, or that is no worker's, is passed over.
    """
    found = [state for _, state in _read_all(folder) if state.alive]
    return sorted(found, key=lambda one: one.pid)


def _read_all(folder: Path) -> Iterator[tuple[Path, WorkerState]]:
    for path in folder.glob("[0-9]*.json"):
        with suppress(OSError, ValueError, TypeError):
            yield path, WorkerState(**json.loads(path.read_text()))


def _sweep(folder: Path) -> None:
    for path, state in _read_all(folder):
        if not state.alive:
            path.unlink(missing_ok=True)


@cache
def _started_of(pid: int) -> float:
    return float(psutil.Process(pid).create_time())


def _started() -> float:
    return _started_of(os.getpid())  # by pid: a fork has a beginning of its own


def _now() -> str:
    return datetime.now(UTC).isoformat()
