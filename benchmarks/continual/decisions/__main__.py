"""Simulated programmes under several ways to decide about their releases, side by side."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.continual.decisions.result import Result

EXAMPLES = """examples:
  python -m benchmarks.continual.decisions --programmes 4             a look, some minutes
  python -m benchmarks.continual.decisions --programmes 40 --write    the figures and the docs
  python -m benchmarks.continual.decisions --keep runs.jsonl          can be stopped, goes on
  python -m benchmarks.continual.decisions --redraw                   docs of the last --write
"""
RECORD = Path(__file__).parents[2] / "continual_decisions.json"


def main(words: Sequence[str] | None = None) -> int:
    """Run the programmes and show the table; exit status 1 where a figure misses its aim."""
    asked = _read(words)
    record = json.loads(RECORD.read_text()) if asked.redraw else measure(asked)
    _show(record, asked)
    return 0 if all(row["met"] for row in record["aims"].values()) else 1


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Run all programmes under all policies with a progress bar; return the record."""
    from benchmarks.continual.decisions.record import make_record

    began = time.process_time()
    results = list(_run(asked))
    # what was kept was run in another process, and has no time here
    seconds = None if asked.keep else time.process_time() - began
    return make_record(results, vars(asked), seconds)


def _run(asked: argparse.Namespace) -> Iterator[Result]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from benchmarks.continual.decisions.compare import Asked, compare, read_kept

    wanted = Asked.of(asked.years, asked.seed, asked.policy)
    kept = read_kept(asked.keep, wanted) if asked.keep else []
    kept = [one for one in kept if one.programme < asked.programmes]
    yield from kept
    done = {one.programme for one in kept}
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"programmes of {asked.years} years", total=asked.programmes)
        bar.advance(task, len(done))
        for number in sorted(set(range(asked.programmes)) - done):
            yield from compare(number, wanted, asked.keep)
            bar.advance(task)


def _show(record: dict[str, Any], asked: argparse.Namespace) -> None:
    from rich.console import Console

    from benchmarks.continual.decisions.page import print_table

    print_table(record, Console(stderr=asked.json))
    if asked.json:
        print(json.dumps(record, indent=1))
    if asked.write or asked.redraw:
        from benchmarks.continual.decisions.page import write_page
        from benchmarks.continual.decisions.plots import draw_all

        RECORD.write_text(json.dumps(record) + "\n")
        draw_all(record)
        write_page(record)


def _read(words: Sequence[str] | None) -> argparse.Namespace:
    from benchmarks.continual.decisions.policies import POLICIES

    names = [one.name for one in POLICIES]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.continual.decisions",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--programmes", type=int, default=40, help="how many (40)")
    parser.add_argument("--years", type=int, default=5, help="years of each, 2 to 8 (5)")
    parser.add_argument("--policy", action="append", choices=names, help="only this; repeatable")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other years (0)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep finished programmes there")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.add_argument("--write", action="store_true", help="write the JSON, pictures and docs")
    parser.add_argument("--redraw", action="store_true", help="only write pictures and docs anew")
    asked = parser.parse_args(words)
    if asked.programmes < 1 or not 2 <= asked.years <= 8:
        parser.error("--programmes is at least 1, --years from 2 to 8")
    return asked


if __name__ == "__main__":
    sys.exit(main())
