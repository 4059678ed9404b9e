"""`mammo alerts drill`: does a drift reach the people who should hear of it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import Json, output, reported, say, show, show_rows

if TYPE_CHECKING:
    from flows.alerts_drill import DrillReport


def add_alerts_commands(app: typer.Typer) -> None:
    """Add the group `mammo alerts`."""
    group = typer.Typer(
        help="Alerts: rehearse that a drift reaches people by mail and webhook.",
        no_args_is_help=True,
    )
    group.command(epilog="Example: mammo alerts drill --to runs/alerts")(drill)
    group.callback()(lambda: None)  # a group although it has one command
    app.add_typer(group, name="alerts")


@reported
def drill(
    directory: Annotated[
        Path, typer.Option("--to", help="Where the drill keeps home, messages and logs.")
    ] = Path("runs/alerts"),
    as_json: Json = False,
) -> None:
    """Let a drift reach a mailbox and a webhook by Prometheus and Alertmanager. Status 1 if not.

    Two to five minutes on two cores. Needs Debian's prometheus and prometheus-alertmanager.
    """
    from flows.alerts_drill import run_alerts_drill

    report = run_alerts_drill(directory, (lambda _: None) if as_json else say)
    if as_json:
        show(report.to_dict(), as_json=True)
    else:
        _show(report)
    if not report.is_right:
        raise typer.Exit(1)


def _show(report: DrillReport) -> None:
    for name in ("mail", "mail when over"):
        if mail := report.messages.get(name):
            heads = (f"{one.title()}: {mail[one]}" for one in ("from", "to", "subject"))
            text = "\n".join(["", f"--- {name} ---", *heads, "", mail["text"]])
            output().print(text, markup=False, soft_wrap=True)
    if call := report.messages.get("webhook"):
        output().print("--- webhook ---", markup=False)
        output().print_json(data=call)
    rows = [{"claim": one, "held": "yes" if held else "NO"} for one, held in report.claims.items()]
    show_rows(rows, ("claim", "held"), "Alerts drill")
    told = ", ".join(f"{name} after {seconds} s" for name, seconds in report.seconds.items())
    say(f"{told}; messages are in {report.folder}")
