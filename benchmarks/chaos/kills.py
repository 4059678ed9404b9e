"""kill -9 of processes drawn at random, while the service works."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from benchmarks.chaos.served import Served


@dataclass
class Killer:
    """Kills workers and decoders at random moments.

    ``pause_s`` is the mean time between two kills, drawn evenly between half and
    one and a half of it. A worker takes its two decoders with it.
    """

    served: Served
    pause_s: float
    seed: int = 1
    killed: Counter[str] = field(default_factory=Counter)

    def kill(self, times: int) -> None:
        """Kill so many processes, each drawn from those that live then."""
        dice = random.Random(self.seed)
        while self.killed.total() < times:
            time.sleep(self.pause_s * dice.uniform(0.5, 1.5))
            self._kill_one(dice)

    def _kill_one(self, dice: random.Random) -> None:
        kinds = {"worker": self.served.workers(), "decoder": self.served.decoders()}
        living = [(kind, one) for kind, found in kinds.items() for one in found]
        if not living:  # the server is about to start the next
            return
        kind, one = dice.choice(living)
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
            self.killed[kind] += 1
