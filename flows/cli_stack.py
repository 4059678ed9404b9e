"""`mammo up`, `down`, `status`, `demo`, `drill`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import Json, output, reported, say, settings_from_environment, show_rows

if TYPE_CHECKING:
    from flows.stack import StackReport
    from mammo.settings import Settings

DRILL_COLUMNS = ("name", "planted", "named", "course")
COLUMNS = ("title", "status", "pid", "port", "restarts", "seconds_to_healthy", "log")


def add_stack_commands(app: typer.Typer) -> None:
    """Add the commands that start, end and show the stack."""
    app.command(epilog="Example: mammo up")(up)
    app.command(epilog="Example: mammo down")(down)
    app.command(epilog="Example: mammo status --json")(status)
    app.command(epilog="Example: mammo demo --json")(demo)
    app.command(epilog="Example: mammo drill scanner_replaced concept --to runs/drill")(drill)


@reported
def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and end the stack with Ctrl-C.")
    ] = False,
    only: Annotated[
        str, typer.Option(help="Start only these services, comma-separated, e.g. mlflow,service.")
    ] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for health.")] = 180.0,
    as_json: Json = False,
) -> None:
    """Start Prefect, its worker, MLflow, the service and the reports; wait until all are well."""
    from flows import stack

    settings = settings_from_environment()
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    if foreground:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with _starting(quiet=as_json or foreground) as progress:
        report = stack.up(
            settings, services=names, foreground=foreground, timeout=timeout, progress=progress
        )
    if report.running:
        _show_stack(report, as_json=as_json)
        _tell_who_may_call(settings)


def _tell_who_may_call(settings: Settings) -> None:
    from bentos.screening.access_rules import may_be_open
    from mammo.tokens import TokenStore

    if may_be_open(settings, TokenStore(settings.tokens_path)):
        say(
            "The service asks nobody on this machine for a token, and nobody else can call it. "
            "`mammo token add NAME --role predict` makes the first."
        )


@reported
def down(as_json: Json = False) -> None:
    """End the processes of this MAMMO_HOME's stack, and no others. State is kept."""
    from flows import stack

    ended = stack.down(settings_from_environment())
    if as_json:
        print(json.dumps({"ended": ended}))
    else:
        say(f"ended {len(ended)} processes" if ended else "no stack was up")


@reported
def status(as_json: Json = False) -> None:
    """Show each service's health, restarts and links. Status 1 when something is not well."""
    from flows import stack

    report = stack.status(settings_from_environment())
    _show_stack(report, as_json=as_json)
    if not (report.running and report.healthy):
        raise typer.Exit(1)


@reported
def demo(
    directory: Annotated[
        Path, typer.Option("--to", help="Where the demo keeps everything.")
    ] = Path("runs/demo"),
    as_json: Json = False,
) -> None:
    """Run the whole loop on real mammograms and phantoms (at most 10 minutes on two cores)."""
    from flows.demo import run_demo

    raise typer.Exit(run_demo(directory, as_json=as_json))


@reported
def drill(
    scenario: Annotated[
        list[str] | None, typer.Argument(help="Scenarios to drill; --list names them.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every scenario (at most 45 minutes on two cores).")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name the scenarios and end.")] = False,
    directory: Annotated[
        Path, typer.Option("--to", help="Where the drill keeps everything.")
    ] = Path("runs/drill"),
    only: Annotated[str, typer.Option(hidden=True, help="As SCENARIO, comma-separated.")] = "",
    as_json: Json = False,
) -> None:
    """Plant a change on a live stack of phantoms and check all that comes of it. Status 1 if not.

    Status 0 means that every outcome was as it must be: named or rightly quiet, acted on
    once, mended, recorded.
    """
    from flows.drill import list_drills, run_drill

    names = [*(scenario or ()), *(name.strip() for name in only.split(",") if name.strip())]
    if listed or not (names or everything):
        show_rows(list_drills(), DRILL_COLUMNS, "Drills") if not as_json else print(
            json.dumps({"drills": list_drills()})
        )
        return
    wanted = () if everything or names == ["all"] else names
    raise typer.Exit(run_drill(directory, wanted, as_json=as_json))


@contextmanager
def _starting(*, quiet: bool) -> Iterator[Callable[[dict[str, str]], None]]:
    """Yield a callback that shows on stderr what the stack still waits for."""
    if quiet:
        yield lambda statuses: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as shown:
        yield lambda statuses: shown.update(_waiting_line(statuses))


def _waiting_line(statuses: dict[str, str]) -> str:
    ready = [name for name, status in statuses.items() if status in ("healthy", "done")]
    rest = [name for name in statuses if name not in ready]
    return f"{len(ready)} of {len(statuses)} healthy; waiting for {', '.join(rest) or 'nothing'}"


def _show_stack(report: StackReport, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.to_dict()))
        return
    if not report.running and not report.services:
        say(f"no stack is up for {report.home}; start it with `mammo up`")
        return
    rows = report.to_dict()["services"]
    took = f", healthy after {report.seconds} s" if report.seconds is not None else ""
    show_rows(rows, COLUMNS, f"Stack of {report.home}{took}")
    for name, link in report.links.items():
        output().print(f"{name}: {link}", soft_wrap=True)
