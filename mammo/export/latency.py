"""CPU time per view of several graphs on one thread, taken in turns.

The ways take turns and are compared turn by turn: what else the machine does
slows neighbours alike, and the median forgets the turns where it did not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch

Way = Callable[[], object]


@dataclass(frozen=True)
class Latency:
    """Median milliseconds of one call, and how many times faster than the first way."""

    ms: float
    ratio: float


def measure_latency(ways: Mapping[str, Way], turns: int) -> dict[str, Latency]:
    """Time each way ``turns`` times, once before untimed; the first is what others are held to.

    A way is one view through a session of one thread; PyTorch is limited to one
    thread meanwhile. The clock counts this process's own CPU time.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    with one_thread():
        for way in ways.values():
            way()
        for _ in range(turns):
            for name, way in ways.items():
                start = time.process_time()
                way()
                times[name].append(time.process_time() - start)
    first = next(iter(times.values()))
    return {
        name: Latency(
            1000 * median(own), median(a / max(b, 1e-9) for a, b in zip(first, own, strict=True))
        )
        for name, own in times.items()
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
