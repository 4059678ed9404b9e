"""Write the table of docs/export.md from `export.json`.

python -m benchmarks.export_report
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.test_export import BARS, RESULTS
from benchmarks.written import markdown_table, write_between

PAGE = Path(__file__).parents[1] / "docs/export.md"
HEAD = ["model", "graph", "ms a view", "times faster", "at least", "MB", "logit: most, mean", "sd"]
GRAPHS = ("torchscript", "onnx_fp32", "onnx_int8")


def main() -> None:
    """Replace the table in the page."""
    run = json.loads(RESULTS.read_text())
    if "copied_by" in run:
        raise SystemExit(f"{RESULTS.name} was copied from the page: make bench-models writes it")
    rows = [row for name, one in run["models"].items() for row in _rows(name, one)]
    machine = run["machine"]
    told = (
        f"Commit {run['commit']}, {run['date']}; {machine['processor']} "
        f"({', '.join(machine['instructions'])}); onnxruntime {machine['onnxruntime']}, "
        f"torch {machine['torch']}. Least CPU time of {run['turns']} turns, one core and thread."
    )
    write_between(PAGE, "export", f"{markdown_table(HEAD, rows)}\n\n{told}")


def _rows(name: str, one: dict[str, Any]) -> list[list[str]]:
    eager = [name, "eager PyTorch", f"{1000 * one['eager_s']:.0f}", "1", "", "", "", ""]
    return [eager, *(_row(name, graph, one[graph]) for graph in GRAPHS)]


def _row(name: str, graph: str, one: dict[str, Any]) -> list[str]:
    bar = BARS[name].get(graph)
    missed = " **MISSED**" if bar is not None and one["ratio"] < bar else ""
    return [
        name,
        graph,
        f"{1000 * one['seconds']:.0f}",
        f"{one['ratio']:.2f}{missed}",
        "" if bar is None else f"{bar:g}",
        f"{one['mb']:.1f}",
        f"{one['max_logit_difference']:.2g}, {one['mean_logit_difference']:.2g}",
        f"{one['logit_sd']:.2g}",
    ]


if __name__ == "__main__":
    main()
