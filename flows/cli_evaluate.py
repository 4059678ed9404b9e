"""`mammo evaluate`: what a release's scores are worth, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import (
    Json,
    PageTo,
    own_command,
    reported,
    settings_from_environment,
    show,
    stage_bars,
    tell,
)

if TYPE_CHECKING:
    from flows.progress import Advance
    from mammo.appraisal.evaluate_report import Asked, EvaluationReport

EPILOG = "Example: mammo evaluate r-20261122-1a2b3c4d --part golden --prevalence 0.0078"
SHOWN = (
    "auc", "partial_auc_specificity", "average_precision", "sensitivity", "specificity",
    "recall_rate", "ppv", "cancer_detection_per_1000", "pf1", "brier",
)  # fmt: skip


def add_evaluate_command(app: typer.Typer) -> None:
    """Add `mammo evaluate`."""
    app.command(epilog=EPILOG)(evaluate)


@reported
def evaluate(
    release: Annotated[
        str | None, typer.Argument(help="Release id or folder; its operating points decide.")
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(help="golden, holdout, out_of_fold, new or untouched (all but out_of_fold)."),
    ] = None,
    level: Annotated[
        str, typer.Option(help="image, breast, exam or patient: for curves and subgroups.")
    ] = "breast",
    prevalence: Annotated[
        float | None, typer.Option(help="Positives per exam to correct to, e.g. 0.0078.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="A table of scores (Parquet or CSV) instead.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=50, help="Resamples of patients.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same intervals.")] = 0,
    to: PageTo = None,
    as_json: Json = False,
) -> None:
    """Evaluate a release on patients it was not trained on: numbers, intervals, one HTML page."""
    from mammo.appraisal.evaluate_report import Asked

    if release is None and scores is None:
        raise typer.BadParameter("give a release, or --scores FILE")
    asked = Asked(part, level, prevalence, resamples, seed)
    with stage_bars(quiet=as_json) as bars:
        report = _evaluate(release, scores, asked, to, bars)
    if as_json:
        show(report.to_dict(), as_json=True)
        return
    metrics = report.evaluation.main.metrics
    found = {"page": report.path, "level": level, "part": report.evaluation.part or "all"}
    show(found | {name: str(metrics[name].interval) for name in SHOWN}, as_json=False)
    for sentence in report.warnings:
        tell(f"warning: {sentence}")


def _evaluate(
    name: str | None, scores: Path | None, asked: Asked, to: Path | None, progress: Advance
) -> EvaluationReport:
    from mammo.appraisal.evaluate_report import evaluate_file, evaluate_release
    from mammo.release import Release, find_release

    settings = settings_from_environment()
    command = own_command()
    directory = None
    if name is not None:
        folder = Path(name)
        directory = (
            folder.resolve() if folder.is_dir() else find_release(settings.releases_dir, name)
        )
    if scores is not None:
        release = Release.read(directory) if directory else None
        return evaluate_file(settings, scores, asked, release=release, to=to, command=command)
    assert directory is not None
    return evaluate_release(settings, directory, asked, to=to, command=command, progress=progress)
