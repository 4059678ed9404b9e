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
PATIENCE_SECONDS = 90.0
"""So long an empty query is asked again: on a busy machine a spared count comes late."""
ASK_AGAIN_SECONDS = 3.0


def check_all(
    folder: Path, database_url: str, tell: Callable[[str], None], then: Callable[[Scene], None]
) -> list[Answered]:
    """Play the scene and run every query on it; ``then`` may look at the scene as well."""
    with running_scene(folder, database_url, tell) as scene:
        found = ask_until_answered(BOARDS, scene.prometheus, scene.settings.log_url)
        then(scene)
    return found


def ask_until_answered(
    boards: Path, prometheus: str, log_url: str | None, patience_seconds: float = PATIENCE_SECONDS
) -> list[Answered]:
    """Run every query; where one is empty, all again, until each answers or patience ends.

    A count that costs something is spared and so comes late: how late depends on the machine.
    """
    until = time.monotonic() + patience_seconds
    while True:
        found = list(check_boards(boards, Sources(prometheus, log_url, datetime.now(UTC))))
        if time.monotonic() >= until or not any(one.is_empty for one in found):
            return found
        time.sleep(ASK_AGAIN_SECONDS)


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
