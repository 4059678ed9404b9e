"""kill -9 of processes drawn at random, while the service works."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psutil

from benchmarks.chaos.served import Served

WORKER_SHARE = 0.3
"""Of the kills; a worker takes its decoders with it, and its successor needs ten seconds."""


@dataclass
class Killer:
    """Kills workers and decoders at random moments.

    ``pause_s`` is the mean time between two kills, drawn evenly between half and
    one and a half of it. Only processes at work are drawn: a worker that still
    starts has no request to lose.
    """

    served: Served
    pause_s: float
    seed: int = 1
    killed: Counter[str] = field(default_factory=Counter)

    def kill(self, times: int) -> None:
        """Kill so many processes, each drawn from those that are at work then."""
        dice = random.Random(self.seed)
        while self.killed.total() < times:
            time.sleep(self.pause_s * dice.uniform(0.5, 1.5))
            while not self._kill_one(dice):
                time.sleep(0.2)

    def _kill_one(self, dice: random.Random) -> bool:
        kind = "worker" if dice.random() < WORKER_SHARE else "decoder"
        at_work = self.served.workers_at_work() if kind == "worker" else self.served.decoders()
        if not at_work:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            dice.choice(at_work).kill()
            self.killed[kind] += 1
        return True


LOCKED_S, FREE_S = 8.0, 25.0
"""The service waits 5 s for a locked database before it spools."""


@contextmanager
def locked_now_and_then(log_url: str) -> Iterator[list[float]]:
    """Hold SQLite's write lock for LOCKED_S every FREE_S while the block runs.

    Gives the list of how long each time was, in seconds; killed workers then leave
    half-done spools behind.
    """
    stop, held = threading.Event(), list[float]()

    def lock() -> None:
        path = log_url.removeprefix("sqlite:///")
        while not stop.wait(FREE_S):
            with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
                other.execute("BEGIN EXCLUSIVE")
                started = time.monotonic()
                stop.wait(LOCKED_S)
                held.append(time.monotonic() - started)
                other.execute("ROLLBACK")

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        yield held
    finally:
        stop.set()
        thread.join()
