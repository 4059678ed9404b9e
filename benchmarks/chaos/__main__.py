"""Kill workers and decoders under load and look for lost or doubled predictions.

    python -m benchmarks.chaos              # 100 kills, about five minutes, writes the docs
    python -m benchmarks.chaos --kills 10   # a small one, writes nothing

Clients send small phantom exams under an ``Idempotency-Key`` and retry under the
same one. After the last kill the books are checked: see `benchmarks.chaos.books`.
Exit status 1 where they do not balance, or where an exam was never answered.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos.books import (
    Books,
    check_books,
    count_attempts,
    count_unaudited,
    longest_pause_s,
)
from benchmarks.chaos.exams import ExamMaker
from benchmarks.chaos.kills import LOCKED_S, Killer, locked_now_and_then
from benchmarks.chaos.load import Load
from benchmarks.chaos.page import describe, spell, write_run
from benchmarks.chaos.served import make_installation, serve, wait_until
from mammo.audit import AuditLog
from mammo.prediction_log.spool import Spool
from mammo.settings import Settings

KILLS, WORKERS, CLIENTS = 100, 2, 4
INTACT = "intact"
PAUSE_S = 2.4
"""Mean time between kills: 100 take four to five minutes."""


@dataclass(frozen=True)
class Chaos:
    """What was killed, what the clients saw, and whether the books balance."""

    killed: dict[str, int]
    seconds: float
    attempts: dict[str, int]
    longest_wait_s: float
    longest_pause_s: float
    whole_again_s: float
    locked_s: list[float]
    left_out: int
    unaudited: int
    audit: str
    unexpected: list[str]
    books: Books

    @property
    def passed(self) -> bool:
        """True when every exam was answered and audited, the books balance and the chain holds."""
        whole = self.books.balance and self.books.sent == self.books.answered
        return whole and not self.unaudited and self.audit == INTACT


def run_chaos(settings: Settings, kills: int, *, pause_s: float = PAUSE_S, seed: int = 1) -> Chaos:
    """Serve, load, kill, let it recover, and check the books."""
    maker = ExamMaker(settings.pseudonym_key())
    with serve(settings, workers=WORKERS) as served:
        started = time.monotonic()
        with Load(served.url, maker, clients=CLIENTS) as load:
            killer = Killer(served, pause_s, seed)
            with locked_now_and_then(settings.log_url) as locked_s:
                killer.kill(kills)
            whole_again_s = wait_until(lambda: served.is_ready(WORKERS))
        seconds = time.monotonic() - started
        wait_until(lambda: Spool(settings.spool_dir).waiting == 0)
        books = check_books(load.sent, settings.log_url)
        audit = AuditLog(settings.audit_path).verify()
    return Chaos(
        killed=dict(killer.killed),
        seconds=seconds,
        attempts=count_attempts(load.sent),
        longest_wait_s=max(one.seconds for one in load.sent),
        longest_pause_s=longest_pause_s(load.sent),
        whole_again_s=whole_again_s,
        locked_s=locked_s,
        left_out=sum(bool((one.answer or {}).get("refused")) for one in load.sent),
        unaudited=count_unaudited(load.sent, settings.audit_path),
        audit=INTACT if audit.intact else audit.message,
        unexpected=[line for line in served.output.splitlines() if "unexpected" in line],
        books=books,
    )


def write_chaos(chaos: Chaos, run: dict[str, Any]) -> None:
    """Write the numbers beside this command and as a table into the docs."""
    books = chaos.books
    fine = ("200", "again 200", "202", "job done")
    broken = {one: n for one, n in chaos.attempts.items() if one not in fine}
    rows = [
        ["processes killed (SIGKILL)", f"{sum(chaos.killed.values())} ({spell(chaos.killed)})"],
        ["exams sent / answered", f"{books.sent:,} / {books.answered:,}"],
        ["of these accepted with 202 first", f"{chaos.attempts.get('202', 0):,}"],
        ["attempts that broke and were sent again", spell(broken)],
        ["sent once more after the answer, same key", f"{books.repeated:,}"],
        ["**answered and not in the log**", f"**{books.lost}**"],
        ["**logged twice**", f"**{books.twice}**"],
        ["logged and never sent", str(books.unknown)],
        ["answered with another exam or score than logged", str(books.wrong)],
        ["logged without its breasts", str(books.torn)],
        ["another answer under the same key", str(books.changed)],
        [
            "answered without a file whose decoder was killed (`refused` says so)",
            str(chaos.left_out),
        ],
        ["answered and not in the audit log", str(chaos.unaudited)],
        ["audit chain", chaos.audit],
        ["times the database was locked", f"{len(chaos.locked_s)}, {LOCKED_S:.0f} s each"],
        ["unexpected errors in the service's log", str(len(chaos.unexpected))],
        ["longest time without any answer", f"{chaos.longest_pause_s:.1f} s"],
        ["longest wait of one client", f"{chaos.longest_wait_s:.1f} s"],
    ]
    results = {"run": run, **asdict(chaos)}
    note = f"{WORKERS} workers, {CLIENTS} clients, {chaos.seconds:.0f} s."
    write_run("chaos", results, ["what", "how many"], rows, note)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="mean seconds between kills")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        settings = make_installation(Path(folder) / "home")
        chaos = run_chaos(settings, given.kills, pause_s=given.pause, seed=given.seed)
    print(json.dumps(asdict(chaos), indent=1))
    if given.kills >= KILLS:
        write_chaos(chaos, describe("python -m benchmarks.chaos"))
    return 0 if chaos.passed else 1


if __name__ == "__main__":
    sys.exit(main())
