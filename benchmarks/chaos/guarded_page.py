"""What `benchmarks.chaos.guarded` measured: a JSON beside it, and a table in docs/rollout.md."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.chaos.guarded import Case, GuardedRun
from benchmarks.chaos.page import describe, spell
from benchmarks.written import markdown_table, write_between

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "rollout.md"
PARTS = {"rollback": "in service, on probation", "shadow": "in shadow", "way": "shadow to champion"}
HEAD = ["release", "where", "what became of it", "seconds", "exams the guard had seen",
        "answered by it", "answered by the release before", "all attempts"]  # fmt: skip


def write_guarded(guarded: GuardedRun, command: str) -> None:
    """Write guarded.json and the table between its marks."""
    run = describe(command)
    told = {"run": run, **asdict(guarded)}
    (HERE / "guarded.json").write_text(json.dumps(told, indent=1) + "\n")
    books = guarded.books
    note = (
        f"`{run['command']}`; commit {run['commit']}, {run['date']}, {run['machine']}, a "
        f"busy machine. Seconds are from its first exam until every worker answered by the release "
        f"before again. Of {books.answered:,} answered exams {books.lost} are not in the log and "
        f"{books.twice} are there twice."
    )
    table = markdown_table(HEAD, [_cells(one) for one in guarded.cases])
    write_between(PAGE, "guarded", f"{table}\n\n{note}")


def _cells(case: Case) -> list[str]:
    seconds = "" if case.seconds is None else f"**{case.seconds:.1f}**"
    return [case.fault, PARTS[case.part], case.did, seconds, str(case.to_harm or ""),
            str(case.answered_by_it), str(case.instead), spell(case.attempts)]  # fmt: skip
