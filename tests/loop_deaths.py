"""Kills the code under test at any of its durable writes, and lets others act in between.

`Deaths.install` wraps what makes a write durable: flushes, renames, marks and cuts of files,
and transactions of the log. Each is a place before and a place after. Armed with a number,
the place of that number raises `Killed`, a BaseException as SIGKILL is no error; from then
on nothing is written any more until `disarm`, so that clean-up code that a killed process
would not have run does not mend anything. Locks go, as the kernel lets them go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa

from mammo.prediction_log.database import Database

FILES = ((os, "fsync"), (os, "pwrite"), (os, "ftruncate"), (os, "truncate"),
         (Path, "replace"), (Path, "unlink"))  # fmt: skip


class Killed(BaseException):
    """The process has died."""


class Deaths:
    """Counts the places where the process may die, and kills it at one."""

    def __init__(self) -> None:
        self.places: list[str] = []
        """The places that were passed since the last `disarm`."""
        self._at: int | None = None
        self._meanwhile: Callable[[], object] | None = None
        self._dead = self._armed = False

    def arm(self, at: int | None, meanwhile: Callable[[], object] | None = None) -> None:
        """Die at the place of this number (from 0, None: nowhere), or let others act there.

        ``meanwhile`` is called instead of dying, at the next place from there on where
        this process holds no lock of the log.
        """
        self.places, self._at, self._meanwhile, self._armed = [], at, meanwhile, True

    def disarm(self) -> None:
        """Be another process, that is started after the death."""
        self._at = self._meanwhile = None
        self._dead = self._armed = False

    @contextmanager
    def install(self) -> Iterator[None]:
        """Wrap the durable writes until the end of the block."""
        with ExitStack() as stack:
            for owner, name in FILES:
                stack.enter_context(patch.object(owner, name, self._around(owner, name)))
            stack.enter_context(patch.object(os, "write", self._torn(os.write)))
            stack.enter_context(patch.object(Database, "_writing", self._writing()))
            yield

    def _pass(self, place: str, *, free: bool = False) -> None:
        if not self._armed:
            return
        if self._dead:
            raise Killed(place)
        self.places.append(place)
        if self._at is None or len(self.places) <= self._at:
            return
        if self._meanwhile is None:
            self._dead = True
            raise Killed(place)
        if free:
            act, self._at, self._armed = self._meanwhile, None, False
            act()
            self._armed = True

    def _around(self, owner: Any, name: str) -> Callable[..., Any]:
        real = getattr(owner, name)

        def wrapped(*given: Any, **options: Any) -> Any:
            self._pass(f"before {name}")
            done = real(*given, **options)
            self._pass(f"after {name}")
            return done

        return wrapped

    def _torn(self, real: Callable[..., int]) -> Callable[..., int]:
        """Write half of it before dying in the middle of a write."""

        def wrapped(handle: int, content: Any) -> int:
            self._pass("before write")
            try:
                self._pass("in the middle of a write")
            except Killed:
                real(handle, bytes(content)[: len(content) // 2])
                raise
            return real(handle, content)

        return wrapped

    def _writing(self) -> Callable[..., Any]:
        real = Database._writing

        @contextmanager
        def wrapped(log: Database, table: sa.Table | None = None) -> Iterator[sa.Connection]:
            self._pass("before a transaction", free=True)
            with real(log, table) as connection:
                yield connection
                self._pass("before a commit")
            self._pass("after a commit", free=True)

        return wrapped
