"""Print a Markdown table of speeds: what is committed beside what was measured now.

python .github/scripts/benchmark_comment.py committed.json benchmarks/results.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SLOWER = 0.8
"""A ratio below this share of the committed one is marked; shared runners vary by a tenth."""


def ratio(row: dict[str, Any] | None) -> float | None:
    """Return how many times faster than the usual way a step is; None where not measured."""
    return None if row is None else float(row["ratio"])


def table(committed: dict[str, Any], measured: dict[str, Any]) -> str:
    """Return the table, one row a step, and where both were measured."""
    before = {row["step"]: row for row in committed["rows"]}
    now = {row["step"]: row for row in measured["rows"]}
    lines = [
        "### Benchmarks",
        "",
        "Times faster than the usual way, in the same process. A shared runner is no quiet "
        "machine: read it as a hint.",
        "",
        "| step | committed | now | |",
        "|---|---|---|---|",
        *(_line(step, ratio(before.get(step)), ratio(now.get(step))) for step in {**before, **now}),
        "",
        *(f"{name}: commit {one['commit']}, {one['date']}, {one['machine']}."
          for name, one in (("Committed", committed), ("Now", measured))),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _line(step: str, before: float | None, now: float | None) -> str:
    mark = "slower" if before and now and now < SLOWER * before else ""
    mark = "not measured" if now is None else "new" if before is None else mark
    told = ["" if one is None else f"{one:.2f}" for one in (before, now)]
    return f"| {step} | {told[0]} | {told[1]} | {mark} |"


if __name__ == "__main__":
    print(table(*(json.loads(Path(one).read_text()) for one in sys.argv[1:3])), end="")
