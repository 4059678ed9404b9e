"""What the gate lets through, on simulated golden sets: planted, by true difference, over time.

python -m benchmarks.gate                  tables
python -m benchmarks.gate --write          docs/gate.md, its pictures and benchmarks/gate.json
python -m benchmarks.gate --each 2 --repeats 5
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gate import page
from benchmarks.gate.drift import describe_drift, describe_margin
from benchmarks.gate.golden import PRODUCTION
from benchmarks.gate.operating import SMALL, describe_operating
from benchmarks.gate.planted import BAD, GOOD, Kind, judge_kinds, share_of
from benchmarks.report import describe_run
from mammo.evaluation.gate_config import GateConfig

RECORD = Path("benchmarks/gate.json")


def judge_group(kinds: tuple[Kind, ...], each: int, seed: int) -> dict[str, Any]:
    """Return what became of planted challengers, at the ledger's first level."""
    found = []
    for one in judge_kinds(kinds, each, seed):
        found.append(one)
        print(f"{one['kind']}: {one['passed']} of {one['judged']} pass", flush=True)
    shares = {by: share_of(found, by) for by in ("passed", "higher")}
    return {"kinds": found, "alpha": GateConfig().alpha, **shares}


def describe_drifts(repeats: int) -> list[dict[str, Any]]:
    """Return what fifty gates do to the champion, for a large and a small golden set."""
    return [describe_drift(repeats, size) for size in (PRODUCTION, SMALL)]


def describe_margins(repeats: int) -> list[dict[str, Any]]:
    """Return how often any of fifty challengers passes that are worse by just the margin."""
    return [describe_margin(repeats, size) for size in (PRODUCTION, SMALL)]


def measured(part: Callable[[], Any]) -> dict[str, Any]:
    """Return what a part found, with its commit, day and the CPU time it took."""
    started, run = time.process_time(), describe_run("", 0)
    found = part()
    seconds = round(time.process_time() - started)
    return {"found": found, "commit": run["commit"], "date": run["date"], "cpu_seconds": seconds}


def main() -> None:
    """Read the command line, simulate, print; with --write the page and its pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=10, help="planted challengers of a kind")
    parser.add_argument("--challengers", type=int, default=16, help="by true difference")
    parser.add_argument("--repeats", type=int, default=40, help="programmes of fifty gates")
    parser.add_argument("--write", action="store_true", help="write record, page and pictures")
    parser.add_argument(
        "--part", nargs="*", choices=list(page.TEXTS), help="others stay as recorded"
    )
    asked = parser.parse_args()
    parts = {
        "drift": lambda: describe_drifts(asked.repeats),
        "margin": lambda: describe_margins(4 * asked.repeats),
        "bad": lambda: judge_group(BAD, asked.each, seed=0),
        "good": lambda: judge_group(GOOD, asked.each, seed=1),
        "operating": lambda: describe_operating(asked.challengers),
    }
    for name in list(parts) if asked.part is None else asked.part:
        print(name, flush=True)
        found = measured(parts[name])
        print(page.TEXTS[name](found["found"]) + "\n", flush=True)
        if asked.write:
            keep(name, found)
    if asked.write:
        page.write_page(recorded())


def recorded() -> dict[str, Any]:
    """Return every part that was measured so far."""
    found: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    return found


def keep(name: str, found: dict[str, Any]) -> None:
    """Keep what a part found beside the others, one line a part."""
    lines = [f'"{part}": {json.dumps(one)}' for part, one in (recorded() | {name: found}).items()]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
