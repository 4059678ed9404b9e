"""Moves the pointer: which packaged release the running service serves, or tries.

The order of steps is such that a deployment killed anywhere can be run again:
permission, smoke test, pointer, the word of every worker, MLflow, record. What is in
service is what the pointer says and the service confirms; the record is written once
for each move of the pointer, from what the pointer says of it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bentos.screening.change_record import (
    Why,
    id_of,
    is_recorded,
    last_move,
    name_in_mlflow,
    write_change,
)
from bentos.screening.confirmation import Doubt, Part, require_running, wait_for
from bentos.screening.loading import VerifiedLoad
from bentos.screening.packaging import find_packaged
from bentos.screening.permission import require_permitted
from bentos.screening.pointing import (
    STAGES,
    Change,
    Pointer,
    plan_of,
    require_share,
    rolled_back,
    target_of,
    unless_moved,
    with_challenger,
    with_champion,
    without_challenger,
)
from mammo.errors import DeployFailed, MammoError, ReleaseNotFound
from mammo.pointer import read_pointer, remove_pointer, write_pointer
from mammo.settings import Settings

__all__ = ["STAGES", "DeployReport", "Why", "deploy_release", "rollback", "stop_challenger"]

Check = Callable[[Path], object]
SECONDS = 60.0


@dataclass(frozen=True)
class DeployReport:
    """What a deployment did. ``changed`` is False when all was so already.

    ``release`` is the one that was moved: to ``stage`` champion, shadow, canary
    (with ``percent`` of the exams) or stopped.
    """

    release: str
    bento_tag: str
    previous: str | None
    changed: bool
    confirmed: bool
    smoke_seconds: float
    swap_seconds: float
    record: dict[str, Any]
    stage: str = "champion"
    percent: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def deploy_release(
    wanted: str | None,
    settings: Settings,
    *,
    stage: str = "champion",
    percent: int = 0,
    why: Why | None = None,
    timeout: float = SECONDS,
    wait: bool = True,
    check: Check | None = None,
    seen: Pointer | None = None,
) -> DeployReport:
    """Put a packaged release into service, or beside the one in service.

    Parameters
    ----------
    wanted
        Release id or Bento tag; None takes the newest Bento.
    stage
        ``champion`` answers (a challenger that is named is so promoted),
        ``shadow`` scores the same exams and answers none, ``canary`` answers
        a share of them. There is one challenger; another takes its place.
    percent
        The canary's share of the exams, 1 to 100.
    timeout
        Seconds that the workers of the running service have to follow.
    wait
        False moves the pointer without a running service; it is taken up at
        the service's next start.
    check
        The smoke test, on the folder inside the Bento: signature, digests and
        golden, when left out.
    seen
        The pointer as the caller saw it: what was moved since is left alone.

    Raises
    ------
    ReleaseNotFound
        No Bento holds it.
    NotJudged, GateRefused, ApprovalNeeded, ChangeNotCovered
        The change-control plan does not permit it (`require_permitted`); nothing was changed.
    SignatureInvalid, DigestMismatch, ParityError
        The smoke test failed; nothing was changed.
    StackNotRunning
        No service to wait for; nothing was changed.
    DeployFailed
        The service refused the release or was too slow; the pointer was put back
        if this deployment had moved it, or if the release was refused. Or there
        is no champion to challenge, no such stage, or the share is out of range.
    """
    require_share(stage, percent)
    packaged, why = find_packaged(settings, wanted), why or Why()
    target = target_of(packaged)

    def change(now: Pointer | None) -> Pointer:
        permit = require_permitted(settings, packaged.release_dir, stage, why)
        if stage == "champion":
            return with_champion(now, target, permit.granted(why))
        plan = plan_of(now, target)
        return with_challenger(now, target, stage, percent, permit.granted(why), plan)

    part: Part = "champion" if stage == "champion" else "challenger"
    deployment = _Deployment(settings, timeout, wait, check)
    return deployment.move(part, target, _unless_moved(seen, change))


def rollback(
    settings: Settings,
    *,
    why: Why | None = None,
    timeout: float = SECONDS,
    wait: bool = True,
    check: Check | None = None,
    seen: Pointer | None = None,
) -> DeployReport:
    """Bring back the release that was in service before; again, and it swaps back.

    One that was killed before its record was written is finished by the next. A
    challenger goes with it: every exam is answered by the release of before.
    Raises NoPreviousRelease, and what `deploy_release` raises.
    """

    def change(now: Pointer | None) -> Pointer:
        finished = now is None or is_recorded(now, settings)
        reason = why or Why("rollback")
        back = rolled_back(now, reason, finished=finished)
        if back is now:
            return back
        place = Path(back["release_dir"])
        permit = require_permitted(settings, place, "rollback", reason, rollback=True)
        return back | {"moved": back["moved"] | {"clause": permit.to_dict()}}

    deployment = _Deployment(settings, timeout, wait, check)
    return deployment.move("champion", None, _unless_moved(seen, change))


def stop_challenger(
    settings: Settings,
    *,
    why: Why | None = None,
    timeout: float = SECONDS,
    wait: bool = True,
    seen: Pointer | None = None,
) -> DeployReport:
    """End the shadow or canary; the champion answers as before. Raises as `deploy_release`."""

    def change(now: Pointer | None) -> Pointer:
        return without_challenger(now, _granted_stop(settings, now, why or Why("stopped")))

    deployment = _Deployment(settings, timeout, wait, lambda _: None)
    return deployment.move("challenger", None, _unless_moved(seen, change))


def _unless_moved(seen: Pointer | None, change: Change) -> Change:
    return change if seen is None else unless_moved(seen, change)


def _without_refused(settings: Settings, now: Pointer) -> Pointer:
    """End a trial that a worker refuses, as a move of its own.

    The pointer tells of its last move alone: where the trial came by that one and has no
    record yet, whoever finishes it would else record a trial that the service does not run.
    """
    plan = (now.get("challenger") or {}).get("plan") or {}
    why = Why("refused", plan.get("episode_key"))
    return without_challenger(now, _granted_stop(settings, now, why))


def _granted_stop(settings: Settings, now: Pointer | None, why: Why) -> Why:
    """Tell the clause; a challenger whose folder is gone must be stopped all the same."""
    challenger = (now or {}).get("challenger")
    if challenger is None:
        return why
    try:
        place = Path(challenger["release_dir"])
        return require_permitted(settings, place, "stopped", why).granted(why)
    except ReleaseNotFound:
        return why


@dataclass(frozen=True)
class _Deployment:
    """One move of the pointer, from smoke test to record."""

    settings: Settings
    timeout: float
    wait: bool
    check: Check | None

    def move(
        self,
        part: Part,
        target: Pointer | None,
        change: Change,
    ) -> DeployReport:
        """Do what ``change`` says; ``target`` is tested before, or what it makes champion."""
        settings = self.settings
        with _alone(settings):
            before = read_pointer(settings.pointer_path)
            after = change(before)
            if self.wait:
                require_running(settings)
            started = time.perf_counter()
            self._smoke_test(target or after)
            smoked = time.perf_counter()
            if after is not before:
                if before is not None and not is_recorded(before, settings):
                    write_change(before, settings)  # of a move that was killed before its record
                write_pointer(settings.pointer_path, after)
            if self.wait:
                self._confirm(part, before, after)
            swapped = time.perf_counter()
            if part == "champion":
                name_in_mlflow(after, settings)
            record = write_change(after, settings)  # last: it says that the move is finished
        moved = last_move(after)
        return DeployReport(
            release=moved["release_id"],
            bento_tag=moved["bento_tag"],
            previous=id_of(after["previous"]),
            changed=after is not before,
            confirmed=self.wait,
            smoke_seconds=round(smoked - started, 3),
            swap_seconds=round(swapped - smoked, 3),
            record=record,
            stage=moved["stage"],
            percent=moved.get("percent", 0),
        )

    def _smoke_test(self, target: Pointer) -> None:
        check = self.check or VerifiedLoad(self.settings)
        check(Path(target["release_dir"]))

    def _confirm(self, part: Part, before: Pointer | None, after: Pointer) -> None:
        """Wait for every worker; put the pointer back if one refuses or is too slow.

        A pointer that this deployment did not move stays where it is unless the
        service refuses the release: slow, or restarting, is no reason to change
        what is in service.
        """
        doubt = wait_for(after, part, self.settings, self.timeout)
        if doubt is None:
            return
        if after is before and not doubt.refused:
            raise DeployFailed(
                f"Release {_moved_in(part, after)} was not confirmed: {doubt.problem} "
                "The pointer names it as before."
            )
        self._put_back(part, before, after, doubt)

    def _put_back(self, part: Part, before: Pointer | None, after: Pointer, doubt: Doubt) -> None:
        path, settings = self.settings.pointer_path, self.settings
        back, recorded = before, False
        if after is before:  # a deployment run again: what was before the first try
            recorded = part == "champion" and is_recorded(after, settings)
            back = _before_first_try(settings, part, after, recorded=recorded)
        if back is None:
            remove_pointer(path)
        else:
            write_pointer(path, back)
            if recorded:  # else the history ends with the refused one
                name_in_mlflow(back, settings)
                write_change(back, settings)
        raise DeployFailed(
            f"Release {_moved_in(part, after)} did not come into service: {doubt.problem} "
            f"{id_of(back) or 'No release'} is in service."
        )


def _moved_in(part: Part, pointer: Pointer) -> str:
    """Return which release a move was about: another may have been moved after a champion."""
    moved = pointer if part == "champion" else last_move(pointer)
    return str(moved["release_id"])


def _before_first_try(
    settings: Settings, part: Part, now: Pointer, *, recorded: bool
) -> Pointer | None:
    """Return the pointer without a release that a worker refuses long after it was moved.

    A champion that is ``recorded`` was in service: the way back is a rollback, and is told as
    one, with its clause where the plan has one for it. What is refused goes in any case.
    """
    if part != "champion":
        return _without_refused(settings, now)
    previous: Pointer | None = now["previous"]
    if previous is None or not recorded:
        return previous
    why = Why("refused")
    with suppress(MammoError):
        place = Path(previous["release_dir"])
        why = require_permitted(settings, place, "rollback", why, rollback=True).granted(why)
    return rolled_back(now, why, finished=True)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let one deployment at a time move the pointer; the lock dies with its process."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
