"""`mammo changes`: what was put into service, why, on whose word, and whether that still holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows.cli_terminal import (
    Json,
    PageTo,
    reported,
    settings_from_environment,
    show,
    show_rows,
    tell,
)

COLUMNS = ("number", "at", "release", "move", "clause", "trigger", "by")
IN_JSON = (*COLUMNS, "kind", "previous", "episode_key")
PLAN_COLUMNS = ("id", "title", "triggers", "gate", "approval", "stages")


def add_changes_commands(app: typer.Typer) -> None:
    """Add the group `mammo changes`."""
    group = typer.Typer(
        help="Changes of what is in service: list, show, verify them, draw their history.",
        no_args_is_help=True,
    )
    group.command(name="list", epilog="Example: mammo changes list --json")(list_changes)
    group.command(name="show", epilog="Example: mammo changes show 3")(show_change)
    group.command(epilog='Example: mammo changes verify --head "$(cat head.txt)"')(verify)
    group.command(epilog="Example: mammo changes page --to changes.html")(page)
    group.command(epilog="Example: mammo changes plan")(plan)
    app.add_typer(group, name="changes")


@reported
def list_changes(as_json: Json = False) -> None:
    """List the changes, oldest first: what was moved, by which clause of the plan, why."""
    from mammo.changes.history import clause_of, words_of
    from mammo.prediction_log import PredictionLog

    changes = PredictionLog(settings_from_environment().log_url).create().changes()
    rows: list[dict[str, Any]] = [
        {
            **one["record"],
            "number": number,
            "move": words_of(one["record"]),
            "clause": clause_of(one["record"]),
        }
        for number, one in enumerate(changes, 1)
    ]
    told = [{name: row.get(name) for name in IN_JSON} for row in rows]
    if as_json:
        show({"changes": told}, as_json=True)
        return
    show_rows(
        [row | {"at": str(row["at"])[:16].replace("T", " ")} for row in told],
        COLUMNS,
        "Changes, times in UTC",
    )


@reported
def show_change(
    number: Annotated[int, typer.Argument(help="Number of the change; `mammo changes list`.")],
    as_json: Json = False,
) -> None:
    """Show everything that was recorded of one change."""
    from mammo.changes.history import find_change

    show(find_change(settings_from_environment(), number), as_json=as_json, title="Change")


@reported
def verify(
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER:HASH", help="A head kept elsewhere: finds a history written anew."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every record: chain, signature, release, gate, approval, clause. Status 1 if wrong."""
    from mammo.changes.verify import verify_changes

    report = verify_changes(settings_from_environment(), head)
    if as_json:
        show(report.to_dict(), as_json=True)
    else:
        for one in report.wrong:
            tell(f"change {one.number}: {one.how}: {one.message}")
        for note in report.notes:
            tell(f"note: {note}")
        tell(f"{'intact' if report.intact else 'NOT INTACT'}: {report.records} changes")
        print(f"head {report.head or 'none'}")
    if not report.intact:
        raise typer.Exit(1)


@reported
def page(to: PageTo = None, as_json: Json = False) -> None:
    """Draw the history as a timeline on one page."""
    from mammo.changes.page import write_page

    show({"page": str(write_page(settings_from_environment(), to))}, as_json=as_json)


@reported
def plan(as_json: Json = False) -> None:
    """Show the change-control plan in force, with this installation's differences."""
    from mammo.changes.plan_file import read_plan

    found = read_plan(settings_from_environment())
    if as_json:
        show(found.to_dict() | {"sha256": found.sha256}, as_json=True)
        return
    rows = [
        {name: _words(value) for name, value in one.to_dict().items()}
        for one in found.clauses.values()
    ]
    show_rows(rows, PLAN_COLUMNS, f"Change-control plan {found.version}, {found.sha256[:12]}")
    tell(f"Intended use: {found.intended_use}")


def _words(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value
