"""`mammo compare`: which of several models is better, and how surely, on one page."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli_terminal import (
    Json,
    PageTo,
    own_command,
    reported,
    settings_from_environment,
    show,
    show_rows,
    stage_bars,
    tell,
)

EPILOG = "Example: mammo compare r-20261122-1a2b3c4d r-20261123-5e6f7a8b --part golden"


def add_compare_command(app: typer.Typer) -> None:
    """Add `mammo compare`."""
    app.command(epilog=EPILOG)(compare)


@reported
def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Releases, MLflow runs, or folders of releases; 2 to 8.")
    ],
    part: Annotated[
        str, typer.Option(help="golden, holdout, new, untouched (all these), or out_of_fold.")
    ] = "untouched",
    level: Annotated[str, typer.Option(help="image, breast, exam or patient.")] = "breast",
    resamples: Annotated[int, typer.Option(min=50, help="Resamples of patients.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same intervals.")] = 0,
    to: PageTo = None,
    as_json: Json = False,
) -> None:
    """Compare models on the exams that all scored and none was trained on; one HTML page."""
    from mammo.appraisal.compare_report import write_comparison

    with stage_bars(quiet=as_json) as bars:
        report = write_comparison(
            settings_from_environment(), runs, part=part, level=level, resamples=resamples,
            seed=seed, to=to, command=own_command(), progress=bars,
        )  # fmt: skip
    if as_json:
        show(report.to_dict(), as_json=True)
        return
    rows = [
        {"run": name} | {
            metric: str(one.main.metrics[metric].interval)
            for metric in ("auc", "sensitivity_at_specificity_90", "brier")
        }
        for name, one in report.comparison.evaluations.items()
    ]  # fmt: skip
    show_rows(rows, ("run", "auc", "sensitivity_at_specificity_90", "brier"), f"By {level}")
    for sentence in report.warnings:
        tell(f"warning: {sentence}")
    for sentence in report.sentences:
        tell(sentence)
    tell(f"page: {report.path}")
