"""`mammo dashboards check`: does every panel of Grafana's dashboards have something to show?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show, show_rows

if TYPE_CHECKING:
    from monitoring.dashboards.check import Answered

BOARDS = Path(__file__).resolve().parents[1] / "dashboards" / "grafana" / "dashboards"
COLUMNS = ("dashboard", "what", "title", "series", "note")


def add_dashboards_commands(app: typer.Typer) -> None:
    """Add the group `mammo dashboards`."""
    group = typer.Typer(help="Grafana's dashboards: check their queries.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command(
        epilog="Example: mammo dashboards check --prometheus http://localhost:9090"
    )(check)  # fmt: skip
    app.add_typer(group, name="dashboards")


@reported
def check(
    prometheus: Annotated[
        str, typer.Option(help="Address of the Prometheus that scrapes this installation.")
    ] = "http://127.0.0.1:9090",
    folder: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Other dashboards than those of mammo."),
    ] = None,
    database: Annotated[
        bool, typer.Option(help="Ask the prediction database, too; SQLite has to be left out.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Run the query of every panel, variable and annotation; status 1 where one gives nothing.

    Prometheus is asked for its last half hour, the database for the time at which a dashboard
    opens, with all values of every variable.
    """
    found = _answers(prometheus, folder or BOARDS, database=database)
    rows = [_row(one) for one in found]
    empty = sum(one.is_empty for one in found)
    if as_json:
        show({"queries": [one.to_dict() for one in found], "empty": empty}, as_json=True)
    else:
        show_rows(rows, COLUMNS, f"{len(rows)} queries, {empty} of them empty")
    raise typer.Exit(1 if empty or not found else 0)


def _answers(prometheus: str, folder: Path, *, database: bool) -> list[Answered]:
    from datetime import UTC, datetime

    from mammo.errors import ServiceUnreachable
    from monitoring.dashboards.check import Sources, check_boards

    if not (settings := settings_from_environment()).log_url.startswith("postgresql") and database:
        raise typer.BadParameter(
            "the prediction log is SQLite, which Grafana does not read by itself: set "
            "MAMMO_DATABASE_URL to PostgreSQL, or leave it out with --no-database"
        )
    log_url = settings.log_url if database else None
    sources = Sources(prometheus, log_url, datetime.now(UTC))
    if not sources.prometheus_answers():
        raise ServiceUnreachable(
            f"No Prometheus answers at {prometheus}: start it, or say where with --prometheus."
        )
    found = check_boards(folder, sources)
    return [one for one in found if database or one.asked.source == "prometheus"]


def _row(one: Answered) -> dict[str, Any]:
    name = f"{one.asked.title} {one.asked.name}".strip()
    board = one.asked.board.removeprefix("mammo · ")
    note = one.error or ("EMPTY" if one.is_empty else "")
    return {
        "dashboard": board,
        "what": one.asked.what,
        "title": name,
        "series": one.series,
        "note": note,
    }
