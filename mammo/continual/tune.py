"""A tuning study: settings searched on the training patients, out of fold.

    found = tune(settings, "first", "demo", space, trials=20)
    found.gain.gain, found.holdout.gain     # best - default: kind, and honest

Golden and holdout patients are taken away before the first trial, those of the release
in service as well; the holdout is looked at once there is a winner. A study asked for
again goes on: ``trials`` is its total.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mammo.continual.fit import labelled_index, settle_config
from mammo.continual.judge import in_service
from mammo.continual.split import Parts, known_parts, split_index
from mammo.continual.tune_gain import Gain, gain_sentences, measure_gain
from mammo.continual.tune_looks import BOOK, Look, look_once, patients_digest
from mammo.continual.tune_record import record_study
from mammo.continual.tune_space import Space, check_over, grid_size
from mammo.continual.tune_states import count_trials
from mammo.continual.tune_study import HEARTBEAT_S, Job, Search, open_study
from mammo.continual.tune_trial import FoldObjective, data_digest, score_holdout, training_only
from mammo.continual.tune_workers import run_workers
from mammo.errors import SourceInvalid, TuningStopped
from mammo.evaluation.metrics import roc_auc
from mammo.models.tracking import require_tracking
from mammo.settings import Settings

Stages = Callable[[str, int, int], None]
FOLDS = 3
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DEFAULT = "default"
KEPT, DATABASE = "scores", "studies.db"
OWN = re.compile(
    rf"{KEPT}|{re.escape(DATABASE)}.*|{re.escape(Path(BOOK).stem)}(\..*)?|.*\.lock", re.IGNORECASE
)
"""What tuning itself keeps beside the studies' folders."""


@dataclass(frozen=True)
class StudyResult:
    """What a study found; ``gain`` is on the patients it was chosen by, ``holdout`` on others.

    ``trials`` counts whole ones; ``failed`` those that diverged,
    failed, or whose worker died. ``holdout_looks`` are those of every study of the
    installation at these holdout patients.
    """

    study: str
    trials: int
    pruned: int
    failed: int
    best: float
    default: float
    params: dict[str, Any]
    gain: Gain
    holdout: Gain | None
    holdout_looks: int
    sentences: tuple[str, ...]
    mlflow_run_id: str
    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return vars(self) | {
            "gain": self.gain.to_dict(),
            "holdout": None if self.holdout is None else self.holdout.to_dict(),
            "sentences": list(self.sentences),
            "folder": str(self.folder),
        }


def default_storage(settings: Settings) -> str:
    """Return the URL of the studies' SQLite file under the home folder."""
    return f"sqlite:///{_folder(settings) / DATABASE}"


def _folder(settings: Settings) -> Path:
    folder = settings.home.resolve() / "tuning"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tune(
    settings: Settings,
    name: str,
    config: str,
    space: Space,
    trials: int,
    *,
    storage: str | None = None,
    search: Search | None = None,
    workers: int = 1,
    holdout: bool = True,
    progress: Stages | None = None,
) -> StudyResult:
    """Search ``space`` around a configuration, and return the best beside the default.

    Raises
    ------
    StudyConflict
        A study of that name searches something else.
    TuningStopped
        Every worker died; or no trial was whole.
    SourceInvalid
        A name, space, sampler or storage that cannot be.
    AzureError
        Runs go to an Azure ML workspace, which refuses; said before any trial.
    """
    _check_name(settings, name)
    require_tracking(settings)
    tell = progress or (lambda stage, done, total: None)
    job, parts = prepare_job(settings, name, config, space, trials, storage, search)
    objective = job.objective
    assert isinstance(objective, FoldObjective)
    study = open_study(job)
    if DEFAULT not in study.user_attrs:
        told = objective({}, lambda done, auc: tell("default", done, objective.base.folds))
        study.set_user_attr(DEFAULT, told)
    run_workers(study, job, workers, lambda done, total: tell("trials", done, total))
    _require_whole(study)
    look = _honest(settings, study, objective, parts) if holdout else None
    found = study_result(study, objective, look)
    folder = _folder(settings) / name
    run_id = record_study(settings, study, job, found.to_dict(), folder)
    return replace(found, mlflow_run_id=run_id, folder=folder)


