"""Which release answers: follows the pointer and swaps without a failed request.

A new release is loaded beside the old one, checks its own golden input, and
takes over in one assignment; requests under way finish on the release they
began with. A release that refuses to load changes nothing: the old one stays
and the refusal is told at ``/readyz`` and ``/v1/release``. A challenger is
followed in the same way; one that is refused is never asked anything.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
from bentos.screening.workers import FOLDER, WorkerFile, WorkerState, live_workers
from mammo.errors import MammoError, NotReady, ReleaseNotFound
from mammo.pointer import read_pointer
from mammo.release import MANIFEST, Release
from mammo.signing import SIGNATURE

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
        self._lock = threading.Lock()
        self._following = Following()
        self._file = WorkerFile(pointer_path.with_name(FOLDER))
        self.refused: Refusal | None = None
        self.challenger_refused: Refusal | None = None
        self.swaps = 0

    @property
    def current(self) -> InService | None:
        """The champion; None before the first."""
        return self._following.champion

    @property
    def challenger(self) -> Challenger | None:
        """The challenger that is loaded and may be asked; None without one."""
        return self._following.challenger

    def require(self) -> InService:
        """Return the champion, or raise NotReady."""
        return self._require(self._following)

    def route(self, exam_id: str) -> Route:
        """Say which release answers for an exam, and which scores it besides.

        Raises NotReady before the first release.
        """
        now = self._following
        champion, challenger = self._require(now), now.challenger
        if challenger is None:
            return Route(champion, "champion", None)
        if challenger.stage == "shadow":
            return Route(champion, "champion", challenger)
        if challenger.answers(exam_id):
            return Route(challenger, "canary", None)
        return Route(champion, "champion", None)

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
        with self._lock, _unwritable_is_told():
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
        if wanted is None or _identity(wanted, "changed_at") == self._asked:
            return
        self._asked = _identity(wanted, "changed_at")
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
        same = _is(self.current, wanted)
        if same:
            self.refused = None
        return same

    def _take(self, wanted: dict[str, Any]) -> None:
        """Load the wanted release and put it into service, or note why not."""
        challenger = self.challenger
        if challenger is not None and challenger.stage == "canary" and _is(challenger, wanted):
            loaded: Scorer | Refusal = challenger.screener  # promoted: it answers already
        else:
            loaded = self._load_wanted(wanted)
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
        self._following = replace(self._following, champion=champion)
        self.refused = None
        self.swaps += 1
        _log.info("release %s is in service", wanted["release_id"])

    def _take_embedded(self) -> None:
        """Serve the embedded release when the pointed one is refused at the start."""
        embedded, refused = self._embedded_pointer(), self.refused
        if embedded is not None:
            self._take(embedded)
            self.refused = refused

    def _check_challenger(self, wanted: dict[str, Any] | None) -> None:
        """Follow the challenger; none without a champion to stand beside."""
        if wanted is None or self.current is None:
            self._stand_beside(None, None)
            self._challenger_asked = None
        elif _identity(wanted, "since") != self._challenger_asked:
            self._challenger_asked = _identity(wanted, "since")
            self._stand_beside(*self._try_challenger(wanted))

    def _stand_beside(self, challenger: Challenger | None, refused: Refusal | None) -> None:
        if challenger != self.challenger:
            self._following = replace(self._following, challenger=challenger)
            name = "no challenger" if challenger is None else _describe(challenger)
            _log.info("%s stands beside the champion", name)
        self.challenger_refused = refused

    def _try_challenger(
        self, wanted: dict[str, Any]
    ) -> tuple[Challenger, None] | tuple[None, Refusal]:
        known = self.challenger
        # one that was loaded for the shadow computes at low priority: not fit to answer
        fit = known is not None and known.stage in ("canary", wanted["stage"])
        if known is not None and fit and _is(known, wanted):
            loaded: Scorer | Refusal = known.screener
        elif wanted["stage"] == "shadow":
            loaded = call_stepped_back(lambda: self._load_wanted(wanted))
        else:
            loaded = self._load_wanted(wanted)
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

    def _load_wanted(self, wanted: dict[str, Any]) -> Scorer | Refusal:
        """Load a release that the pointer names, or say why it must not be used."""
        release_id, directory = _release(wanted)
        try:
            screener = self._load(Path(directory))
            if screener.release.id != release_id:
                raise ReleaseNotFound(
                    f"The pointer names {release_id}, its folder holds {screener.release.id}."
                )
        except MammoError as error:
            return _refusal(release_id, error.code, error.message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old release must stay
            told = f"It could not be loaded: {type(error).__name__}."
            return _refusal(release_id, "INTERNAL", told)
        return screener

    def _tell(self) -> None:
        champion, challenger = self.current, self.challenger
        with _unwritable_is_told():
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


@contextmanager
def _unwritable_is_told() -> Iterator[None]:
    """A full disk keeps this worker's word from the deployment, not its answers from anybody."""
    try:
        yield
    except OSError as error:
        _log.error("the worker's file cannot be written: %s", type(error).__name__)


def _release(pointer: dict[str, Any]) -> tuple[str, str]:
    return pointer["release_id"], str(pointer["release_dir"])


def _is(loaded: InService | None, wanted: dict[str, Any]) -> bool:
    return loaded is not None and (loaded.release.id, str(loaded.directory)) == _release(wanted)


def _identity(pointer: dict[str, Any], instant: str) -> tuple[Any, ...]:
    """What asks for a new try: another release, another instant, a signature that came."""
    signature = Path(pointer["release_dir"]) / SIGNATURE
    signed = signature.stat().st_mtime_ns if signature.is_file() else None
    trial = (pointer.get("stage"), pointer.get("percent"))
    return (*_release(pointer), pointer.get(instant), signed, *trial)


def _refusal(release_id: str, code: str, message: str) -> Refusal:
    _log.error("release %s was refused: %s %s", release_id, code, message)
    return Refusal(release_id, code, message, datetime.now(UTC))


def _describe(challenger: Challenger) -> str:
    share = f" {challenger.percent}%" if challenger.stage == "canary" else ""
    return f"release {challenger.release.id} ({challenger.stage}{share})"
