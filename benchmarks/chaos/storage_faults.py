"""Faults of what keeps the predictions: the disk full, the database locked or gone."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.chaos.fault import Bench, Fault, count
from benchmarks.chaos.served import make_installation, serve, wait_until
from tests.postgres import Cluster

DISK_MB = 64
DRAIN_SECONDS = 60.0
SETTLE_SECONDS = 1.0
"""How long after an answer its files may still be on the way to where they wait."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Give a file system of its own of DISK_MB (tmpfs); PermissionError where none can be made."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(f"a small disk cannot be made: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Write a file until not one byte more fits; return it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        for size in (2**20, 2**12, 1):
            try:
                while stream.write(b"\0" * size) == size:
                    continue
            except OSError:
                continue
    return ballast


def _images_are_drawn(home: Path) -> bool:
    """Return True where no file waits to become an image, now and a moment later."""
    for pause in (SETTLE_SECONDS / 2, 0.0):
        if any(home.glob("images/waiting/**/*.dcm")):
            return False
        time.sleep(pause)
    return True


def disk_full(bench: Bench, exams: int = 6) -> Fault:
    """Fill the small disk that the service's home is on, send exams, make room, send them again."""
    home = bench.served.settings.home
    # a file that has become images is removed, and would make room on the full disk
    time.sleep(SETTLE_SECONDS)
    wait_until(lambda: _images_are_drawn(home), DRAIN_SECONDS)
    ballast = fill_disk(home)
    full = bench.try_new(exams)
    sent = bench.sent[-exams:]
    codes = {bench.client.send(one.exam, one.key)[1].get("code") for one in sent[-2:]}
    lives = bench.served.answers("/healthz")
    ballast.unlink()
    wait_until(lambda: bench.spooled() == 0, DRAIN_SECONDS)
    after = [bench.send(one) for one in sent]
    books = bench.books()
    return Fault(
        "disk full",
        "the disk of `MAMMO_HOME` is filled to the last byte, then given room again",
        f"full: {count(full)}; with room again, same keys: {count(after)}",
        {
            "while full: 507 DISK_FULL, or an answer that is kept": set(full) <= {"200", "507"},
            "507 DISK_FULL": "507" in full and codes == {"DISK_FULL"},
            "the process lives": lives,
            "with room again every exam is answered": set(after) == {"200"},
            "books": books.balance,
        },
        {"books": books.to_json()},
    )


def database_locked(bench: Bench, exams: int = 5) -> Fault:
    """Hold SQLite's write lock from outside, send exams, let go."""
    path = bench.served.settings.log_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        statuses = bench.try_new(exams)
        took, waiting = time.monotonic() - started, bench.spooled()
        again = [bench.send(one) for one in bench.sent[-exams:]]
        other.execute("ROLLBACK")
    drained = wait_until(lambda: bench.spooled() == 0, DRAIN_SECONDS)
    books = bench.books()
    return Fault(
        "database locked (SQLite)",
        "another process holds the write lock",
        f"{count(statuses)}, {took:.1f} s for {exams}; {waiting} spooled, "
        f"in the log {drained:.1f} s after the lock was gone",
        {
            "answered": set(statuses) == {"200"},
            "spooled": waiting == exams,
            "sent again: the same answer": set(again) == {"200"},
            "in order": bench.in_order(bench.sent[-exams:]),
            "books": books.balance,
        },
        {"seconds": took, "waiting": waiting, "drained_s": drained, "books": books.to_json()},
    )


def database_gone(folder: Path, cluster: Cluster, exams: int = 5) -> Fault:
    """Crash PostgreSQL under the service, send exams, start it again."""
    settings = make_installation(folder / "home", database_url=cluster.new_database())
    with serve(settings) as served:
        bench = Bench(served)
        before = bench.try_new(2)
        cluster.stop("immediate")
        gone = bench.try_new(exams)
        waiting = bench.spooled()
        asked = bench.get(f"/v1/exams/{bench.sent[0].exam.exam_id}")
        ready = served.answers("/readyz")
        cluster.start()
        drained = wait_until(lambda: bench.spooled() == 0, DRAIN_SECONDS)
        after = bench.try_new(2)
        again = bench.send_all_again()
        books, in_order = bench.books(), bench.in_order(bench.sent)
    return Fault(
        "database gone (PostgreSQL)",
        "the server is stopped as by a crash (`pg_ctl stop -m immediate`) and started again",
        f"gone: {count(gone)}, {waiting} spooled; a look-up: {asked.status_code} "
        f"{asked.json().get('code')}; in the log {drained:.1f} s after it was back",
        {
            "before and after: 200": set(before + after) == {"200"},
            "answered while it is gone": set(gone) == {"200"},
            "spooled": waiting == exams,
            "look-ups say so": (asked.status_code, asked.json().get("code"))
            == (503, "LOG_UNAVAILABLE"),
            "it stays ready": ready,
            "sent again: the same answer": set(again) == {"200"},
            "in order": in_order,
            "books": books.balance,
        },
        {"waiting": waiting, "drained_s": drained, "books": books.to_json()},
    )
