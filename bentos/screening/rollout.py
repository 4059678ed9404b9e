"""Which release answers: follows the pointer and swaps without a failed request.

A new release is loaded beside the old one, checks its own golden input, and
takes over in one assignment; requests under way finish on the release they
began with. A release that refuses to load changes nothing: the old one stays
and the refusal is told at ``/readyz`` and ``/v1/release``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from mammo.errors import MammoError, NotReady, ReleaseNotFound
from mammo.pointer import read_pointer
from mammo.release import MANIFEST, Release
from mammo.screening import ExamReport

POLL_SECONDS = 0.5
_log = logging.getLogger("mammo.service")


class Scorer(Protocol):
    """What the service needs of a `Screener`."""

    release: Release

    def score_files(self, files: list[tuple[str, bytes]], *, key: bytes, site: str) -> ExamReport:
        """Score one exam."""
        ...


Load = Callable[[Path], Scorer]


@dataclass(frozen=True)
class InService:
    """A loaded release and where it came from; ``bento_tag`` is None when embedded."""

    screener: Scorer
    directory: Path
    bento_tag: str | None
    previous: str | None
    since: datetime

    @property
    def release(self) -> Release:
        """The manifest of the release."""
        return self.screener.release


@dataclass(frozen=True)
class Refusal:
    """A release that the pointer names and that would not load."""

    release: str
    code: str
    message: str
    at: datetime


class Rollout:
    """The release in service.

    Parameters
    ----------
    pointer_path
        The durable pointer; it may not exist yet.
    load
        Loads and checks a release folder, `Screener.load` in production.
    embedded
        The release inside the Bento, served when there is no pointer.
    """

    def __init__(self, pointer_path: Path, load: Load, embedded: Path | None = None) -> None:
        self._pointer_path = pointer_path
        self._load = load
        self._embedded = embedded
        self._asked: tuple[Any, ...] | None = None
        self._lock = threading.Lock()
        self.current: InService | None = None
        self.refused: Refusal | None = None
        self.swaps = 0

    def require(self) -> InService:
        """Return what is in service, or raise NotReady."""
        if self.current is None:
            raise NotReady(
                "No release is in service yet. `mammo deploy` puts one into service."
                if self.refused is None
                else f"Release {self.refused.release} was refused: {self.refused.message}"
            )
        return self.current

    async def follow(self) -> None:
        """Look at the pointer every half second until cancelled."""
        while True:
            await asyncio.to_thread(self.check)
            await asyncio.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Look at the pointer once and load what it names, if that is new."""
        with self._lock:
            wanted = self._wanted()
            if wanted is None or _identity(wanted) == self._asked:
                return
            self._asked = _identity(wanted)
            if not self._serves(wanted):
                self._take(wanted)
            if self.current is None and wanted.get("bento_tag"):
                self._take_embedded()

    def _wanted(self) -> dict[str, Any] | None:
        try:
            pointer = read_pointer(self._pointer_path)
        except (OSError, ValueError) as error:
            _log.error("the pointer cannot be read: %s", type(error).__name__)
            return None
        return pointer or self._embedded_pointer()

    def _embedded_pointer(self) -> dict[str, Any] | None:
        if self._embedded is None or not (self._embedded / MANIFEST).is_file():
            return None
        release = Release.read(self._embedded)
        return {"release_id": release.id, "release_dir": str(self._embedded), "bento_tag": None}

    def _serves(self, wanted: dict[str, Any]) -> bool:
        now = self.current
        same = now is not None and (now.release.id, str(now.directory)) == _release(wanted)
        if same:
            self.refused = None
        return same

    def _take(self, wanted: dict[str, Any]) -> None:
        """Load the wanted release and put it into service, or note why not."""
        release_id, directory = _release(wanted)
        try:
            screener = self._load(Path(directory))
            if screener.release.id != release_id:
                raise ReleaseNotFound(
                    f"The pointer names {release_id}, its folder holds {screener.release.id}."
                )
        except MammoError as error:
            self._refuse(release_id, error.code, error.message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old release must stay
            self._refuse(release_id, "INTERNAL", f"It could not be loaded: {type(error).__name__}.")
        else:
            previous = (wanted.get("previous") or {}).get("release_id")
            self.current = InService(
                screener, Path(directory), wanted.get("bento_tag"), previous, datetime.now(UTC)
            )
            self.refused = None
            self.swaps += 1
            _log.info("release %s is in service", release_id)

    def _take_embedded(self) -> None:
        """Serve the embedded release when the pointed one is refused at the start."""
        embedded, refused = self._embedded_pointer(), self.refused
        if embedded is not None:
            self._take(embedded)
            self.refused = refused

    def _refuse(self, release_id: str, code: str, message: str) -> None:
        self.refused = Refusal(release_id, code, message, datetime.now(UTC))
        _log.error("release %s was refused: %s %s", release_id, code, message)


def _release(pointer: dict[str, Any]) -> tuple[str, str]:
    return pointer["release_id"], str(pointer["release_dir"])


def _identity(pointer: dict[str, Any]) -> tuple[Any, ...]:
    # the instant is part of it: writing the same pointer again asks for a new try
    return (*_release(pointer), pointer.get("changed_at"))
