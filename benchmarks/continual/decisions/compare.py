"""One programme under all policies; finished ones can be kept in a file and are not run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.continual.decisions.policies import POLICIES
from benchmarks.continual.decisions.programme import draw_programme
from benchmarks.continual.decisions.result import Result, summarise
from benchmarks.continual.decisions.service import run
from benchmarks.continual.decisions.skill import Judge


def compare(
    number: int,
    years: int,
    names: Sequence[str] | None = None,
    seed: int = 0,
    keep: Path | None = None,
) -> list[Result]:
    """Run one programme under the policies named (all, where None) and return their results."""
    programme = draw_programme(number, years, seed)
    judge = Judge(programme)
    chosen = [one for one in POLICIES if names is None or one.name in names]
    results = [
        summarise(programme, one.name, run(programme, one, judge, seed), judge) for one in chosen
    ]
    if keep is not None:
        with keep.open("a") as file:
            file.write(json.dumps([one.to_dict() for one in results]) + "\n")
    return results


def read_kept(path: Path) -> list[Result]:
    """Return the results kept in a file, a line a programme; none where there is no file.

    The file does not tell years, seed and policies: keep each run in its own.
    """
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [Result.from_dict(one) for line in lines for one in json.loads(line)]
