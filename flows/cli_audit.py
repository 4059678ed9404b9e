"""`mammo audit`: verify the audit log of the service, show it, print its head."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Annotated, Any

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show, show_rows

COLUMNS = ("seq", "at", "who", "action", "exam", "release", "result", "status")


def add_audit_commands(app: typer.Typer) -> None:
    """Add the group `mammo audit`."""
    group = typer.Typer(
        help="The audit log of the service: verify its chain, show it, keep its head.",
        no_args_is_help=True,
    )
    group.command(epilog='Example: mammo audit verify --head "$(cat head.txt)"')(verify)
    group.command(name="show", epilog="Example: mammo audit show --last 50 --json")(show_lines)
    group.command(epilog="Example: mammo audit head > /mnt/elsewhere/head.txt")(head)
    app.add_typer(group, name="audit")


def _log() -> Any:
    from mammo.audit import AuditLog

    return AuditLog(settings_from_environment().audit_path)


@reported
def verify(
    kept: Annotated[
        str | None,
        typer.Option(
            "--head", metavar="SEQ:HASH", help="A head kept elsewhere: finds lines cut off."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the chain; name the first broken line and how, and exit with status 1."""
    report = _log().verify(kept)
    if as_json:
        show(report.to_dict(), as_json=True)
    elif report.intact:
        print(f"intact: {report.lines} lines, {report.message}")
        print(f"head {report.head}")
    else:
        print(f"broken at line {report.broken_line} ({report.how}): {report.message}")
    if not report.intact:
        raise typer.Exit(1)


@reported
def show_lines(
    last: Annotated[int, typer.Option(min=1, help="How many of the newest lines.")] = 20,
    exam: Annotated[str | None, typer.Option(help="Only lines about this exam id.")] = None,
    as_json: Json = False,
) -> None:
    """Show who did what, oldest first; lines that were tampered with are left out."""
    wanted = (one for one in _log().entries() if exam is None or one["exam"] == exam)
    rows = list(deque(wanted, maxlen=last))
    if as_json:
        show({"lines": rows}, as_json=True)
        return
    told = [row | {"at": f"{datetime.fromisoformat(row['at']):%Y-%m-%d %H:%M:%S}"} for row in rows]
    show_rows(told, COLUMNS, "Audit log, times in UTC")


@reported
def head(as_json: Json = False) -> None:
    """Print the head of the chain, to be kept where the service cannot write."""
    found = _log().head()
    if as_json:
        show({"seq": found.seq, "hash": found.hash, "head": str(found)}, as_json=True)
        return
    print(found)
