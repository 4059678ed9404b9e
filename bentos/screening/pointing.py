"""What a deployment makes of the pointer: the one before in, the one after out.

Each function returns ``before`` itself where nothing is to change, so that a
deployment that was killed after its move ends, run again, where it would have.
A champion that takes another's place is on probation until the guard has seen
enough of it (`bentos.screening.guard`); one that was brought back is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bentos.screening.change_record import Why
from bentos.screening.packaging import PackagedRelease
from mammo.errors import DeployFailed, NoPreviousRelease

Pointer = dict[str, Any]
Change = Callable[[Pointer | None], Pointer]
STAGES = ("champion", "shadow", "canary")
PLACE = ("release_id", "bento_tag", "release_dir")


def with_champion(before: Pointer | None, target: Mapping[str, Any], why: Why) -> Pointer:
    """Let ``target`` answer. A challenger stays, unless it is the one that is promoted."""
    if before is not None and before["bento_tag"] == target["bento_tag"]:
        return before
    challenger = (before or {}).get("challenger")
    promoted = challenger is not None and challenger["bento_tag"] == target["bento_tag"]
    now = _now()
    return {
        **_place(target),
        "previous": None if before is None else _as_previous(before),
        "changed_at": now,
        "challenger": None if promoted else challenger,
        "probation": None if before is None else {"since": now},
        "moved": _moved(target, "champion", now, why),
    }


def rolled_back(before: Pointer | None, why: Why, *, finished: bool) -> Pointer:
    """Let the previous release answer again, all exams: a challenger goes.

    ``finished`` says whether the record of the last move is written. A rollback
    without its record was killed; it is ended, not done a second time.

    Raises NoPreviousRelease.
    """
    moved = (before or {}).get("moved") or {}
    if before is not None and moved.get("rollback") and not finished:
        return before
    previous = (before or {}).get("previous")
    if not previous:
        raise NoPreviousRelease(
            "No release was in service before this one, so there is nothing to roll back to. "
            "`mammo deploy RELEASE` puts another into service."
        )
    pointer = with_champion(before, previous, why)
    moved = pointer["moved"] | {"rollback": True}
    return pointer | {"challenger": None, "probation": None, "moved": moved}


def with_challenger(
    before: Pointer | None,
    target: Mapping[str, Any],
    stage: str,
    percent: int,
    why: Why,
    plan: Mapping[str, Any] | None = None,
) -> Pointer:
    """Set ``target`` beside the champion, or change its stage or share.

    ``plan`` (``stages``, ``episode_key``) says that the guard leads it on; one that is
    set without it is led nowhere. Raises DeployFailed when there is no champion, or
    ``target`` is it.
    """
    if before is None:
        raise DeployFailed(
            f"Release {target['release_id']} cannot be tried beside the release in service, since "
            f"there is none. `mammo deploy {target['release_id']}` puts it into service itself."
        )
    if before["bento_tag"] == target["bento_tag"]:
        raise DeployFailed(
            f"Release {target['release_id']} is in service already and cannot challenge itself. "
            "Name another release."
        )
    wanted = {**_place(target), "stage": stage, "percent": percent}
    now, known = _now(), before.get("challenger") or {}
    same = all(known.get(name) == value for name, value in wanted.items())
    if same and (plan is None or known.get("plan")):
        return before
    led = None if plan is None else {"began": now} | dict(plan)
    return before | {
        "challenger": wanted | {"since": now} | ({} if led is None else {"plan": led}),
        "moved": _moved(target, stage, now, why) | {"percent": percent},
    }


def without_challenger(before: Pointer | None, why: Why) -> Pointer:
    """Let the champion be alone again. Raises DeployFailed when nothing is in service."""
    if before is None:
        raise DeployFailed("No release is in service, so no challenger stands beside one.")
    challenger = before.get("challenger")
    if challenger is None:
        return before
    return before | {"challenger": None, "moved": _moved(challenger, "stopped", _now(), why)}


def require_share(stage: str, percent: int) -> None:
    """Raise DeployFailed for a stage that there is none, or a share that it cannot have."""
    if stage not in STAGES:
        raise DeployFailed(f"There is no stage {stage!r}; a release is {', '.join(STAGES)}.")
    if stage == "canary" and not 1 <= percent <= 100:
        raise DeployFailed(f"A canary answers 1 to 100 percent of the exams; asked was {percent}.")
    if stage != "canary" and percent:
        raise DeployFailed(f"Only a canary has a share of the exams; the stage is {stage}.")


def target_of(packaged: PackagedRelease) -> Pointer:
    """Return the three keys of a release's place."""
    return {
        "release_id": packaged.release_id,
        "bento_tag": packaged.tag,
        "release_dir": str(packaged.release_dir),
    }


def plan_of(now: Pointer | None, target: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the way on which the guard leads this release, where it is on one."""
    challenger = (now or {}).get("challenger") or {}
    same = challenger.get("bento_tag") == target["bento_tag"]
    plan: dict[str, Any] | None = challenger.get("plan") if same else None
    return plan


def settled(before: Pointer | None) -> Pointer | None:
    """End the champion's probation: the same release answers, so no move is told."""
    if before is None or not before.get("probation"):
        return before
    return before | {"probation": None}


def unless_moved(seen: Pointer, change: Change) -> Change:
    """Return ``change`` for a pointer that is still as it was ``seen``, else what leaves it.

    What was decided on one look must not befall a release that came since.
    """

    def guarded(now: Pointer | None) -> Pointer:
        same = now is not None and now.get("moved") == seen.get("moved")
        return change(now) if same or now is None else now

    return guarded


def _place(target: Mapping[str, Any]) -> Pointer:
    return {name: target[name] for name in PLACE}


def _as_previous(before: Pointer) -> Pointer:
    return _place(before) | {"changed_at": before["changed_at"], "previous": None}


def _moved(target: Mapping[str, Any], stage: str, at: str, why: Why) -> Pointer:
    return {**_place(target), "stage": stage, "at": at, **asdict(why)}


def _now() -> str:
    return datetime.now(UTC).isoformat()
