"""Simulated years of a screening programme under our control and under the rules in use."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.continual.simulate import Block, Judged

EXAMPLES = """examples:
  python -m benchmarks.continual --years 8                  a look, some minutes
  python -m benchmarks.continual --years 200 --write        the published figures and the docs
  python -m benchmarks.continual --years 20 --json > f.json figures for machines, table to stderr
  python -m benchmarks.continual --years 40 --scenario none --scenario shift_all --no-ablations
  python -m benchmarks.continual --redraw                   docs and pictures of the last --write
"""
RESULTS = Path(__file__).parents[1] / "continual.json"


def main(words: Sequence[str] | None = None) -> int:
    """Run the years and show the table; exit status 1 where a figure misses its aim."""
    asked = _read(words)
    results = json.loads(RESULTS.read_text()) if asked.redraw else measure(asked)
    _show(results, asked)
    return 0 if all(row.get("met", True) for row in results["figures"].values()) else 1


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Run all blocks with a progress bar; return the published record."""
    from benchmarks.continual.record import make_record
    from benchmarks.continual.scenarios import SCENARIOS
    from benchmarks.continual.simulate import merge, plan_blocks

    began = time.perf_counter()
    names = tuple(asked.scenario or SCENARIOS)
    blocks = plan_blocks(asked.years, names, asked.ablations, asked.seed)
    judged = merge(_run(blocks, asked.workers))
    return make_record(judged, names, vars(asked), time.perf_counter() - began)


def _run(blocks: Sequence[Block], workers: int) -> list[tuple[Block, Judged]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from benchmarks.continual.simulate import run_blocks

    total = sum(block.years for block in blocks)
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"years x {len(blocks[0].scenarios)} scenarios", total=total)
        return list(run_blocks(blocks, workers, lambda years: bar.advance(task, years)))


def _show(results: dict[str, Any], asked: argparse.Namespace) -> None:
    from rich.console import Console

    from benchmarks.continual.tables import print_tables

    print_tables(results, Console(stderr=asked.json))
    if asked.json:
        print(json.dumps(results, indent=1))
    if asked.write or asked.redraw:
        from benchmarks.continual.page import write_page
        from benchmarks.continual.plots import draw_all

        RESULTS.write_text(json.dumps(results) + "\n")
        draw_all(results)
        write_page(results)


def _read(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.continual",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--years", type=int, default=200, help="years of each scenario (200)")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only this; repeatable")
    parser.add_argument(
        "--ablations",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also run our control with one part taken away",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other years (0)")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.add_argument("--write", action="store_true", help="write the JSON, pictures and docs")
    parser.add_argument("--redraw", action="store_true", help="only write pictures and docs anew")
    asked = parser.parse_args(words)
    if asked.years < 1 or asked.workers < 1:
        parser.error("--years and --workers are at least 1")
    if unknown := set(asked.scenario or ()) - set(_scenarios()):
        known = ", ".join(_scenarios())
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; known: {known}")
    return asked


def _scenarios() -> Sequence[str]:
    from benchmarks.continual.scenarios import SCENARIOS

    return tuple(SCENARIOS)


if __name__ == "__main__":
    sys.exit(main())
