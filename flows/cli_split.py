"""`mammo data split`: folds, machines or periods, with balance and leak check."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_terminal import Json, output, reported, say, settings_from_environment, show
from mammo.errors import PatientLeak, SettingsInvalid

if TYPE_CHECKING:
    from mammo.data.split_report import SplitReport


class By(StrEnum):
    """What the parts of a split are."""

    FOLDS = "folds"
    MACHINE = "machine"
    PERIOD = "period"


class Every(StrEnum):
    """Calendar periods."""

    MONTH = "M"
    QUARTER = "Q"
    YEAR = "Y"


EXAMPLE = (
    "Example: mammo data split --source rsna path/to/train.csv --folds 5 --seed 7 "
    "--out folds.parquet --plot folds.png"
)


def add_split_commands(_app: typer.Typer, data: typer.Typer) -> None:
    """Add `mammo data split`."""
    data.command("split", epilog=EXAMPLE)(split)


@reported
def split(
    table: Annotated[
        Path | None,
        typer.Argument(help="An index (Parquet), or with --source a set's table; else our index."),
    ] = None,
    by: Annotated[By, typer.Option(help="What the parts are.")] = By.FOLDS,
    source: Annotated[
        str | None, typer.Option(help="Read TABLE as this source's table, for example rsna.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="With --by folds: how many.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same folds.")] = 7,
    target: Annotated[str, typer.Option(help="cancer, abnormal or dense.")] = "cancer",
    every: Annotated[Every, typer.Option(help="With --by period: its length.")] = Every.QUARTER,
    boundary: Annotated[
        list[datetime] | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="With --by period: a period's first day; repeat it."
        ),
    ] = None,
    dated_only: Annotated[
        bool, typer.Option(help="With --by period: leave out rows without a date.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the assignment (Parquet) here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a picture (PNG) here.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the tables as Markdown here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Split patients into folds, by machine or by period; show balance and leaks.

    Balance is checked and every split is searched for leaks: status 2 when the
    folds are uneven or when a patient, exam, file or image stands in two parts;
    nothing is written then.
    """
    days = tuple(sorted(day.date() for day in boundary or ()))
    report = _report(
        table, by, source, target, folds=folds, seed=seed, every=every.value, boundaries=days,
        dated_only=dated_only,
    )  # fmt: skip
    _show(report, as_json=as_json)
    if leaking := [words for one in report.leaks if not one.passed for words in one.sentences()]:
        raise PatientLeak(f"{leaking[0]} Nothing was written.")
    for path, kind in ((out, "assignment"), (plot, "plot"), (markdown, "markdown")):
        if path is not None:
            _write(report, path, kind)


def _report(
    table: Path | None, by: By, source: str | None, target: str, **options: Any
) -> SplitReport:
    from mammo.data import split_sources
    from mammo.data.split_report import report_folds, report_machines, report_periods

    settings = settings_from_environment()
    if source is not None and table is None:
        raise SettingsInvalid("--source names how TABLE is laid out: give the table's path too")
    if by is By.FOLDS:
        with split_sources.open_rows(table, source, settings) as (rows, whole):
            return report_folds(
                rows, folds=options["folds"], seed=options["seed"], target=target, whole=whole
            )
    rows = split_sources.read_rows(table, source, settings, dated_only=options["dated_only"])
    if by is By.MACHINE:
        return report_machines(rows, target=target)
    return report_periods(
        rows, every=options["every"], boundaries=options["boundaries"] or None, target=target
    )


def _show(report: SplitReport, *, as_json: bool) -> None:
    if as_json:
        show(report.to_dict(), as_json=True)
        return
    from rich.table import Table
    from rich.text import Text

    from mammo.data.split_page import TITLES, report_rows

    rows = report_rows(report, brief=True)
    table = Table(title=TITLES[report.by], title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in rows[0]:
        left = column in ("attribute", "level", "machine", "period")
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
    for row in rows:
        table.add_row(*(Text(row.get(column, "-")) for column in rows[0]))  # a name is no markup
    output().print(table)
    for words in (*report.sentences, *report.leak_sentences):
        output().print(words, markup=False, soft_wrap=True)


def _write(report: SplitReport, path: Path, kind: str) -> None:
    from mammo.data.split_page import write_markdown, write_plot
    from mammo.data.split_report import write_assignment

    {"assignment": write_assignment, "plot": write_plot, "markdown": write_markdown}[kind](
        report, path
    )
    say(f"{kind} written to {path}")
