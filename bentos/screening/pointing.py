"""What a deployment makes of the pointer: the one before in, the one after out.

Each function returns ``before`` itself where nothing is to change, so that a
deployment that was killed after its move ends, run again, where it would have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bentos.screening.change_record import Why
from mammo.errors import DeployFailed, NoPreviousRelease

Pointer = dict[str, Any]
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
    return pointer | {"challenger": None, "moved": pointer["moved"] | {"rollback": True}}


def with_challenger(
    before: Pointer | None, target: Mapping[str, Any], stage: str, percent: int, why: Why
) -> Pointer:
    """Set ``target`` beside the champion, or change its stage or share.

    Raises DeployFailed when there is no champion, or ``target`` is it.
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
    if all(known.get(name) == value for name, value in wanted.items()):
        return before
    return before | {
        "challenger": wanted | {"since": now},
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


def _place(target: Mapping[str, Any]) -> Pointer:
    return {name: target[name] for name in PLACE}


def _as_previous(before: Pointer) -> Pointer:
    return _place(before) | {"changed_at": before["changed_at"], "previous": None}


def _moved(target: Mapping[str, Any], stage: str, at: str, why: Why) -> Pointer:
    return {**_place(target), "stage": stage, "at": at, **asdict(why)}


def _now() -> str:
    return datetime.now(UTC).isoformat()
