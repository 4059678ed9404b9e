"""How long somebody waits for an exam: a deadline, and a caller who may leave.

    patience = Patience(seconds=20)
    screener.score_files(files, key=key, site=site, patience=patience)
    patience.cancel()  # from another thread, when the connection is gone

Whoever works for the caller asks `require` between steps, waits for other
processes by `wait_for`, and hands what can be stopped to `stopping`. Nobody
polls: waiting ends when the work is done, the time is up or the caller left,
whichever comes first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import contextmanager, suppress
from typing import Any

from mammo.errors import DeadlineExceeded, RequestCancelled


class Patience:
    """A deadline ``seconds`` from now on the monotonic clock, and a way to give up early.

    None waits for ever. Safe to use from several threads; a clock that is set
    does not move the deadline.
    """

    def __init__(self, seconds: float | None = None) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"patience is {seconds} s; it is above 0, or None for ever")
        self.seconds = seconds
        self._until = None if seconds is None else time.monotonic() + seconds
        self._left: Future[None] = Future()

    def cancel(self) -> None:
        """Say that the caller left; any number of times."""
        with suppress(InvalidStateError):
            self._left.set_result(None)

    @property
    def cancelled(self) -> bool:
        """True once the caller left."""
        return self._left.done()

    def remaining(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None where there is none."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def part(self, share: float) -> Patience:
        """Return the patience of the same caller that ends after a share of the time left."""
        left = self.remaining()
        part = Patience(None if left is None else max(share * left, 1e-3))
        part._left = self._left
        return part

    def require(self) -> None:
        """Go on, or raise RequestCancelled or DeadlineExceeded."""
        if self.cancelled:
            raise RequestCancelled("The caller left before the exam was scored; nothing is logged.")
        if self.remaining() == 0.0:
            raise DeadlineExceeded(
                f"The exam was not scored within {self.seconds:g} s; nothing is logged. "
                "Send it again, with fewer or smaller files where it is a large one."
            )

    def wait_for(self, work: Future[Any]) -> None:
        """Return when ``work`` is done; raise as `require` does when patience ends first."""
        while not work.done():
            self.require()
            wait((work, self._left), timeout=self.remaining(), return_when=FIRST_COMPLETED)

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call ``stop`` from another thread if patience ends within the block.

        ``stop`` may also be called just after the block; it is called at most once
        for each cause.
        """
        within = threading.Event()
        within.set()

        def end(*_: object) -> None:
            if within.is_set():
                stop()

        self._left.add_done_callback(end)
        left = self.remaining()
        timer = None if left is None else threading.Timer(left, end)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            within.clear()
            if timer is not None:
                timer.cancel()
