"""Leads a release into service over a trial, and ends the probation that follows.

What stage comes when is the policy's (`rollout_policy`), whether a trial is asked for
the change-control plan's (`permission`), and when it goes on the guard's (`guard`).
"""

from __future__ import annotations

from typing import Any

from bentos.screening.change_record import Why
from bentos.screening.deployment import (
    SECONDS,
    Check,
    DeployReport,
    _alone,
    _Deployment,
    deploy_release,
)
from bentos.screening.packaging import find_packaged
from bentos.screening.permission import require_permitted
from bentos.screening.pointing import Pointer, plan_of, settled, target_of, with_challenger
from bentos.screening.rollout_policy import read_rollout_policy
from mammo.pointer import read_pointer, write_pointer
from mammo.settings import Settings


def begin_rollout(
    wanted: str | None,
    settings: Settings,
    why: Why | None = None,
    *,
    timeout: float = SECONDS,
    wait: bool = True,
    check: Check | None = None,
) -> DeployReport:
    """Begin the way of a release into service, as its clause of the change-control plan has it.

    Where that leads over a trial, it is set beside the champion in the first stage of
    the policy (`rollout_policy`) and the guard leads it on; else it is put into service
    at once. Begun again, it is where it was. Parameters and what it raises are those of
    `deploy_release`, with SourceInvalid for a policy file that cannot be read.
    """
    packaged, why = find_packaged(settings, wanted), why or Why()
    permit = require_permitted(settings, packaged.release_dir, "rollout", why)
    way = read_rollout_policy(settings).way(permit.stages)
    options: dict[str, Any] = {"timeout": timeout, "wait": wait, "check": check}
    if not way:
        return deploy_release(packaged.tag, settings, why=why, **options)
    target, first = target_of(packaged), way[0]
    plan = {"stages": list(permit.stages), "episode_key": why.episode_key}

    def change(now: Pointer | None) -> Pointer:
        if now is not None and plan_of(now, target):
            return now
        granted = require_permitted(settings, packaged.release_dir, first.stage, why).granted(why)
        return with_challenger(now, target, first.stage, first.percent, granted, plan)

    return _Deployment(settings, timeout, wait, check).move("challenger", target, change)


def end_probation(settings: Settings, seen: Pointer) -> bool:
    """Let the release before go from the workers' memory; False where something moved since.

    The same release answers as before, so this is no change of what is in service.
    """
    with _alone(settings):
        now = read_pointer(settings.pointer_path)
        after = settled(now)
        if now != seen or after is None or after is now:
            return False
        write_pointer(settings.pointer_path, after)
    return True
