"""Templates filled with results: a name that is not in the results fails the build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.paper import results
from benchmarks.paper.screen import demo_screen

TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str) -> str:
    """Return a template of `templates/` with every number from the results files.

    Raises jinja2.UndefinedError where a template asks for a figure that no file has.
    """
    return _environment().get_template(template).render().strip() + "\n"


def _environment() -> Environment:
    # StrictUndefined: a figure that is not there is an error, never an empty place
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "fixed": results.fixed,
        "percent": results.percent,
        "interval": results.interval,
        "percent_interval": results.percent_interval,
        "commit": results.commit_of,
        "ms": results.milliseconds,
        "command": results.command,
        "copied": results.copied,
        "how": results.how,
        "made": results.made,
        "spelled": results.spelled,
        "screen": demo_screen,
        "total": _total,
        "row": _row,
    }
    environment.globals |= {name: _Lazy(name) for name in results.FILES}
    environment.globals["by_hand"] = results.by_hand
    return environment


class _Lazy:
    """A results file, read when a template asks for something in it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getitem__(self, key: str) -> Any:
        return results.results(self._name)[key]

    @property
    def whole(self) -> Any:
        """All of the file."""
        return results.results(self._name)


def _total(rows: list[dict[str, float]], key: str) -> float:
    return sum(row[key] for row in rows)


def _row(rows: list[dict[str, Any]], key: str, value: Any) -> dict[str, Any]:
    """Return the one row whose `key` is `value`: a row moved or renamed fails the build."""
    found = [row for row in rows if row[key] == value]
    if len(found) != 1:
        raise ValueError(f"{len(found)} rows have {key} {value!r}; one is needed")
    return found[0]
