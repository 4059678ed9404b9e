"""A flow run waits for a person: paused in Prefect until `mammo approve` has been said.

The word is in the log, with who said it and in which role; resuming the run in the
Prefect UI alone approves nothing. A run that waited in vain ends, and the release keeps:
`mammo approve` then begins its rollout itself. One that died while it waited can be resumed
all the same and goes nowhere; what it waited for is remembered until the release has been
moved, and the reconciler begins its rollout (`begin_approved`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout, NotPausedError, ObjectNotFound
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.runtime import flow_run

from bentos.screening.confirmation import require_running
from flows import flow_runs
from mammo.continual.approval import approve, needs_approval, standing
from mammo.continual.mend import on_trial
from mammo.continual.unfinished import unfinished, was_moved
from mammo.errors import MammoError, StackNotRunning
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from monitoring.episodes import ACTING, MAX_ATTEMPTS, OPEN

DEPLOY = "deploy/deploy"
AWAITING = "awaiting approval"
BEGUN = "is begun"
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
    return [one for one in _asked(settings) if needs_approval(settings, one) is not None]


def begin_approved(settings: Settings, package: Callable[[str], Any]) -> dict[str, str]:
    """Begin the rollout of approved releases that no run brings into service any more.

    Their run died while it waited, or the one who approved did before the rollout had
    begun. ``package`` makes a release's Bento. One begins at a time, and none beside another
    on trial, whose place it would take, nor while no service answers. Returns what became of
    each that was begun, failed, waits for the service or is waited for no more; one that
    fails stops no other, and is given up after three times.
    """
    told = {}
    for name in _asked(settings):
        try:
            became = _go_on(settings, name, package)
        except StackNotRunning as error:  # no try: it says nothing about the release
            became = f"waits for the service: {error}"
        except MammoError as error:
            became = _count_failure(settings, name, error)
        if became is not None:
            told[name] = became
    return told


def _go_on(settings: Settings, release_id: str, package: Callable[[str], Any]) -> str | None:
    """Begin one release's rollout, or wait for it no more; None where nothing is to be done."""
    waiting = _waiting(settings, release_id)
    if not _is_left(settings, waiting):
        return None
    if was_moved(settings, [release_id]):
        _forget(settings, release_id)
        return None
    said = standing(settings, release_id)
    if not said.passed:
        _forget(settings, release_id)
        return "is waited for no more: the gate has refused it since"
    if not said.approved or on_trial(settings) is not None:
        return None
    require_running(settings)
    package(release_id)
    if _start_deploy(release_id, waiting) is not None:
        return BEGUN
    _forget(settings, release_id)
    return f"is given up: three deployments of it have failed. {_by_hand(release_id)}"


def _count_failure(settings: Settings, release_id: str, error: MammoError) -> str:
    """Write down that a rollout could not even begin; the third time it is given up."""
    waiting = _waiting(settings, release_id)
    failures = waiting.get("failures", 0) + 1
    if failures < MAX_ATTEMPTS:
        log = PredictionLog(settings.log_url)
        log.set_watermark(_reader(release_id), 0, waiting | {"failures": failures})
        return f"is tried again, {error.code}: {error}"
    _forget(settings, release_id)
    return f"is given up, {error.code}: {error} {_by_hand(release_id)}"


def _by_hand(release_id: str) -> str:
    return f"`mammo package {release_id}`, then `mammo deploy {release_id} --rollout` begins it"


def _is_left(settings: Settings, waiting: dict[str, Any]) -> bool:
    """Say whether no run will deploy the release: its own is over, and none follows it.

    Not while anything is deployed: it may be this release, or about to be on trial.
    """
    with get_client(sync_client=True) as client:
        if flow_runs.under_way(client, DEPLOY) or not flow_runs.is_over(client, waiting["run"]):
            return False
    key = waiting["episode_key"]
    if key is None:
        return unfinished(settings) is None
    episode = PredictionLog(settings.log_url).episode(key)
    return episode is None or episode["status"] not in (OPEN, ACTING)


def approve_release(settings: Settings, release_id: str, reason: str) -> dict[str, Any]:
    """Write down a person's approval, and let what waits for it go on.

    Returns what `mammo.continual.approval.approve` returns, and ``goes_on``: the run that
    was resumed, that of a rollout begun now, or None where none is; ``then`` says what brings
    the release into service where it was not moved yet. A resumed run whose process is gone
    is told from the others by the reconciler (`begin_approved`).
    """
    told = approve(settings, release_id, reason=reason)
    waiting = _waiting(settings, release_id)
    goes_on = _resume(waiting["run"]) if waiting else None
    if goes_on is not None or was_moved(settings, [release_id]):
        return told | {"goes_on": goes_on}
    then = _by_hand(release_id)
    if waiting and (trial := on_trial(settings)):
        then = (
            f"{trial} is on trial; the reconciler begins this one's rollout when that is over. "
            f"{then} now, and ends that trial"
        )
    elif waiting:
        try:
            require_running(settings)
            goes_on = _begin_rollout(settings, release_id, waiting)
        except StackNotRunning as error:  # or not to be seen from here, as under Compose
            then = f"The reconciler begins its rollout while the service answers. {error}"
    return told | {"goes_on": goes_on} | ({} if goes_on else {"then": then})


def _asked(settings: Settings) -> list[str]:
    """Return the releases that the gate passed and a run has asked a person about, sorted."""
    log = PredictionLog(settings.log_url).create()
    passed = {one["challenger"] for one in log.gates() if one["passed"]}
    return [one for one in sorted(passed) if _waiting(settings, one)]


def _waiting(settings: Settings, release_id: str) -> dict[str, Any]:
    return PredictionLog(settings.log_url).create().watermark(_reader(release_id)).state


def _forget(settings: Settings, release_id: str) -> None:
    PredictionLog(settings.log_url).set_watermark(_reader(release_id), 0, {})


def _reader(release_id: str) -> str:
    return f"approval:{release_id}"


def _resume(run_id: str) -> str | None:
    """Resume the run that is paused; None where it is over."""
    try:
        resume_flow_run(UUID(run_id))
    except (NotPausedError, ObjectNotFound, FlowPauseTimeout):
        return None
    return run_id


def _begin_rollout(settings: Settings, release_id: str, waiting: dict[str, Any]) -> str | None:
    """Start the deploy flow for a release whose run did not wait so long."""
    from flows.follow import run_and_follow

    run_and_follow(settings, "package/package", {"release_id": release_id})
    return _start_deploy(release_id, waiting)


def _start_deploy(release_id: str, waiting: dict[str, Any]) -> str | None:
    """Start the deployment once, whoever asks; None where three have ended without a move."""
    given = {"release_id": release_id, "stage": "rollout", "reason": waiting["reason"]}
    given |= _episode(waiting)
    with get_client(sync_client=True) as client:
        run = flow_runs.start_once(client, DEPLOY, f"approved:{release_id}", given)
    return None if run is None else str(run)


def _episode(waiting: dict[str, Any]) -> dict[str, Any]:
    return {"episode_key": waiting["episode_key"]} if waiting["episode_key"] else {}


__all__ = ["AWAITING", "BEGUN", "approve_release", "approved", "begin_approved", "waiting_releases"]
