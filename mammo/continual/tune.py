"""A tuning study: settings searched on the training patients, out of fold.

    study = open_study(storage, "first", space, facts)
    run_study(study, space, objective, trials=20)

Golden and holdout patients are taken away before the first trial. A study asked
for again goes on: ``trials`` is its total.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.continual.fit import labelled_index, settle_config
from mammo.continual.folds import cross_validate
from mammo.continual.measure import out_of_fold_metrics
from mammo.continual.split import Parts, split_index
from mammo.continual.tune_space import Space, suggest
from mammo.errors import SourceInvalid, StudyConflict
from mammo.models.config import TrainConfig
from mammo.settings import TELEMETRY_OFF, Settings

Objective = Callable[[dict[str, Any]], float]
FOLDS = 3
HEARTBEAT_S = 30
FACTS = "mammo"


@dataclass(frozen=True)
class StudyResult:
    """What a study found; ``default`` is the AUC of the configuration as it stands."""

    study: str
    trials: int
    failed: int
    best: float
    default: float
    params: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)


def default_storage(settings: Settings) -> str:
    """Return the URL of the studies' SQLite file under the home folder."""
    folder = settings.home.resolve() / "tuning"
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'studies.db'}"


def open_study(storage: str, name: str, space: Space, facts: dict[str, Any]) -> Any:
    """Open or make a study; trials of workers that died are failed and asked again.

    Raises StudyConflict where the name exists with another space or objective,
    and SourceInvalid without Optuna.
    """
    os.environ.update(TELEMETRY_OFF)
    try:
        import optuna
    except ImportError as error:
        raise SourceInvalid("tuning needs Optuna: pip install 'mammo[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    again = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=2)
    store = optuna.storages.RDBStorage(
        storage, heartbeat_interval=HEARTBEAT_S, heartbeat_stale_trial_callback=again
    )
    study = optuna.create_study(
        storage=store, study_name=name, direction="maximize", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=None),
    )  # fmt: skip
    wanted = json.loads(json.dumps({"space": space} | facts))
    have = study.user_attrs.get(FACTS)
    if have is None:
        study.set_user_attr(FACTS, wanted)
    elif have != wanted:
        _refuse(name, have, wanted)
    return study


def _refuse(name: str, have: dict[str, Any], wanted: dict[str, Any]) -> None:
    keys = sorted(key for key in have.keys() | wanted.keys() if have.get(key) != wanted.get(key))
    told = "; ".join(f"{key} is {have.get(key)!r}, asked {wanted.get(key)!r}" for key in keys)
    raise StudyConflict(f"the study {name!r} exists with another {told}. Choose another name")


def run_study(study: Any, space: Space, objective: Objective, trials: int) -> None:
    """Run trials until ``trials`` have ended well; the first is taken up where one was left."""
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    fail_stale_trials(study)
    left = trials - len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    if left > 0:
        study.optimize(lambda trial: objective(suggest(trial, space)), n_trials=left)


def training_only(parts: Parts) -> Parts:
    """Return the parts with the training patients alone, to be folded anew."""
    nobody = parts.holdout.iloc[:0]
    folds = pd.Series(dtype="int64")
    return replace(parts, holdout=nobody, golden=parts.golden.iloc[:0], folds=folds)


def out_of_fold_auc(config: TrainConfig, parts: Parts, shards: Path) -> float:
    """Return the AUC of breasts out of fold, as a release's own is measured."""
    estimate = cross_validate(config, parts, shards)
    if estimate is None:
        raise SourceInvalid("folds is 1; allowed for tuning are 2 and more")
    return float(out_of_fold_metrics(estimate, config)["out_of_fold_auc"]["breast"]["value"])


def tune(
    settings: Settings, name: str, config: str, space: Space, trials: int, storage: str | None
) -> StudyResult:
    """Search ``space`` around a configuration, and return the best beside the default."""
    base = settle_config(settings, config)
    base = replace(base, folds=max(base.folds, FOLDS), shuffles=1)
    parts = training_only(split_index(labelled_index(settings), base))
    patients = sorted(parts.train["patient_id"].astype(str).unique())
    facts = {
        "config": base.to_dict(),
        "patients": _digest(patients),
        "objective": "out-of-fold AUC",
    }
    study = open_study(storage or default_storage(settings), name, space, facts)

    def objective(params: dict[str, Any]) -> float:
        settled = TrainConfig.from_dict(base.to_dict() | params)
        return out_of_fold_auc(settled, parts, settings.shards_dir)

    if "default" not in study.user_attrs:
        study.set_user_attr("default", objective({}))
    run_study(study, space, objective, trials)
    return study_result(study)


def _digest(patients: list[str]) -> str:
    """Return who is judged, as a number and a digest that names nobody."""
    return f"{len(patients)}, {hashlib.sha256(chr(10).join(patients).encode()).hexdigest()[:12]}"


def study_result(study: Any) -> StudyResult:
    """Return what a study with at least one whole trial found."""
    states = [one.state.name for one in study.get_trials(deepcopy=False)]
    return StudyResult(
        study.study_name, states.count("COMPLETE"), states.count("FAIL"),
        float(study.best_value), float(study.user_attrs["default"]), dict(study.best_params),
    )  # fmt: skip
