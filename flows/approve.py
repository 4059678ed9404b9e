"""A flow run waits for a person: paused in Prefect until `mammo approve` has been said.

The word is in the log, with who said it and in which role; resuming the run in the
Prefect UI alone approves nothing. A run that waited in vain ends, and the release keeps:
`mammo approve` then begins its rollout itself.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import FlowPauseTimeout, NotPausedError, ObjectNotFound
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.runtime import flow_run

from mammo.continual.approval import approve, needs_approval
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

AWAITING = "awaiting approval"
PAUSE_SECONDS = 3600
POLL_SECONDS = 5


def approved(settings: Settings, release_id: str, reason: str, episode_key: str | None) -> bool:
    """Return True once nobody need approve the release any more; pauses the run until then."""
    asked = needs_approval(settings, release_id)
    if asked is None:
        return True
    log = PredictionLog(settings.log_url)
    waiting = {"run": str(flow_run.get_id()), "reason": reason, "episode_key": episode_key}
    log.set_watermark(_reader(release_id), 0, waiting)
    create_markdown_artifact(
        key="approval",
        markdown=f"## `{release_id}` waits for a person\n\n{asked}\n\n"
        f"`mammo approve {release_id} --reason '…'` lets it go on; resuming the run here alone "
        "does not.",
        description="A release that the gate passed and a person must approve",
    )
    try:
        pause_flow_run(
            timeout=PAUSE_SECONDS, poll_interval=POLL_SECONDS, key=f"approve-{release_id}"
        )
    except FlowPauseTimeout:
        return False
    return needs_approval(settings, release_id) is None


def waiting_releases(settings: Settings) -> list[str]:
    """Return the releases that a run waits for and a person has not yet approved, sorted."""
    log = PredictionLog(settings.log_url).create()
    passed = {one["challenger"] for one in log.gates() if one["passed"]}
    asked = [one for one in sorted(passed) if log.watermark(_reader(one)).state]
    return [one for one in asked if needs_approval(settings, one) is not None]


def approve_release(settings: Settings, release_id: str, reason: str) -> dict[str, Any]:
    """Write down a person's approval, and let what waits for it go on.

    Returns what `mammo.continual.approval.approve` returns, and ``goes_on``: the run that
    was resumed, that of a rollout begun now, or None where nothing had waited.
    """
    told = approve(settings, release_id, reason=reason)
    log = PredictionLog(settings.log_url)
    waiting = log.watermark(_reader(release_id)).state
    goes_on = None
    if waiting:
        goes_on = _resume(waiting["run"]) or _begin_rollout(settings, release_id, waiting)
        log.set_watermark(_reader(release_id), 0, {})
    return told | {"goes_on": goes_on}


def _reader(release_id: str) -> str:
    return f"approval:{release_id}"


def _resume(run_id: str) -> str | None:
    """Resume the run that is paused; None where it is over."""
    try:
        resume_flow_run(UUID(run_id))
    except (NotPausedError, ObjectNotFound, FlowPauseTimeout):
        return None
    return run_id


def _begin_rollout(settings: Settings, release_id: str, waiting: dict[str, Any]) -> str:
    """Start the deploy flow for a release whose run did not wait so long."""
    from flows.follow import run_and_follow, start_run

    run_and_follow(settings, "package/package", {"release_id": release_id})
    given = {"release_id": release_id, "stage": "rollout", "reason": waiting["reason"]}
    return str(start_run(settings, "deploy/deploy", given | _episode(waiting)).id)


def _episode(waiting: dict[str, Any]) -> dict[str, Any]:
    return {"episode_key": waiting["episode_key"]} if waiting["episode_key"] else {}


__all__ = ["AWAITING", "approve_release", "approved", "waiting_releases"]
