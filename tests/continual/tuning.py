"""Objectives of made-up studies that can be handed to another process, and one that dies."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammo.continual.tune_study import Job, Search, Tell

SPACE: dict[str, Any] = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}

MEET_SECONDS = 60.0
"""Longer than a worker takes to start."""


@dataclass(frozen=True)
class Slow:
    """Takes a while and leaves a file a trial; the first one dies by SIGKILL where asked.

    With ``deaths`` every trial dies until there are so many files of deaths. A trial waits
    until ``together`` workers are at one: else the first may have done all of them before
    another has started.
    """

    folder: Path
    deaths: int = 0
    seconds: float = 0.3
    together: int = 1

    def __call__(self, params: dict[str, Any], tell: Tell) -> float:
        """Return the learning rate."""
        for place in range(self.deaths):
            try:
                (self.folder / f"death-{place}").open("x").close()
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)
        self._meet()
        time.sleep(self.seconds)
        tell(1, float(params["learning_rate"]))
        (self.folder / f"ran-{os.getpid()}-{time.monotonic_ns()}").touch()
        return float(params["learning_rate"])

    def _meet(self) -> None:
        (self.folder / f"here-{os.getpid()}").touch()
        deadline = time.monotonic() + MEET_SECONDS
        while len([*self.folder.glob("here-*")]) < self.together and time.monotonic() < deadline:
            time.sleep(0.02)


def slow_job(
    folder: Path, storage: str, trials: int, deaths: int = 0, heartbeat_s: int = 1, **more: Any
) -> Job:
    """Return a job of `Slow` whose dead workers are noticed within three heartbeats."""
    folder.mkdir(parents=True, exist_ok=True)
    return Job(
        storage, "slow", SPACE, trials, Slow(folder, deaths, **more), folder / "slow.lock",
        Search(pruner="none"), heartbeat_s=heartbeat_s,
    )  # fmt: skip
