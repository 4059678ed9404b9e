"""Which trials of a study have ended for good, and which give no sign of life.

Optuna fails a trial whose heartbeat is stale. One whose process died before its first
heartbeat has none, is never stale, and a study that waits for it waits for ever: so it
is given one here, and is stale like any other when no second follows. One that a person
interrupted is asked again by the next run: of a grid nothing else would measure its
combination, which counts as visited.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

RETRIES = 2
"""How often a trial whose worker died is run again."""
QUEUED_AFTER = 3
"""Heartbeats that whoever failed a stale trial has for queueing it again."""
DIVERGED, ERROR, PULSE = "diverged", "error", "pulse"
INTERRUPTED, AGAIN, GRID_SEED = "interrupted", "again", "grid_seed"


def count_trials(study: Any, *, running: bool = False) -> int:
    """Return how many trials ended (`has_ended`); with those that run on request.

    One that another machine is about to queue again counts as running: it is taken.
    """
    every = study.get_trials(deepcopy=False)
    ended = sum(map(has_ended, every))
    if not running:
        return ended
    taken = sum(_is_another_s(study, one) for one in _unqueued(every))
    return ended + taken + sum(one.state.name == "RUNNING" for one in every)


def has_ended(trial: Any) -> bool:
    """Return whether a trial is done with: whole, pruned, diverged, or failed for good.

    For good is by an error of its own, or with its worker as often as it may be run
    again. One that a person interrupted has not ended, however often: it is asked again.
    """
    if trial.state.name != "FAIL":
        return bool(trial.state.name in ("COMPLETE", "PRUNED"))
    if trial.user_attrs.get(INTERRUPTED) == trial.number:  # not inherited from an earlier run
        return False
    own = DIVERGED in trial.user_attrs or ERROR in trial.user_attrs
    return own or len(trial.system_attrs.get("retry_history", ())) >= RETRIES


def ask_again(study: Any) -> None:
    """Queue each failed trial that has not ended, and that nobody queued, with its settings.

    Its place in a grid goes with it. To be called under the lock by which trials are
    taken: between a stale trial's failure and its retry it looks like one of these. The
    lock is of one machine: what another may be queueing is left to it for a while.
    """
    from optuna.trial import TrialState, create_trial

    for one in _unqueued(study.get_trials(deepcopy=False)):
        if not _is_another_s(study, one):
            again = create_trial(
                state=TrialState.WAITING, params=one.params, distributions=one.distributions,
                user_attrs=one.user_attrs | {AGAIN: one.number}, system_attrs=one.system_attrs,
            )  # fmt: skip
            study.add_trial(again)


def _unqueued(every: list[Any]) -> list[Any]:
    """Return the failed trials that have not ended, and that nobody queued."""
    queued = {one.user_attrs.get(AGAIN) for one in every}
    queued |= {number for one in every for number in one.system_attrs.get("retry_history", ())}
    failed = [one for one in every if one.state.name == "FAIL" and one.number not in queued]
    return [one for one in failed if not has_ended(one)]


def _is_another_s(study: Any, failed: Any) -> bool:
    """Return whether who failed a stale trial may still be about to queue it.

    By the clock of that machine: where clocks are further apart than that, it is not.
    """
    if failed.user_attrs.get(INTERRUPTED) == failed.number:  # queued by nobody but us
        return False
    wait = timedelta(seconds=QUEUED_AFTER * (study._storage.get_heartbeat_interval() or 0))
    return abs(datetime.now() - failed.datetime_complete) < wait  # Optuna's times have no zone


def tell_other_grid(study: Any, sampler: str, seed: int) -> str:
    """Return in what a study's trials are not of this search, empty where they go together.

    Optuna's grid counts trials as visits of its combinations, in the order of its seed:
    it would never measure some where those before were none, or had another order. A
    study that says nothing of its seed, or already has both, was kept by an older mammo.
    """
    gridded = sampler == "grid"
    tried = [one for one in study.get_trials(deepcopy=False) if one.params]
    if tried and all(("grid_id" in one.system_attrs) != gridded for one in tried):
        return f"sampler is {'not grid' if gridded else 'grid'}, asked {sampler}"
    if not gridded:
        return ""
    known = study.user_attrs.get(GRID_SEED)
    if known is None or not tried:
        study.set_user_attr(GRID_SEED, seed)
        return ""
    return "" if known == seed else f"seed of the grid is {known}, asked {seed}"


def start_pulse(study: Any, trial: Any) -> None:
    """Record a running trial's first heartbeat, and that it has one.

    The mark is its number, since a trial that is run again inherits what was marked.
    """
    study._storage.record_heartbeat(trial._trial_id)
    study._storage.set_trial_user_attr(trial._trial_id, PULSE, trial.number)


def start_missing_pulses(study: Any) -> None:
    """Give a heartbeat to each running trial that has none."""
    from optuna.exceptions import UpdateFinishedTrialError

    for one in study.get_trials(deepcopy=False):
        if one.state.name == "RUNNING" and one.user_attrs.get(PULSE) != one.number:
            with suppress(UpdateFinishedTrialError):  # it ended while we looked
                start_pulse(study, one)


def is_over(trial: Any) -> bool:
    """Return whether the storage has a trial as ended, as when others took it for dead."""
    known = trial.study._storage.get_trial(trial._trial_id)
    return bool(known.state.is_finished())
