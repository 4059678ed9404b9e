"""Which release answers: follows the pointer and swaps without a failed request.

A new release is loaded beside the old one, checks its own golden input, and
takes over in one assignment; requests under way finish on the release they
began with. A release that refuses to load changes nothing: the old one stays
and the refusal is told at ``/readyz`` and ``/v1/release``. A challenger is
followed in the same way; one that is refused is never asked anything. While a
champion is on probation, the release before stays loaded: it answers where the
champion fails, and takes over at once in a rollback.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bentos.screening.shadow import call_stepped_back
from bentos.screening.standing import (
    Challenger,
    Following,
    InService,
    Load,
    Refusal,
    Route,
    Scorer,
)
from bentos.screening.wanted import (
    describe,
    identity_of,
    is_wanted,
    load_wanted,
    unwritable_is_told,
)
from bentos.screening.workers import FOLDER, WorkerFile, WorkerState, live_workers
from mammo.errors import NotReady
from mammo.pointer import read_pointer
from mammo.release import MANIFEST, Release

__all__ = ["Challenger", "InService", "Load", "Refusal", "Rollout", "Route", "Scorer"]
POLL_SECONDS = 0.5
_log = logging.getLogger("mammo.service")


class Rollout:
    """The release in service and the challenger beside it.

    Parameters
    ----------
    pointer_path
        The durable pointer; it may not exist yet. Beside it, in ``workers/``,
        this process tells what it follows.
    load
        Loads and checks a release folder: `bentos.screening.loading.VerifiedLoad`
        in production.
    embedded
        The release inside the Bento, served when there is no pointer.
    """

    def __init__(self, pointer_path: Path, load: Load, embedded: Path | None = None) -> None:
        self._pointer_path = pointer_path
        self._load = load
        self._embedded = embedded
        self._asked: tuple[Any, ...] | None = None
        self._challenger_asked: tuple[Any, ...] | None = None
        self._standby_asked: tuple[Any, ...] | None = None
        self._lock = threading.Lock()
        self._following = Following()
        self._file = WorkerFile(pointer_path.with_name(FOLDER))
        self.refused: Refusal | None = None
        self.challenger_refused: Refusal | None = None
        self.swaps = 0
        self.when_swapped: Callable[[], None] | None = None
        """Called for each release put into service: counters of all workers are fed by it."""

    @property
    def current(self) -> InService | None:
        """The champion; None before the first."""
        return self._following.champion

    @property
    def challenger(self) -> Challenger | None:
        """The challenger that is loaded and may be asked; None without one."""
        return self._following.challenger

    @property
    def standby(self) -> InService | None:
        """The release before, while the champion is on probation; None else."""
        return self._following.standby

    def require(self) -> InService:
        """Return the champion, or raise NotReady."""
        return self._require(self._following)

    def route(self, exam_id: str) -> Route:
        """Say which release answers for an exam, and which scores it besides.

        Raises NotReady before the first release.
        """
        now = self._following
        return now.route(self._require(now), exam_id)

    def workers(self) -> list[WorkerState]:
        """Return the worker processes that live and what each of them follows."""
        return live_workers(self._pointer_path.with_name(FOLDER))

    async def follow(self) -> None:
        """Look at the pointer every half second until cancelled."""
        try:
            while True:
                await asyncio.to_thread(self.check)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self.leave()

    def leave(self) -> None:
        """Remove this process's word on what it follows."""
        with self._lock, unwritable_is_told():
            self._file.remove()

    def check(self) -> None:
        """Look at the pointer once and load what it names, if that is new."""
        with self._lock:
            if self._asked is None:
                self._tell()  # a deployment waits for a worker that is still loading
            try:
                pointer = read_pointer(self._pointer_path)
                self._check_champion(pointer or self._embedded_pointer())
                self._check_challenger((pointer or {}).get("challenger"))
                self._tell()  # the standby is of no concern to who waits for this worker
                self._check_standby(pointer or {})
            except (OSError, ValueError, KeyError, TypeError) as error:
                _log.error("the pointer cannot be read: %s", type(error).__name__)
            self._tell()

    def _require(self, now: Following) -> InService:
        if now.champion is None:
            raise NotReady(
                "No release is in service yet. `mammo deploy` puts one into service."
                if self.refused is None
                else f"Release {self.refused.release} was refused: {self.refused.message}"
            )
        return now.champion

    def _check_champion(self, wanted: dict[str, Any] | None) -> None:
        if wanted is None or identity_of(wanted, "changed_at") == self._asked:
            return
        self._asked = identity_of(wanted, "changed_at")
        if not self._serves(wanted):
            self._take(wanted)
        if self.current is None and wanted.get("bento_tag"):
            self._take_embedded()

    def _embedded_pointer(self) -> dict[str, Any] | None:
        if self._embedded is None or not (self._embedded / MANIFEST).is_file():
            return None
        release = Release.read(self._embedded)
        return {"release_id": release.id, "release_dir": str(self._embedded), "bento_tag": None}

    def _serves(self, wanted: dict[str, Any]) -> bool:
        same = is_wanted(self.current, wanted)
        if same:
            self.refused = None
        return same

    def _take(self, wanted: dict[str, Any]) -> None:
        """Load the wanted release and put it into service, or note why not."""
        challenger, standby, before = self.challenger, self.standby, self.current
        if (
            challenger is not None
            and challenger.stage == "canary"
            and is_wanted(challenger, wanted)
        ):
            loaded: Scorer | Refusal = challenger.screener  # promoted: it answers already
        elif standby is not None and is_wanted(standby, wanted):
            loaded = standby.screener  # rolled back
        else:
            loaded = load_wanted(self._load, wanted)
        if isinstance(loaded, Refusal):
            self.refused = loaded
            return
        previous = (wanted.get("previous") or {}).get("release_id")
        champion = InService(
            loaded,
            Path(wanted["release_dir"]),
            wanted.get("bento_tag"),
            previous,
            datetime.now(UTC),
        )
        ready = before if is_wanted(before, _standby_of(wanted)) else None
        self._following = replace(self._following, champion=champion, standby=ready)
        self.refused = None
        self.swaps += 1
        if self.when_swapped is not None:
            self.when_swapped()
        _log.info("release %s is in service", wanted["release_id"])

    def _take_embedded(self) -> None:
        """Serve the embedded release when the pointed one is refused at the start."""
        embedded, refused = self._embedded_pointer(), self.refused
        if embedded is not None:
            self._take(embedded)
            self.refused = refused

    def _check_standby(self, pointer: dict[str, Any]) -> None:
        """Keep the release before ready during probation; one that is refused is done without."""
        wanted, standby = _standby_of(pointer), self.standby
        if wanted is None or not is_wanted(self.current, pointer):
            standby, self._standby_asked = None, None
        elif is_wanted(standby, wanted):
            return
        elif (asked := identity_of(wanted, "changed_at")) != self._standby_asked:
            self._standby_asked = asked  # this worker began within the probation
            loaded = load_wanted(self._load, wanted)
            if not isinstance(loaded, Refusal):
                place, tag = Path(wanted["release_dir"]), wanted.get("bento_tag")
                standby = InService(loaded, place, tag, None, datetime.now(UTC))
        if standby is not self.standby:
            self._following = replace(self._following, standby=standby)

    def _check_challenger(self, wanted: dict[str, Any] | None) -> None:
        """Follow the challenger; none without a champion to stand beside."""
        if wanted is None or self.current is None:
            self._stand_beside(None, None)
            self._challenger_asked = None
        elif identity_of(wanted, "since") != self._challenger_asked:
            self._challenger_asked = identity_of(wanted, "since")
            self._stand_beside(*self._try_challenger(wanted))

    def _stand_beside(self, challenger: Challenger | None, refused: Refusal | None) -> None:
        if challenger != self.challenger:
            self._following = replace(self._following, challenger=challenger)
            name = "no challenger" if challenger is None else describe(challenger)
            _log.info("%s stands beside the champion", name)
        self.challenger_refused = refused

    def _try_challenger(
        self, wanted: dict[str, Any]
    ) -> tuple[Challenger, None] | tuple[None, Refusal]:
        known = self.challenger
        # one that was loaded for the shadow computes at low priority: not fit to answer
        fit = known is not None and known.stage in ("canary", wanted["stage"])
        if known is not None and fit and is_wanted(known, wanted):
            loaded: Scorer | Refusal = known.screener
        elif wanted["stage"] == "shadow":
            loaded = call_stepped_back(lambda: load_wanted(self._load, wanted))
        else:
            loaded = load_wanted(self._load, wanted)
        if isinstance(loaded, Refusal):
            return None, loaded
        place, since = Path(wanted["release_dir"]), datetime.fromisoformat(wanted["since"])
        return Challenger(
            loaded,
            place,
            wanted.get("bento_tag"),
            None,
            since,
            wanted["stage"],
            int(wanted["percent"]),
        ), None

    def _tell(self) -> None:
        champion, challenger = self.current, self.challenger
        with unwritable_is_told():
            self._file.tell(
                release=champion and champion.release.id,
                bento_tag=champion and champion.bento_tag,
                challenger=challenger
                and {
                    "release": challenger.release.id,
                    "bento_tag": challenger.bento_tag,
                    "stage": challenger.stage,
                    "percent": challenger.percent,
                },
                refused=self.refused and self.refused.to_dict(),
                challenger_refused=self.challenger_refused and self.challenger_refused.to_dict(),
            )


def _standby_of(pointer: dict[str, Any]) -> dict[str, Any] | None:
    """Return the release that stands by, where the champion of the pointer is on probation."""
    return (pointer.get("previous") or None) if pointer.get("probation") else None
