"""The index's table: seconds and peak memory by rows, kept in `index_scale.json`.

python -m benchmarks.index_report        # prints the Markdown table of the last run
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import describe_run

RESULTS = Path(__file__).with_name("index_scale.json")
SCALES = (1, 10, 100)
STEPS = {
    "extend": "add 10,000 rows",
    "known": "find which of 10,000 files are known",
    "count": "count by scanner and outcome",
    "column": "mean of one column",
    "patients": "table of patients",
    "split": "five folds",
    "leaks": "leak check",
}


def write_scale(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the run; rows of sizes that were not measured this time stay as they were."""
    run = {name: describe_run("", 1)[name] for name in ("commit", "date", "machine", "python")}
    kept: dict[str, Any] = {}
    if RESULTS.exists():
        kept = {f"{row['step']} {row['rows']}": row for row in json.loads(RESULTS.read_text())}
    rows = kept | {key: {**row, **run} for key, row in measured.items()}
    ordered = sorted(rows.values(), key=lambda row: (list(STEPS).index(row["step"]), row["rows"]))
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")


def format_scale(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table."""
    lines = [
        "| step | rows | ours | peak | usual way | peak | times faster | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_line, rows)])


def _line(row: Mapping[str, Any]) -> str:
    ours, usual = row["ours"], row["usual"]
    start = f"| {STEPS[row['step']]} | {row['rows']:,} | {_seconds(ours)} | {_memory(ours)} |"
    if usual is None:
        return f"{start} not measured | | | |"
    if usual["seconds"] is None:
        return f"{start} more memory than it was given | > {usual['limit_mb'] / 1024:.0f} GB | | |"
    return (
        f"{start} {_seconds(usual)} | {_memory(usual)} | "
        f"{usual['seconds'] / ours['seconds']:.1f} | 1/{usual['peak_mb'] / ours['peak_mb']:.1f} |"
    )


def _seconds(way: Mapping[str, Any]) -> str:
    return f"{way['seconds']:.2f} s" if way["seconds"] < 10 else f"{way['seconds']:.0f} s"


def _memory(way: Mapping[str, Any]) -> str:
    peak = way["peak_mb"]
    return f"{peak:.0f} MB" if peak < 1024 else f"{peak / 1024:.1f} GB"


if __name__ == "__main__":
    print(format_scale(json.loads(RESULTS.read_text())))
