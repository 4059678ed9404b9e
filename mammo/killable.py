"""Run what may crash, hang or swallow all memory in processes that can be killed.

Native codecs decode files that anyone may have made. A task runs in a child
process with a limit on time and on memory; when the child dies, the task's
future says how (``DecoderCrashed``, ``DecoderTimeout``, ``DecoderMemory``), a
new child takes its place, and the caller lives on.

It is a boundary against faults, not a sandbox: the child may read and write
what its user may, and its reply is unpickled.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from mammo.killable_process import Limits, WorkerLost, WorkerProcess
from mammo.killable_worker import Parts, pack_task

__all__ = ["PRELOAD", "KillablePool", "Limits"]
ATTEMPTS = 3
"""Workers that a task may have, where each was killed by somebody."""
PRELOAD = ("mammo.preprocess", "mammo.dicom.read")


@dataclass(frozen=True, eq=False)
class _Task:
    future: Future[Any]
    parts: Parts


class KillablePool:
    """Worker processes that may die; any thread may submit.

    The workers start when the pool is made, in the background. A worker's
    standard output and error reach nobody. A pool cannot be used in a child
    that was forked after it was made; make one there.
    """

    def __init__(
        self,
        processes: int = 1,
        limits: Limits = Limits(),
        preload: Sequence[str] = PRELOAD,
    ) -> None:
        if processes < 1:
            raise ValueError(f"{processes} processes; at least 1 is needed")
        self.processes, self.limits = processes, limits
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock, self._closed, self._made_in = threading.Lock(), False, os.getpid()
        # the threads hold no reference to the pool: one that is forgotten ends its workers
        self._slots = [_Slot(limits, tuple(preload)) for _ in range(processes)]
        self._threads = [
            threading.Thread(
                target=_serve, args=(self._tasks, slot), name=f"killable-{number}", daemon=True
            )
            for number, slot in enumerate(self._slots)
        ]
        self._stop = weakref.finalize(self, _stop, self._tasks, processes)
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run ``function(*arguments)`` in a worker.

        The function is found by its module and name; arguments and result are
        pickled. The future raises what the function raised, or ``DecoderCrashed``,
        ``DecoderTimeout`` or ``DecoderMemory``. Cancelling it before it has begun
        spares the work.
        """
        future: Future[Any] = Future()
        task = _Task(future, pack_task(function, arguments))
        if self._made_in != os.getpid():  # before the lock: the fork may have copied it locked
            raise RuntimeError("the pool was made before a fork: make one in this process")
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._tasks.put(task)
        return future

    def map(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Generator[Future[Any]]:
        """Yield a future for each tuple of arguments, in order, twice the processes ahead."""
        ahead: deque[Future[Any]] = deque()
        try:
            for one in arguments:
                ahead.append(self.submit(function, *one))
                if len(ahead) > 2 * self.processes:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for future in ahead:
                self.abandon(future)

    def abandon(self, future: Future[Any]) -> None:
        """Spare the work of a future that nobody waits for any more.

        What waits is cancelled. What runs is killed with its worker, and the future
        raises ``DecoderCrashed``; the next worker starts at once.
        """
        if not future.cancel():
            for slot in self._slots:
                slot.abandon(future)

    def close(self, *, cancel: bool = False) -> None:
        """Do or cancel what waits, let what runs end, end the workers."""
        if self._made_in != os.getpid():
            return
        with self._lock:
            self._closed = True
        while cancel:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                break
            if task is None:  # another close has begun: this is a thread's sign to end
                self._tasks.put(None)
                break
            task.future.cancel()
        self._stop()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(cancel=kind is not None)


def _stop(tasks: queue.SimpleQueue[_Task | None], processes: int) -> None:
    for _ in range(processes):
        tasks.put(None)


def _serve(tasks: queue.SimpleQueue[_Task | None], slot: _Slot) -> None:
    """Hand tasks to one worker after the other until the pool closes (a thread's body)."""
    slot.refill()
    while (task := tasks.get()) is not None:
        if not task.future.set_running_or_notify_cancel():
            continue
        try:
            value, error = slot.run(task)
        except Exception as fault:  # noqa: BLE001 - the thread must live, the caller be told
            slot.clear()
            value, error = None, fault
        if error is None:
            task.future.set_result(value)
        else:
            task.future.set_exception(error)
        del task, value, error
        slot.refill()
    slot.clear()


class _Slot:
    """A thread's place for a worker, filled again when the worker is dead."""

    def __init__(self, limits: Limits, preload: tuple[str, ...]) -> None:
        self.limits, self.preload = limits, preload
        self.worker: WorkerProcess | None = None
        self._lock = threading.Lock()
        self._wanted: Future[Any] | None = None
        """Of the task that runs; None when nobody waits for it any more."""

    def run(self, task: _Task) -> tuple[Any, Exception | None]:
        """Do a task, by another worker where somebody killed the first, a few times."""
        self._want(task.future)
        try:
            for _ in range(ATTEMPTS):
                value, error = self._filled().run(task.parts)
                if not isinstance(error, WorkerLost) or self._wanted is None:
                    break
        finally:
            self._want(None)
        return value, error

    def abandon(self, future: Future[Any]) -> None:
        """Kill the worker (from any thread) if it works for this future."""
        with self._lock:
            if self._wanted is future and self.worker is not None:
                self._wanted = None
                self.worker.kill()

    def _want(self, future: Future[Any] | None) -> None:
        with self._lock:
            self._wanted = future

    def refill(self) -> None:
        """Have the next worker import its modules before it is asked."""
        with contextlib.suppress(Exception):  # the next task will say so
            self._filled()

    def clear(self) -> None:
        """End the worker, dead or alive."""
        worker, self.worker = self.worker, None
        if worker is not None:
            with contextlib.suppress(Exception):  # the thread must live
                worker.end()

    def _filled(self) -> WorkerProcess:
        if self.worker is not None and not self.worker.is_alive:
            self.clear()
        if self.worker is None:
            self.worker = WorkerProcess(self.limits, self.preload)
        return self.worker
