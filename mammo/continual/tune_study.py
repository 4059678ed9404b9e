"""A study in Optuna's storage: its sampler, its pruner, and the trials that count.

    job = Job(storage, "first", space, 20, objective, lock)
    run_study(open_study(job), job)

The total of a study is of trials that ended (`tune_states.has_ended`). A trial whose
worker died is failed once its heartbeat is stale, and asked again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

from mammo.continual.tune_space import Space, grid, suggest
from mammo.continual.tune_states import (
    DIVERGED,
    ERROR,
    INTERRUPTED,
    ask_again,
    count_trials,
    is_over,
    start_missing_pulses,
    start_pulse,
    tell_other_grid,
)
from mammo.continual.tune_storage import open_storage
from mammo.errors import SourceInvalid, StudyConflict, TrainingDiverged
from mammo.settings import TELEMETRY_OFF

Tell = Callable[[int, float], None]
"""Told after each fold: folds done, AUC so far. Raises where the trial is not worth going on."""
Objective = Callable[[dict[str, Any], Tell], float]
Progress = Callable[[int, int], None]

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("median", "hyperband", "none")
HEARTBEAT_S = 10
FACTS, WORKER = "mammo", "worker"


@dataclass(frozen=True)
class Search:
    """How a space is searched; ``folds`` is how often a trial is told about.

    The seed of a trial's proposal is ``seed`` and its place among all trials, failed
    ones too: a study that goes on does not draw again what it drew before.
    """

    sampler: str = "tpe"
    pruner: str = "median"
    seed: int = 0
    folds: int = 3

    def __post_init__(self) -> None:
        """Refuse a sampler or pruner that there is none of."""
        for kind, value, allowed in (
            ("sampler", self.sampler, SAMPLERS), ("pruner", self.pruner, PRUNERS),
        ):  # fmt: skip
            if value not in allowed:
                raise SourceInvalid(f"{kind} is {value!r}; allowed are {', '.join(allowed)}")

    def new_sampler(self, space: Space, place: int) -> Any:
        """Return the sampler of the trial at this place, from 0, of the study."""
        from optuna import samplers

        told = hashlib.sha256(f"{self.seed}:{place}".encode()).digest()  # not alike from 1 to 2
        seed = int.from_bytes(told[:4], "big")
        if self.sampler == "grid":
            return samplers.GridSampler(grid(space), seed=self.seed)
        if self.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed)

    def new_pruner(self) -> Any:
        """Return the pruner; its steps are the folds that a trial has behind it."""
        from optuna import pruners

        if self.pruner == "median":
            return pruners.MedianPruner(n_startup_trials=5)
        if self.pruner == "hyperband":
            return pruners.HyperbandPruner(min_resource=1, max_resource=self.folds)
        return pruners.NopPruner()


@dataclass(frozen=True, eq=False)
class Job:
    """What a worker is handed, to be pickled: where the study is and what a trial does.

    ``facts`` are what a study of that name must agree in: configuration, patients.
    ``lock`` is a file that one worker holds while it takes a trial: no more are
    taken on this machine than the study's total, and a worker that dies lets go.
    """

    storage: str
    study: str
    space: Space
    trials: int
    objective: Objective
    lock: Path
    search: Search = field(default_factory=Search)
    facts: dict[str, Any] = field(default_factory=dict)
    heartbeat_s: int = HEARTBEAT_S


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silence Optuna's warnings that a feature is experimental, and no others."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def open_study(job: Job) -> Any:
    """Open or make the study of a job.

    Raises
    ------
    StudyConflict
        The name exists with another space, configuration or set of patients, or with
        trials that are none of this grid, or of a grid and the search is none.
    SourceInvalid
        Optuna or the storage's driver is not installed, or it cannot be opened.
    """
    os.environ.update(TELEMETRY_OFF)
    try:
        import optuna
    except ImportError as error:
        raise SourceInvalid(
            "tuning needs Optuna: pip install -e '.[tune]' in the checkout"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with quiet_optuna():
        study = optuna.create_study(
            storage=open_storage(job.storage, job.heartbeat_s), study_name=job.study,
            direction="maximize", load_if_exists=True, pruner=job.search.new_pruner(),
        )  # fmt: skip
    wanted = json.loads(json.dumps({"space": job.space} | job.facts))
    have = study.user_attrs.get(FACTS)
    if have is None:
        study.set_user_attr(FACTS, wanted)
    elif have != wanted:
        _refuse(job.study, _differences(have, wanted))
    if told := tell_other_grid(study, job.search.sampler, job.search.seed):
        _refuse(job.study, told)
    return study


def _differences(have: dict[str, Any], wanted: dict[str, Any]) -> str:
    keys = sorted(key for key in have.keys() | wanted.keys() if have.get(key) != wanted.get(key))
    return "; ".join(f"{key} is {have.get(key)!r}, asked {wanted.get(key)!r}" for key in keys)


def _refuse(name: str, told: str) -> NoReturn:
    raise StudyConflict(f"the study {name!r} exists with another {told}. Choose another name")


def run_study(study: Any, job: Job, progress: Progress | None = None) -> None:
    """Run trials until ``job.trials`` of the study have ended, whoever ran them.

    Where the last ones are with other workers it waits: should one die, its
    trial is failed and taken up here.
    """
    tell = progress or (lambda done, total: None)
    while (ended := count_trials(study)) < job.trials:
        tell(ended, job.trials)
        with quiet_optuna():
            start_missing_pulses(study)
            if not _run_next(study, job):
                time.sleep(min(1.0, job.heartbeat_s / 2))
    tell(ended, job.trials)


@dataclass(eq=False)
class _Turn:
    """A worker's turn: the lock that it holds, and whether its trial was taken from it."""

    held: IO[str]
    lost: bool = False