def _check_name(settings: Settings, name: str) -> None:
    """Refuse a name that no folder beside what tuning keeps can have."""
    why = ""
    if not NAME.fullmatch(name):
        why = "allowed are letters, digits, . _ - (64 at most)"
    elif OWN.fullmatch(name):
        why = "tuning keeps a file or folder of that name"
    elif (place := _folder(settings) / name).exists() and not place.is_dir():
        why = "what is there under that name is a file"
    if why:
        raise SourceInvalid(f"a study cannot be called {name!r}: {why}")


def prepare_job(
    settings: Settings,
    name: str,
    config: str,
    space: Space,
    trials: int,
    storage: str | None = None,
    search: Search | None = None,
) -> tuple[Job, Parts]:
    """Return a study's job, which knows training patients alone, and all the parts.

    A patient that the release in service knows keeps her part, whatever fractions this
    configuration has: its golden set is in no trial and no holdout. A grid has no more
    trials than combinations.
    """
    base = settle_config(settings, config)
    base = replace(base, folds=max(base.folds, FOLDS), shuffles=1)
    check_over(space, base)
    parts = split_index(labelled_index(settings), base, known=known_parts(in_service(settings)))
    own = training_only(parts)
    search = replace(search or Search(), folds=base.folds)
    facts = {
        "config": base.to_dict(),
        "patients": data_digest(own.train, base.target),
        "objective": "out-of-fold AUC",
    }
    folder = _folder(settings)
    objective = FoldObjective(base, own, settings.shards_dir, folder / KEPT)
    most = min(trials, grid_size(space)) if search.sampler == "grid" else trials
    job = Job(
        storage or default_storage(settings), name, space, most, objective,
        folder / f"{name}.lock", search, facts, HEARTBEAT_S,
    )  # fmt: skip
    return job, parts


def _require_whole(study: Any) -> None:
    if not any(one.state.name == "COMPLETE" for one in study.get_trials(deepcopy=False)):
        raise TuningStopped(
            f"none of {count_trials(study)} trials was whole: all diverged or failed. "
            "Lower the upper end of learning_rate, and give the study another name"
        )


def _honest(settings: Settings, study: Any, objective: FoldObjective, parts: Parts) -> Look | None:
    """Look at the holdout once for each winner; the installation remembers every look."""
    if parts.holdout.empty:
        return None
    configs = objective.base, objective.settle(study.best_params)

    def measure() -> Gain:
        default, best = (score_holdout(one, parts, objective.shards_dir) for one in configs)
        return measure_gain(default, best)

    seen = [data_digest(rows, objective.base.target) for rows in (parts.train, parts.holdout)]
    told = json.dumps([*seen, *(one.to_dict() for one in configs)], sort_keys=True)
    key = hashlib.sha256(told.encode()).hexdigest()[:24]
    patients = patients_digest(parts.holdout)
    return look_once(_folder(settings), patients, study.study_name, key, measure)


def study_result(study: Any, objective: FoldObjective, look: Look | None) -> StudyResult:
    """Return what a study with at least one whole trial found, its best trained again if need be.

    The scores that were kept must give the AUC that the study remembers: a
    winner that cannot be had again is none (TuningStopped).
    """
    states = [one.state.name for one in study.get_trials(deepcopy=False)]
    best, default = objective.scores(study.best_params), objective.scores({})
    _require_same(best, float(study.best_value))
    gain = measure_gain(default, best)
    holdout, number, total = (look.gain, look.number, look.total) if look else (None, 0, 0)
    sentences = gain_sentences(gain, holdout, count_trials(study), number, total)
    return StudyResult(
        study.study_name, states.count("COMPLETE"), states.count("PRUNED"), states.count("FAIL"),
        float(study.best_value), float(study.user_attrs[DEFAULT]), dict(study.best_params),
        gain, holdout, total, tuple(sentences), "", Path(),
    )  # fmt: skip


def _require_same(best: Any, told: float) -> None:
    again = roc_auc(best["label"].astype(int), best["logit"])
    if abs(again - told) > 1e-3:
        raise TuningStopped(
            f"the best trial had an AUC of {told:.4f} and has {again:.4f} when trained again: it "
            "was another machine, or another version. Search in one environment"
        )
