"""How much memory the service holds over many requests, and whether it grows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from benchmarks.chaos.served import Served

EVERY_SECONDS = 1.0
MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """Memory after ``requests`` answers: private memory (USS) in MiB."""

    requests: int
    seconds: float
    workers_mib: float
    decoders_mib: float

    @property
    def total_mib(self) -> float:
        """Workers and decoders together."""
        return self.workers_mib + self.decoders_mib


class Sampler:
    """Samples the service's memory once a second while the block runs."""

    def __init__(self, served: Served, requests: Callable[[], int]) -> None:
        self.samples: list[Sample] = []
        self._served, self._requests = served, requests
        self._stop, self._started = threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            workers, decoders = self._served.workers(), self._served.decoders()
            self.samples.append(
                Sample(
                    self._requests(),
                    time.monotonic() - self._started,
                    sum(map(_uss_mib, workers)),
                    sum(map(_uss_mib, decoders)),
                )
            )


def _uss_mib(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
        return float(process.memory_full_info().uss) / MIB
    return 0.0


@dataclass(frozen=True)
class Growth:
    """Growth in MiB per 1,000 requests, with its 95% interval, and the level in MiB."""

    mib_per_1000: float
    low: float
    high: float
    level_mib: float

    @property
    def is_flat(self) -> bool:
        """True where 10,000 requests add less than a tenth of the level, the interval included."""
        return 10 * self.high < 0.1 * self.level_mib


def measure_growth(samples: Sequence[Sample], *, skipped: float = 0.2, seed: int = 1) -> Growth:
    """Fit a line to the samples after the first ``skipped`` share of requests (warm-up).

    Neighbouring samples resemble each other: the interval comes from a moving-block
    bootstrap of the residuals (Künsch 1989) with blocks of n^(1/2), not from
    their number.
    """
    requests = np.array([one.requests for one in samples], float)
    totals = np.array([one.total_mib for one in samples])
    kept = requests >= skipped * requests.max()
    x, y = requests[kept] / 1000, totals[kept]
    slope, level = np.polyfit(x, y, 1)
    fitted = slope * x + level
    slopes = [np.polyfit(x, fitted + one, 1)[0] for one in resampled(y - fitted, seed)]
    low, high = np.percentile(slopes, [2.5, 97.5])
    return Growth(float(slope), float(low), float(high), float(np.median(y)))


def resampled(residuals: np.ndarray, seed: int, times: int = 1000) -> np.ndarray:
    """Return ``times`` series (times, n) put together from blocks of the residuals."""
    length = len(residuals)
    block = max(1, round(length**0.5))
    random = np.random.default_rng(seed)
    starts = random.integers(0, length - block + 1, (times, -(-length // block)))
    places = (starts[..., np.newaxis] + np.arange(block)).reshape(times, -1)[:, :length]
    return residuals[places]
