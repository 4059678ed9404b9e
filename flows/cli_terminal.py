"""What every command shares: results, errors, progress, all fit for people or machines."""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from mammo.errors import MammoError, SettingsInvalid, ValidationFailed

if TYPE_CHECKING:
    from rich.console import Console

    from mammo.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

INPUT_STATUSES = (400, 404, 413, 415, 422)
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PageTo = Annotated[Path | None, typer.Option(dir_okay=False, help="The page to write.")]
ViaPrefect = Annotated[
    bool, typer.Option("--via-prefect", help="Run as a Prefect deployment and follow its log.")
]


def own_command() -> str:
    """Return the command as given, without folders: a page must not tell where it was made."""
    return " ".join(["mammo", *(Path(one).name if "/" in one else one for one in sys.argv[1:])])


def settings_from_environment() -> Settings:
    """Read the settings; a variable that makes no sense is a `SettingsInvalid`."""
    from pydantic import ValidationError

    from mammo.settings import read_settings

    try:
        return read_settings()
    except ValidationError as error:
        told = "; ".join(f"MAMMO_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsInvalid(told) from error


def quiet_mlflow() -> None:
    """Let MLflow say warnings and errors alone, in this process and those that it starts.

    Before MLflow is imported; who has set the level keeps it.
    """
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into a line (or JSON) on stderr and an exit status; no traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        as_json = bool(kwargs.get("as_json"))
        try:
            return command(*args, **kwargs)
        except MammoError as error:
            print_problem(error.problem(), as_json=as_json)
            raise typer.Exit(exit_status(error)) from error
        except KeyboardInterrupt as error:
            print("interrupted; what was finished is kept, run it again", file=sys.stderr)
            raise typer.Exit(130) from error
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except BrokenPipeError as error:
            # the reader (`| head`) has enough; Python must not try to flush at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from error
        except Exception as error:  # the last resort: no traceback for users
            print_problem(_unexpected(error), as_json=as_json)
            raise typer.Exit(1) from error

    return run


def exit_status(error: MammoError) -> int:
    """Return 2 when the input is at fault, else 1."""
    if isinstance(error, ValidationFailed):
        return 1  # the command ran as asked; the data did not pass
    return 2 if error.http_status in INPUT_STATUSES else 1


def print_problem(problem: Mapping[str, object], *, as_json: bool) -> None:
    """Print ``error CODE: message``, or the problem as JSON, to stderr."""
    if as_json:
        print(json.dumps(problem), file=sys.stderr)
    else:
        print(f"error {problem['code']}: {problem['detail']}", file=sys.stderr)


def _unexpected(error: Exception) -> dict[str, object]:
    """Write the traceback to a file and return a problem that names it."""
    try:
        path = _write_traceback(error, settings_from_environment().logs_dir)
    except (OSError, MammoError):  # the home cannot be written; the message still must come
        path = _write_traceback(error, Path(tempfile.gettempdir()))
    detail = f"{type(error).__name__}: {error} (details: {path})"
    return MammoError(detail).problem()


def _write_traceback(error: Exception, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mammo-error-{datetime.now():%Y%m%dT%H%M%S%f}.log"
    path.write_text("".join(traceback.format_exception(error)))
    return path


def show(result: Mapping[str, Any], *, as_json: bool, title: str = "") -> None:
    """Print a result: JSON for machines, a table of names and values for people."""
    if as_json:
        print(json.dumps(result, default=str))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in result.items():
        table.add_row(name, Text(_text(value)))
    output().print(table)


def show_rows(rows: list[dict[str, Any]], columns: tuple[str, ...], title: str) -> None:
    """Print rows as a table with these columns, letter for letter: names are no markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(row.get(column))) for column in columns))
    output().print(table)


def may_name_files(*, as_json: bool) -> bool:
    """True for a person at a terminal, who gave the files.

    A file may be named after its patient: pipes, logs and JSON get digests.
    """
    return sys.stdout.isatty() and not as_json


def show_with_refused(
    report: Mapping[str, Any], refused: list[dict[str, Any]], title: str, *, as_json: bool
) -> None:
    """Print a report and the files that were refused (of JSON, the member ``quarantined``)."""
    named = may_name_files(as_json=as_json)
    rows = [{k: v for k, v in row.items() if k != "file" or named} for row in refused]
    if as_json:
        show({**report, "quarantined": rows}, as_json=True)
        return
    show(report, as_json=False, title=title)
    if rows:
        # a report that went through Prefect names files by their digest only
        columns = ("file" if "file" in rows[0] else "sha256", "code", "message")
        show_rows(rows, columns, "Refused")


def _text(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def output() -> Console:
    """Return the console of results (stdout)."""
    from rich.console import Console

    return Console(highlight=False)


def tell(line: str) -> None:
    """Print a sentence that is the result itself (stdout)."""
    output().print(line, markup=False)


def say(line: str) -> None:
    """Print a line about what goes on (stderr, so that results stay clean)."""
    from rich.console import Console

    Console(stderr=True, highlight=False, markup=False).print(line)


@contextmanager
def progress_bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield ``advance(done, total)`` that moves a bar on stderr; silent when ``quiet``."""
    with stage_bars(quiet=quiet) as advance:
        yield lambda done, total: advance(what, done, total)


@contextmanager
def stage_bars(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yield ``advance(stage, done, total)``, with one bar for each stage named.

    A log file or a pipe gets no bars.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda stage, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total)

        yield advance
