"""A study in MLflow: one run with what was found, every trial, and Optuna's plots.

The run is the study's for life: one that goes on writes into the run it has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mammo.continual.tune_states import AGAIN, DIVERGED, ERROR
from mammo.continual.tune_study import WORKER, Job, quiet_optuna
from mammo.models.tracking import experiment_id, flatten, mlflow_client
from mammo.settings import Settings

EXPERIMENT = "mammo-tuning"
RUN = "mlflow_run_id"
AUC = "AUC of breasts, out of fold"
FANOVA_SEED = 0
WIDTH, HEIGHT = 10.0, 5.0  # inches: Optuna's legends stand beside the axes


def record_study(
    settings: Settings, study: Any, job: Job, result: dict[str, Any], folder: Path
) -> str:
    """Write plots and trials into ``folder``, log all of it, and return the run's id."""
    folder.mkdir(parents=True, exist_ok=True)
    trials = trials_table(study)
    trials.to_csv(folder / "trials.csv", index=False)
    (folder / "space.yaml").write_text(yaml.safe_dump(job.space, sort_keys=False))
    draw_plots(study, folder)
    client = mlflow_client(settings)
    run_id = _run(client, settings, study)
    told = {"study": result | {RUN: run_id, "folder": folder.name}}
    (folder / "result.json").write_text(json.dumps(told["study"], indent=1) + "\n")
    _log(client, run_id, job, result, trials)
    client.log_artifacts(run_id, str(folder), "tuning")
    client.set_terminated(run_id)
    return run_id


def _run(client: Any, settings: Settings, study: Any) -> str:
    """Return the study's run, made where MLflow has none of it."""
    from mlflow.exceptions import MlflowException

    known = study.user_attrs.get(RUN)
    if known is not None:
        try:
            return str(client.get_run(known).info.run_id)
        except MlflowException as error:  # another MLflow than last time
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    experiment = experiment_id(client, settings, EXPERIMENT)
    made = client.create_run(experiment, run_name=f"tune {study.study_name}")
    client.set_tag(made.info.run_id, "study", study.study_name)
    study.set_user_attr(RUN, made.info.run_id)
    return str(made.info.run_id)


def _log(client: Any, run_id: str, job: Job, result: dict[str, Any], trials: pd.DataFrame) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    asked = {"sampler": job.search.sampler, "pruner": job.search.pruner, "seed": job.search.seed}
    base = flatten({"default": job.facts.get("config", {}), "space": job.space})
    fixed = base | {"patients": job.facts.get("patients", "")}
    known = client.get_run(run_id).data.params
    params = [Param(k, str(v)[:500]) for k, v in fixed.items() if k not in known]
    client.log_batch(run_id, params=params)
    for name, value in (asked | flatten({"best": result["params"]})).items():
        client.set_tag(run_id, name, str(value))  # a param could not change when the study goes on
    numbers = flatten({k: v for k, v in result.items() if k != "params"})
    found = [
        Metric(name, float(value), now, len(trials))
        for name, value in numbers.items()
        if isinstance(value, int | float)
    ]
    client.log_batch(run_id, metrics=[*found, *_curve(trials, now)])


def _curve(trials: pd.DataFrame, now: int) -> Iterator[Any]:
    """Yield each whole trial's AUC and the best so far, by trial number."""
    from mlflow.entities import Metric

    whole = trials[trials["state"] == "COMPLETE"]
    for number, auc, best in zip(whole["trial"], whole["auc"], whole["auc"].cummax(), strict=True):
        yield Metric("trial_auc", float(auc), now, int(number))
        yield Metric("best_auc", float(best), now, int(number))


def trials_table(study: Any) -> pd.DataFrame:
    """Return one row a trial: state, AUC, AUC after each fold, seconds, settings, worker."""
    return pd.DataFrame([_row(one) for one in study.get_trials(deepcopy=False)])


def _row(trial: Any) -> dict[str, Any]:
    seconds = None if trial.duration is None else round(trial.duration.total_seconds(), 3)
    folds = {f"auc_after_fold_{step}": auc for step, auc in trial.intermediate_values.items()}
    own = {
        "trial": trial.number,
        "state": trial.state.name,
        "auc": trial.value if trial.state.name == "COMPLETE" else None,
        "seconds": seconds,
        "retry_of": trial.system_attrs.get("failed_trial", trial.user_attrs.get(AGAIN)),
        "diverged": DIVERGED in trial.user_attrs,
        "error": trial.user_attrs.get(ERROR),
        "worker": trial.user_attrs.get(WORKER),
    }
    return own | trial.params | folds


def draw_plots(study: Any, folder: Path) -> list[Path]:
    """Draw history, slice and importance as PNG; the last where settings differ in effect."""
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.visualization import matplotlib as plots

    drawn = [
        _draw(lambda: plots.plot_optimization_history(study, target_name=AUC), folder, "history"),
        _draw(lambda: plots.plot_slice(study, target_name=AUC), folder, "slice"),
    ]
    if _may_rank(study):
        judge = FanovaImportanceEvaluator(seed=FANOVA_SEED)
        drawn.append(
            _draw(
                lambda: plots.plot_param_importances(study, evaluator=judge, target_name=AUC),
                folder, "importance",
            )
        )  # fmt: skip
    return drawn


def _may_rank(study: Any) -> bool:
    """Importance needs trials that differ in value: it divides by their variance."""
    values = {one.value for one in study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"}
    return len(values) > 1


def _draw(plot: Callable[[], Any], folder: Path, name: str) -> Path:
    """Save one of Optuna's plots; they change the style and the current figure of pyplot."""
    with _own_pyplot() as pyplot:
        plot()
        figure = pyplot.gcf()
        figure.set_size_inches(max(WIDTH, figure.get_figwidth()), HEIGHT)
        for axes in figure.axes:
            axes.tick_params(axis="x", which="both", labelrotation=60)  # logarithms are long
        figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
    return folder / f"{name}.png"


@contextmanager
def _own_pyplot() -> Iterator[Any]:
    from matplotlib import pyplot

    before = set(pyplot.get_fignums())
    with quiet_optuna(), pyplot.style.context("default"), pyplot.rc_context({"backend": "agg"}):
        try:
            yield pyplot
        finally:
            for number in set(pyplot.get_fignums()) - before:
                pyplot.close(number)
