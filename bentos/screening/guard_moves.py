"""What the guard does about a release on trial: move it on, stop it, roll it back, ask.

Every move is a change with ``by="guard"`` and what was seen as its evidence.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from bentos.screening.change_record import Why
from bentos.screening.deployment import (
    DeployReport,
    deploy_release,
    rollback,
    stop_challenger,
)
from bentos.screening.finishing import finish_move
from bentos.screening.guard import GUARD, Did, Look, is_its_move
from bentos.screening.guard_trial import Trial, watch_challenger, watch_champion
from bentos.screening.leading import end_probation
from bentos.screening.pointing import Pointer
from bentos.screening.rollout_policy import RolloutPolicy, read_rollout_policy
from mammo.errors import ApprovalNeeded
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

_log = logging.getLogger("mammo.guard")


def examine(settings: Settings) -> list[Trial]:
    """Return what is on trial, the champion on probation first; moves nothing."""
    pointer = read_pointer(settings.pointer_path) or {}
    log = PredictionLog(settings.log_url).create()
    return _trials(pointer, settings, read_rollout_policy(settings), log)


def asked_of(settings: Settings) -> str | None:
    """Return what the guard's last look asks of a person; None where it asks nothing."""
    state = PredictionLog(settings.log_url).create().watermark(GUARD).state
    asks: str | None = state.get("asks")
    return asks


def look_closely(settings: Settings, options: dict[str, Any]) -> Look:
    """Finish a move of the guard's that was killed, look at what is on trial, do one thing.

    ``options`` (wait, timeout, check) are those of `deploy_release`.
    """
    if is_its_move(read_pointer(settings.pointer_path) or {}):
        finish_move(settings, **options)
    seen, policy = read_pointer(settings.pointer_path) or {}, read_rollout_policy(settings)
    looked, log = Look("nothing"), PredictionLog(settings.log_url).create()
    for trial in _trials(seen, settings, policy, log):
        looked = _act(trial, seen, settings, policy, options)
        if looked.did != "watched":
            break
    if looked.trial is not None:
        log.set_watermark(GUARD, 0, looked.to_dict())
    return looked


def _trials(
    pointer: Pointer, settings: Settings, policy: RolloutPolicy, log: PredictionLog
) -> list[Trial]:
    trials = []
    if pointer.get("probation") and pointer.get("previous"):
        trials.append(watch_champion(pointer, settings, policy, log))
    if pointer.get("challenger"):
        trials.append(watch_challenger(pointer["challenger"], settings, policy, log))
    return trials


def _act(
    trial: Trial, seen: Pointer, settings: Settings, policy: RolloutPolicy, options: dict[str, Any]
) -> Look:
    if trial.stage == "probation":
        return _act_on_champion(trial, seen, settings, policy, options)
    return _act_on_challenger(trial, seen, settings, policy, options)


def _act_on_champion(
    trial: Trial, seen: Pointer, settings: Settings, policy: RolloutPolicy, options: dict[str, Any]
) -> Look:
    if trial.harmful:
        why = _why("harm", trial, seen["moved"].get("episode_key"))
        report = rollback(settings, why=why, seen=seen, **options)
        return _did("rolled back", trial, report)
    if trial.exams >= policy.probation_exams and end_probation(settings, seen):
        return _did("settled", trial, None)
    return Look("watched", trial)


def _act_on_challenger(
    trial: Trial, seen: Pointer, settings: Settings, policy: RolloutPolicy, options: dict[str, Any]
) -> Look:
    challenger = seen["challenger"]
    plan = challenger.get("plan")
    episode = (plan or {}).get("episode_key")
    if trial.harmful:
        options = {name: value for name, value in options.items() if name != "check"}
        why = _why("harm", trial, episode)
        return _did("stopped", trial, stop_challenger(settings, why=why, seen=seen, **options))
    enough = trial.exams >= policy.exams_of(trial.stage, trial.percent)
    if plan is None or not (enough and trial.cleared):
        return _ask_in_time(trial, plan, enough, policy)
    step = policy.next_step(trial.stage, trial.percent, tuple(plan["stages"]))
    move = {"stage": step.stage, "percent": step.percent} if step else {"stage": "champion"}
    why = _why("rollout", trial, episode)
    try:
        report = deploy_release(
            challenger["bento_tag"], settings, why=why, seen=seen, **move, **options
        )
    except ApprovalNeeded as refusal:
        return Look("asks", trial, refusal.message)
    return _did("moved on" if step else "promoted", trial, report)


def _ask_in_time(trial: Trial, plan: Any, enough: bool, policy: RolloutPolicy) -> Look:
    """Tell a person of a stage that is open for too long; it goes on meanwhile."""
    age = datetime.now(UTC) - datetime.fromisoformat(trial.since)
    if plan is None or age < timedelta(days=policy.ask_after_days):
        return Look("watched", trial)
    still = [one.text for one in trial.checks if one.verdict == "open"]
    few = [] if enough else [f"{trial.exams} exams are fewer than its stage asks for"]
    return Look(
        "asks",
        trial,
        f"Release {trial.release} is in {trial.stage} for {age.days} days and still open: "
        f"{'; '.join([*still, *few])}. `mammo approve {trial.release}` and "
        f"`mammo deploy {trial.release}` promote it, `mammo deploy --stop-challenger` ends it; "
        "else the guard goes on looking.",
    )


def _why(reason: str, trial: Trial, episode_key: str | None) -> Why:
    return Why(reason, episode_key, GUARD, {"guard": trial.to_dict()})


def _did(did: Did, trial: Trial, report: DeployReport | None) -> Look:
    """Tell a move; one that found the pointer moved meanwhile did nothing."""
    if report is not None and not report.changed:
        return Look("watched", trial)
    _log.warning("%s: release %s, %s", did, trial.release, "; ".join(c.text for c in trial.checks))
    return Look(did, trial, None, report)
