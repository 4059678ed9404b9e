"""What the commands measured: a JSON beside them, and tables in docs/service_faults.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import describe_run
from benchmarks.written import Cells, markdown_table, write_between

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "service_faults.md"


def describe(command: str) -> dict[str, Any]:
    """Return commit, day and machine of a run, and the command that it was."""
    run = describe_run("", 0)
    return {"command": command, **{name: run[name] for name in ("commit", "date", "machine")}}


def write_run(
    name: str, results: dict[str, Any], head: Cells, rows: Sequence[Cells], *notes: str
) -> None:
    """Write NAME.json, and the table of that name with the run and the notes below it."""
    (HERE / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    run = results["run"]
    where = f"`{run['command']}`; commit {run['commit']}, {run['date']}, {run['machine']}."
    write_between(PAGE, name, "\n\n".join([markdown_table(head, rows), " ".join([where, *notes])]))


def spell(counts: dict[str, int]) -> str:
    """Return counts as words, such as ``200: 1 480, ReadError: 12``."""
    return ", ".join(f"{name}: {number:,}" for name, number in counts.items()) or "none"
