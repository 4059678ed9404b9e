"""Runs the query of every panel, variable and annotation, and says what each gave.

    python -m benchmarks.dashboards                  # two minutes; status 1 where one is empty
    python -m benchmarks.dashboards --json out.json
    python -m benchmarks.dashboards --pictures docs/pictures     # draws what they gave

It needs Debian's packages ``prometheus`` and ``postgresql``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.dashboards.scene import Scene, running_scene
from benchmarks.dashboards.servers import ROOT, find_prometheus
from monitoring.dashboards.check import Answered, Sources, check_boards
from tests.postgres import running_cluster

BOARDS = ROOT / "dashboards" / "grafana" / "dashboards"


def check_all(
    folder: Path, database_url: str, tell: Callable[[str], None], then: Callable[[Scene], None]
) -> list[Answered]:
    """Play the scene and run every query on it; ``then`` may look at the scene as well."""
    with running_scene(folder, database_url, tell) as scene:
        sources = Sources(scene.prometheus, scene.settings.log_url, datetime.now(UTC))
        found = list(check_boards(BOARDS, sources))
        then(scene)
    return found


def show(found: Sequence[Answered]) -> None:
    """Print a line a query."""
    board = ""
    for one in found:
        if one.asked.board != board:
            board = one.asked.board
            print(f"\n{board}")
        name = f"{one.asked.what} {one.asked.title} {one.asked.name}".strip()
        text = " ".join(one.query.split())
        mark = "  EMPTY" if one.is_empty else ""
        print(f"  {one.series:4d}  {name:45s} {text[:110]}{mark}")
        if one.error:
            print(f"        {one.error[:300]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; return 1 where a query gave nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write every answer to this file")
    parser.add_argument("--pictures", type=Path, help="draw the dashboards into this folder")
    given = parser.parse_args(arguments)
    if find_prometheus() is None:
        print("prometheus is not installed (apt-get install prometheus)", file=sys.stderr)
        return 1
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

    with running_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        found = check_all(
            Path(folder), cluster.new_database(), tell, partial(_draw, to=given.pictures)
        )
    show(found)
    empty = [one for one in found if one.is_empty]
    print(f"\n{len(found)} queries, {len(empty)} empty, {time.monotonic() - began:.0f} s")
    if given.json:
        given.json.write_text(json.dumps([one.to_dict() for one in found], indent=1) + "\n")
    return 1 if empty or not found else 0


def _draw(scene: Scene, to: Path | None) -> None:
    """Draw the dashboards while the scene still runs."""
    if to is not None:
        from benchmarks.dashboards.pictures import draw_boards  # it imports matplotlib

        draw_boards(
            BOARDS, Sources(scene.prometheus, scene.settings.log_url, datetime.now(UTC)), to
        )


if __name__ == "__main__":
    sys.exit(main())
