"""Which trials of a study have ended for good, and which give no sign of life.

Optuna fails a trial whose heartbeat is stale. One whose process died before its first
heartbeat has none, is never stale, and a study that waits for it waits for ever: so it
is given one here, and is stale like any other when no second follows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

RETRIES = 2
"""How often a trial whose worker died is run again."""
DIVERGED, ERROR, PULSE = "diverged", "error", "pulse"


def count_trials(study: Any, *, running: bool = False) -> int:
    """Return how many trials ended (`has_ended`); with those that run on request."""
    every = study.get_trials(deepcopy=False)
    return sum(has_ended(one) or (running and one.state.name == "RUNNING") for one in every)


def has_ended(trial: Any) -> bool:
    """Return whether a trial is done with: whole, pruned, diverged, or failed for good.

    For good is by an error of its own, or with its worker as often as it may be run
    again. One that a person interrupted has not ended: another takes its place.
    """
    if trial.state.name != "FAIL":
        return bool(trial.state.name in ("COMPLETE", "PRUNED"))
    own = DIVERGED in trial.user_attrs or ERROR in trial.user_attrs
    return own or len(trial.system_attrs.get("retry_history", ())) >= RETRIES


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
