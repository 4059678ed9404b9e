"""Scores exams with a challenger whose answers nobody waits for.

    shadow = ShadowScorer(score_and_log)    # one thread, a short queue
    shadow.offer(work)                      # returns at once; False when it was dropped

The champion's answer is given first and whatever happens here: an exam that
finds the queue full is not scored by the challenger, and counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Literal, TypeVar

CAPACITY = 8
"""Exams that may wait. Each holds its prepared views, about 1 to 8 MB."""
NICENESS = 10
Work = TypeVar("Work")
Made = TypeVar("Made")
Fate = Literal["scored", "dropped", "failed"]
_log = logging.getLogger("mammo.service")


class ShadowScorer(Generic[Work]):
    """One thread at low priority that works off a bounded queue.

    Parameters
    ----------
    work
        Scores one exam and logs it with role ``shadow``. It may raise: the
        failure is counted and logged by its type, and the next exam follows.
    capacity
        Exams that may wait.
    count
        Called with ``scored``, ``dropped`` or ``failed`` for each exam, for the
        metrics; must not block.
    """

    def __init__(
        self,
        work: Callable[[Work], object],
        *,
        capacity: int = CAPACITY,
        count: Callable[[Fate], object] = lambda _: None,
    ) -> None:
        self._work = work
        self._count = count
        self._waiting: queue.Queue[Work | None] = queue.Queue(capacity)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.counts: dict[Fate, int] = {"scored": 0, "dropped": 0, "failed": 0}

    def offer(self, work: Work) -> bool:
        """Let the challenger score this exam some time; False when it was dropped.

        Never waits and never raises. The thread starts with the first exam.
        """
        try:
            with self._lock:
                if self._closed:
                    raise queue.Full
                self._waiting.put_nowait(work)
                self._start()
        except queue.Full:
            self._note("dropped")
            return False
        return True

    @property
    def waiting(self) -> int:
        """Exams that wait."""
        return self._waiting.qsize()

    def close(self, seconds: float = 10.0) -> None:
        """Take no more exams; give those that wait ``seconds``, and drop what is left then."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        thread.join(seconds)
        self._drop_the_rest()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        step_back()
        while (work := self._waiting.get()) is not None:
            self._do(work)

    def _do(self, work: Work) -> None:
        try:
            self._work(work)
        except Exception as error:  # noqa: BLE001 - a challenger may fail in any way
            _log.error("the challenger did not score an exam: %s", type(error).__name__)
            self._note("failed")
        else:
            self._note("scored")

    def _drop_the_rest(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if self._waiting.get_nowait() is not None:
                    self._note("dropped")
        self._waiting.put_nowait(None)  # a thread that still works ends after this exam

    def _note(self, fate: Fate) -> None:
        with self._lock:
            self.counts[fate] += 1
        self._count(fate)


def call_stepped_back(work: Callable[[], Made]) -> Made:
    """Return what ``work`` returns, called in a thread of low priority.

    The threads that it starts have that priority, too: of ONNX Runtime, those that
    the session keeps for its kernels.
    """
    with ThreadPoolExecutor(1, initializer=step_back) as background:
        return background.submit(work).result()


def step_back() -> None:
    """Let every other thread of this machine go first (Linux counts niceness by thread).

    There is no way back without being root, so it is for threads of one's own.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