def _run_next(study: Any, job: Job) -> bool:
    """Run a trial; False where all that the study still needs are running elsewhere."""
    from optuna.storages import fail_stale_trials

    with _hold(job.lock) as held:
        fail_stale_trials(study)
        ask_again(study)
        if count_trials(study, running=True) >= job.trials:
            return False
        turn, place = _Turn(held), len(study.get_trials(deepcopy=False))
        study.sampler = job.search.new_sampler(job.space, place)
        try:
            study.optimize(
                partial(_run_trial, job=job, turn=turn), n_trials=1, catch=(TrainingDiverged,)
            )
        except Exception:
            if not turn.lost:  # so busy that others took us for dead: they run it again
                raise
    return True


@contextmanager
def _hold(lock: Path) -> Iterator[IO[str]]:
    """Hold a lock until the block ends or the file is closed; a process that dies lets go."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle


def _run_trial(trial: Any, job: Job, turn: _Turn) -> float:
    """Run what a trial proposes, and keep with it why it failed."""
    from optuna import TrialPruned

    start_pulse(trial.study, trial)
    trial.set_user_attr(WORKER, os.getpid())
    params = suggest(trial, job.space)
    turn.held.close()  # the trial is taken: the next worker may take its own
    try:
        return job.objective(params, partial(_report, trial, job.search.folds))
    except TrainingDiverged as error:
        trial.set_user_attr(DIVERGED, error.message)
        raise
    except TrialPruned:
        raise
    except KeyboardInterrupt:
        trial.set_user_attr(INTERRUPTED, trial.number)
        raise
    except Exception as error:
        trial.set_user_attr(ERROR, type(error).__name__)
        raise
    finally:
        turn.lost = is_over(trial)


def _report(trial: Any, folds: int, done: int, auc: float) -> None:
    from optuna import TrialPruned

    trial.report(auc, step=done)
    if done < folds and trial.should_prune():
        raise TrialPruned(f"after {done} of {folds} folds")
