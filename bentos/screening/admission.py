"""How many exams are taken in, how many of them are scored at a time, and in which order.

A service that takes in all that comes answers nobody in time. Here a request is
either admitted at once or told when to come again; those admitted are scored
first come, first served, a few at a time. The limits are of one worker process.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from mammo.errors import Overloaded
from mammo.patience import Patience

FIRST_GUESS_SECONDS = 1.0
SMOOTHING = 0.2
LOOK_SECONDS = 0.25
UPLOADS_PER_PLACE = 8
"""Bodies that may be on their way for each place in the queue."""
MB = 2**20


class Admission:
    """A bounded queue before ``at_once`` places.

    Parameters
    ----------
    at_once
        Exams that are scored side by side.
    waiting
        Exams that may wait besides, whole; 0 lets none wait.
    waiting_mb
        Bytes of bodies, in 2**20, of all that were let in. One that is larger by
        itself is let in when nothing else is there.
    """

    def __init__(self, at_once: int, waiting: int, waiting_mb: int) -> None:
        self.at_once, self.waiting, self.waiting_mb = at_once, waiting, waiting_mb
        self.inside, self.uploads, self.bytes_inside = 0, 0, 0
        self.refused = 0
        self.when_refused: Callable[[], None] | None = None
        """Called for each exam that is told to come again: it feeds the counters of all workers."""
        self._places = asyncio.Semaphore(at_once)
        self._seconds = FIRST_GUESS_SECONDS

    @property
    def in_queue(self) -> int:
        """Exams let in above those that are scored."""
        return max(0, self.inside - self.at_once)

    @contextmanager
    def upload(self, body_bytes: int) -> Iterator[None]:
        """Let a request in before its body is read, until the block ends.

        Bodies that are still coming are counted apart from the queue: slow senders
        take no place of it. Raises Overloaded, before a byte is read, when the queue
        is full or too many or too large ones are open.
        """
        heavy = self.uploads > 0 and self.bytes_inside + body_bytes > self.waiting_mb * MB
        many = self.uploads >= UPLOADS_PER_PLACE * (self.at_once + self.waiting)
        if self._is_full or heavy or many:
            raise self._overloaded()
        self.uploads += 1
        self.bytes_inside += body_bytes
        try:
            yield
        finally:
            self.uploads -= 1
            self.bytes_inside -= body_bytes

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Let an exam that is whole into the queue until the block ends.

        Raises Overloaded when as many wait as may.
        """
        if self._is_full:
            raise self._overloaded()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    @property
    def _is_full(self) -> bool:
        return self.inside >= self.at_once + self.waiting

    @asynccontextmanager
    async def turn(self, patience: Patience) -> AsyncIterator[None]:
        """Wait for a place in order of arrival, and hold it for the block.

        Raises DeadlineExceeded when none was free in time.
        """
        await self._acquire(patience)
        started = time.monotonic()
        try:
            patience.require()
            yield
        finally:
            self._places.release()
            self._seconds += SMOOTHING * (time.monotonic() - started - self._seconds)

    async def _acquire(self, patience: Patience) -> None:
        # one task keeps the place in the queue; a caller who left is seen between two looks
        acquiring = asyncio.ensure_future(self._places.acquire())
        try:
            while not acquiring.done():
                patience.require()
                left = patience.remaining()
                look = LOOK_SECONDS if left is None else min(LOOK_SECONDS, left + 0.001)
                await asyncio.wait({acquiring}, timeout=look)
        except BaseException:
            if not acquiring.cancel():  # it had the place in the same moment
                self._places.release()
            raise

    def _overloaded(self) -> Overloaded:
        self.refused += 1
        if self.when_refused is not None:
            self.when_refused()
        seconds = max(1, math.ceil(self._seconds * (self.in_queue + 1) / self.at_once))
        return Overloaded(
            f"{self.inside} exams are scored or wait and {self.uploads} are on their way; no more "
            f"may (MAMMO_QUEUE_EXAMS, MAMMO_QUEUE_MB). Send it again after {seconds} s.",
            seconds,
        )
