"""CPU time of several ways to do one thing, taken in turns within one run.

The ways take turns, so that a busy or throttled machine slows all of them
alike, and the minimum of each is kept: what disturbs a run only ever adds time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SHORTEST_S = 0.01
"""A way that takes less is repeated within one turn."""


@dataclass(frozen=True)
class Row:
    """One line of the table; times are minima in seconds, bars from the specification.

    ``fastest`` names the fastest other way that is installed, which may be the
    usual one; ``bar`` is None where none was set.
    """

    step: str
    ours_s: float
    usual: str
    usual_s: float
    fastest: str
    fastest_s: float
    bar: float | None
    clock: str = "cpu"

    @property
    def ratio(self) -> float:
        """How many times as long the usual way takes."""
        return self.usual_s / self.ours_s

    @property
    def fastest_ratio(self) -> float:
        """How many times as long the fastest other way takes."""
        return self.fastest_s / self.ours_s

    @property
    def missed(self) -> bool:
        """True where the ratio is below its bar."""
        return self.bar is not None and self.ratio < self.bar


def compare(
    step: str,
    ours: Callable[[], object],
    others: Mapping[str, Callable[[], object]],
    *,
    bar: float | None,
    turns: int,
) -> Row:
    """Time ours against the others, of which the first is the usual way."""
    times = take_turns({"": ours, **others}, turns)
    ours_s = times.pop("")
    usual, fastest = next(iter(times)), min(times, key=times.__getitem__)
    return Row(step, ours_s, usual, times[usual], fastest, times[fastest], bar)


def take_turns(ways: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Return the least CPU time of one call of each way, in seconds.

    Each way is called once before it is timed: a first call imports, makes
    tables and fills caches.
    """
    calls = {name: _calls_per_turn(way) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            times[name].append(_cpu_time(way, calls[name]))
    return {name: min(seconds) for name, seconds in times.items()}


def _calls_per_turn(way: Callable[[], object]) -> int:
    way()
    return max(1, round(SHORTEST_S / max(_cpu_time(way, 1), 1e-6)))


def _cpu_time(way: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        way()
    return (time.process_time() - start) / calls
