"""Keep the figures of a whole run, where it ran and in the checkout that ran.

Example: make demo && python -m benchmarks.record demo runs/demo
         make test && python -m benchmarks.record tests runs/tests/quick.xml runs/tests/stack.xml
         mammo drill --all; python -m benchmarks.record drills runs/drill
         mammo export RELEASE --int8 && python -m benchmarks.record int8 FOLDER-OF-THE-CHILD
         pytest tests/viewer/test_pixels.py --junitxml=FILE; python -m benchmarks.record viewer FILE

Then the pages: python -m benchmarks.paper --write
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.record import runs

RECORDED = Path(__file__).parents[1] / "recorded.json"
READERS: dict[str, tuple[int, Callable[..., dict[str, Any]]]] = {
    "demo": (1, runs.demo),
    "tests": (2, runs.tests),
    "drills": (1, runs.drills),
    "int8": (1, runs.int8),
    "viewer": (1, runs.viewer),
}
"""Run -> how many paths tell of it, and what reads them."""


def record(name: str, paths: list[Path], to: Path, note: str | None = None) -> dict[str, Any]:
    """Replace the run's part of the file, and return it; `note` stands beside its commit.

    Raises NotRecorded where the run failed or its commit is not known; nothing is written then.
    """
    part = READERS[name][1](*paths) | ({"note": note} if note else {})
    whole = json.loads(to.read_text())
    to.write_text(json.dumps(whole | {name: part}, indent=1) + "\n")
    return part


def main() -> int:
    """Record what was asked for; 1 where it cannot be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", choices=READERS)
    parser.add_argument("paths", type=Path, nargs="+", help="the file or folder that it wrote")
    parser.add_argument("--note", help="how it ran: clean clone, other work beside it")
    given = parser.parse_args()
    wanted = READERS[given.run][0]
    if len(given.paths) != wanted:
        parser.error(f"{given.run} is read from {wanted} paths, {len(given.paths)} given")
    try:
        part = record(given.run, given.paths, RECORDED, given.note)
    except (runs.NotRecorded, OSError) as refused:
        print(f"not recorded: {refused}")
        return 1
    print(f"{given.run}, commit {part['commit']}; now: python -m benchmarks.paper --write")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
