"""`mammo tune`: settings searched on the training patients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import (
    Json,
    quiet_mlflow,
    reported,
    settings_from_environment,
    show,
    stage_bars,
    tell,
)

if TYPE_CHECKING:
    from mammo.continual.tune import StudyResult

EPILOG = (
    "Example: mammo tune --config demo --space configs/tune/demo.yaml --study first --workers 2"
)


def add_tune_command(app: typer.Typer) -> None:
    """Add `mammo tune`."""
    app.command(epilog=EPILOG)(tune)


@reported
def tune(
    space: Annotated[Path, typer.Option(help="YAML: settings and their ranges.")],
    study: Annotated[str, typer.Option(help="Name; asked again, the study goes on.")],
    config: Annotated[str, typer.Option(help="Configuration to start from.")] = "demo",
    trials: Annotated[
        int, typer.Option(min=1, help="Trials of the study in all: whole, pruned or diverged.")
    ] = 20,
    storage: Annotated[
        str | None,
        typer.Option(help="sqlite:/// or postgresql:// URL; else SQLite in the home folder."),
    ] = None,
    sampler: Annotated[str, typer.Option(help="tpe, random or grid.")] = "tpe",
    pruner: Annotated[
        str, typer.Option(help="median, hyperband or none: who is stopped after a fold.")
    ] = "median",
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is proposed.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes, a trial each.")] = 1,
    holdout: Annotated[
        bool, typer.Option(help="Look at the holdout once for each winner: an honest gain.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Search settings by out-of-fold AUC of the training patients; the golden set stays sealed."""
    from mammo.continual.tune import tune as run
    from mammo.continual.tune_space import read_space
    from mammo.continual.tune_study import Search

    quiet_mlflow()
    settings, search = settings_from_environment(), Search(sampler, pruner, seed)
    with stage_bars(quiet=as_json) as bars:
        found = run(
            settings, study, config, read_space(space), trials, storage=storage, search=search,
            workers=workers, holdout=holdout, progress=bars,
        )  # fmt: skip
    if as_json:
        show(found.to_dict(), as_json=True)
        return
    _tell(found)


def _tell(found: StudyResult) -> None:
    rows = {
        "trials": f"{found.trials} whole, {found.pruned} pruned, {found.failed} failed",
        "default": found.default,
        "best": found.best,
        **found.params,
        "MLflow run": found.mlflow_run_id,
        "plots and trials": str(found.folder),
    }
    show(rows, as_json=False, title=f"Study {found.study}")
    for sentence in found.sentences:
        tell(sentence)
