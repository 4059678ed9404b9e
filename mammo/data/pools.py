"""Where files are read: in killable processes, or in this one.

A pool takes a second to start, so a process keeps its idle pools for the next
job, however its jobs come: one after the other, or several threads at a time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

from mammo.killable import KillablePool, Limits

PRELOAD = ("mammo.data.worker",)
_IDLE: defaultdict[tuple[int, int, Limits], list[KillablePool]] = defaultdict(list)


class ReadingPool(Protocol):
    """Does calls somewhere and gives their results in order."""

    def map(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Iterator[Future[Any]]:
        """Yield a future for each tuple of arguments, in order."""
        ...


class InThisProcess:
    """Does calls here and now: nothing shields this process from what a file does."""

    def map(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Iterator[Future[Any]]:
        """Yield a finished future for each tuple of arguments, in order."""
        for one in arguments:
            future: Future[Any] = Future()
            try:
                future.set_result(function(*one))
            except Exception as error:  # noqa: BLE001 - the future carries it, as a pool's does
                future.set_exception(error)
            yield future


@contextmanager
def lend_pool(processes: int, limits: Limits) -> Iterator[ReadingPool]:
    """Lend a pool of that many killable processes; with 0 the files are read in this one.

    A pool that was given back is lent again; one whose borrower failed is closed.
    """
    if processes < 1:
        yield InThisProcess()
        return
    idle = _IDLE[os.getpid(), processes, limits]
    try:
        pool = idle.pop()
    except IndexError:
        pool = KillablePool(processes, limits, PRELOAD)
    try:
        # where no process can start, that is the error, and not a refusal of every file
        next(pool.map(os.getpid, [()])).result()
        yield pool
    except BaseException:
        pool.close(cancel=True)
        raise
    idle.append(pool)


def close_pools() -> None:
    """End the processes of all idle pools of this process."""
    for (process, *_), pools in list(_IDLE.items()):
        while process == os.getpid() and pools:
            pools.pop().close()
