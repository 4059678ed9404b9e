"""A number that is asked often and costs something: counted again only so often as it may cost.

    waiting = Spared(lambda: spool.waiting)
    waiting()   # counted
    waiting()   # the same number, until counting again is 5 % of the time at most

For what a scrape of metrics reads: a file of a million lines must not be read through
every few seconds because somebody watches it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")
SHARE = 0.05
"""The most of one core's time that counting may take."""
LEAST_SECONDS = 2.0
"""A value is never younger than this when it is counted again."""


class Spared(Generic[Value]):
    """Calls ``count`` seldom enough to take at most `SHARE` of the time; safe from threads.

    A caller that comes while another counts gets the value before, without waiting;
    only the first of all waits. What ``count`` raises goes to the caller, and is not kept.
    """

    def __init__(
        self,
        count: Callable[[], Value],
        least_seconds: float = LEAST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count, self._least, self._clock = count, least_seconds, clock
        self._lock = threading.Lock()
        self._known: tuple[Value, float] | None = None

    def __call__(self) -> Value:
        """Return the value, counted now or a while ago."""
        known = self._known
        if known is not None and self._clock() < known[1]:
            return known[0]
        if known is not None and not self._lock.acquire(blocking=False):
            return known[0]
        if known is None:
            self._lock.acquire()
        try:
            return self._counted()
        finally:
            self._lock.release()

    def _counted(self) -> Value:
        """Count, unless another has just done so; to be called by whoever holds the lock."""
        began = self._clock()
        if self._known is not None and began < self._known[1]:
            return self._known[0]
        value = self._count()
        ended = self._clock()
        self._known = value, ended + max(self._least, (ended - began) * (1 / SHARE - 1))
        return value
