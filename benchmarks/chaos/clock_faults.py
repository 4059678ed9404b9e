"""The wall clock jumps while the service works."""

from __future__ import annotations

import shutil
import struct
import subprocess
from datetime import datetime
from pathlib import Path

from benchmarks.chaos.fault import Bench, Fault, count
from mammo.audit import AuditLog

SOURCE = Path(__file__).with_name("moved_clock.c")
HOUR_S, DAY_S = 3600, 86_400
TWICE = 10**7
"""Number of the exam that is scored twice on purpose; no book is kept of it."""
JUMPS_S = (-DAY_S, DAY_S, -HOUR_S, 0)


class MovedClock:
    """A wall clock that can be set, for programs started with `environment`.

    Raises RuntimeError where there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise RuntimeError("a moved clock needs a C compiler (cc), and there is none")
        library, self._offset = folder / "moved_clock.so", folder / "offset"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        self._offset.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._offset)}

    def jump_to(self, seconds: int) -> None:
        """Set the clock so many seconds from the true time, at once."""
        with self._offset.open("r+b") as stream:
            stream.write(struct.pack("<q", seconds))


def clock_jumps(bench: Bench, clock: MovedClock, exams: int = 3) -> Fault:
    """Set the clock a day back, a day ahead, an hour back and right; score after each."""
    settings, first = bench.served.settings, len(bench.sent)
    statuses, told = list[str](), list[datetime]()
    for jump in JUMPS_S:
        clock.jump_to(jump)
        statuses += bench.try_new(exams)
        told.append(datetime.fromisoformat((bench.sent[-1].answer or {})["scored_at"]))
    sent = bench.sent[first:]
    looked_up = [bench.get(f"/v1/exams/{one.exam.exam_id}").json() for one in sent]
    books, in_order = bench.books(), bench.in_order(sent)
    latest = _latest_after_jump(bench, clock)
    right = all(
        (one.answer or {})["logit"] == found["logit"] and len(found["breasts"]) == 2
        for one, found in zip(sent, looked_up, strict=True)
    )
    jumped = (told[1] - told[0]).total_seconds()
    return Fault(
        "clock jumps",
        "the wall clock goes a day back, a day ahead, an hour back, and is set right",
        f"{count(statuses)}; the instants told lie {jumped / HOUR_S:+.0f} h apart",
        {
            "answered": set(statuses) == {"200"},
            "the clock did move": abs(jumped - 2 * DAY_S) < 600,
            "look-ups give each exam's own breasts": right,
            "the later scoring counts, whatever its time": latest,
            "in order": in_order,
            "the audit chain holds": AuditLog(settings.audit_path).verify().intact,
            "books": books.balance,
        },
        {"books": books.to_json()},
    )


def _latest_after_jump(bench: Bench, clock: MovedClock) -> bool:
    """True when an exam scored again an hour "earlier" is looked up as scored again."""
    exam = bench.maker.make(TWICE)
    first = bench.client.send(exam, "first")[1]
    clock.jump_to(-HOUR_S)
    second = bench.client.send(exam, "second")[1]
    clock.jump_to(0)
    bench.ignored.add(exam.exam_id)
    found = bench.get(f"/v1/exams/{exam.exam_id}").json()
    return found["request"] == second["request"] != first["request"]
