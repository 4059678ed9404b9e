"""One destination's sender: what is due goes out, once, however often it is tried.

    Sender(Attempts(outbox, "pacs"), open_line).step(now)

A step takes what is due, opens one connection and sends a report after another. A
destination that is away is tried again after 5 seconds, then twice as long, up to 10
minutes, each pause shortened by chance; the reports wait as long as it takes. A report
that may have arrived is looked for at the destination first.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bentos.gateway.outbox_attempts import Attempts
from bentos.gateway.outbox_tables import Delivery
from bentos.gateway.sending_status import PeerAway, Result

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0
REPORTS_AT_ONCE = 50
"""Over one connection; the next step takes the next ones."""
TRIES_OF_REFUSED = 20
"""A report that the destination cannot process (0110) so often is stuck."""
BYTES_GONE = Result("stuck", "BYTES_GONE", "the report's file is gone from the outbox; drop it")
_log = logging.getLogger("mammo.gateway.sending")


class Line(Protocol):
    """An open connection to a destination."""

    def send(self, path: Path) -> Result:
        """Send the report in this file. Raises PeerAway."""
        ...

    def has(self, path: Path) -> bool | None:
        """Return whether the destination has the report; None where it cannot be asked.

        Raises PeerAway.
        """
        ...


OpenLine = Callable[[list[Delivery]], AbstractContextManager[Line]]
"""Opens a connection for these deliveries, or raises PeerAway."""


@dataclass
class Step:
    """What a step did; ``next_at`` is when there may be more to do (Unix seconds), or None."""

    sent: int = 0
    stuck: int = 0
    again: int = 0
    found: int = 0
    next_at: float | None = None


@dataclass
class Sender:
    """The only sender of its destination: two would send a report twice.

    ``draw`` gives a number in [low, high] and is there for tests.
    """

    attempts: Attempts
    open_line: OpenLine
    draw: Callable[[float, float], float] = random.uniform
    _step: Step = field(default_factory=Step, init=False)

    def step(self, now: float) -> Step:
        """Send what is due at ``now`` (Unix seconds).

        Raises DiskFull and StoreReadOnly; then nothing was sent that is not written.
        """
        self._step = step = Step()
        self.attempts.recover(now)
        pause_until = self.attempts.line().next_try_at
        due = [] if pause_until > now else self.attempts.due(now, REPORTS_AT_ONCE)
        if due:
            try:
                with self.open_line(due) as line:
                    for one in due:
                        self._deliver(line, one, now)
                self.attempts.reached(now)
            except PeerAway as trouble:
                self._away(trouble, now)
        step.next_at = self._next_at()
        return step

    def _next_at(self) -> float | None:
        due = self.attempts.next_due()
        return None if due is None else max(due, self.attempts.line().next_try_at)

    def _deliver(self, line: Line, one: Delivery, now: float) -> None:
        path = self.attempts.outbox.folder / one.file
        if not one.file or not path.is_file():
            self._end(one, BYTES_GONE, now)
            return
        there = line.has(path) if one.uncertain else False
        if there:
            self._step.found += 1
            self._end(one, Result("sent", "FOUND", "an earlier attempt had arrived"), now)
            return
        if not self.attempts.begin(one.number, now):
            return  # replaced or dropped meanwhile
        if there is None:
            _log.warning(
                "delivery %d to %s may arrive twice, under the same UID: an attempt was cut off "
                "and the destination cannot be asked what it has", one.number, one.destination,
            )  # fmt: skip
        self._send(line, path, one, now, asked=there is not None)

    def _send(self, line: Line, path: Path, one: Delivery, now: float, *, asked: bool) -> None:
        try:
            result = line.send(path)
        except PeerAway as trouble:
            next_try_at = now if trouble.uncertain else one.next_try_at
            self.attempts.again(
                one, next_try_at, trouble.code, trouble.text, uncertain=trouble.uncertain
            )
            self._step.again += 1
            raise
        if result.arrived and not asked:
            result = Result("sent", "SENT_AGAIN", "it may have arrived before, under the same UID")
        self._end(one, result, now)

    def _end(self, one: Delivery, result: Result, now: float) -> None:
        if result.meaning == "again" and one.attempts + 1 >= TRIES_OF_REFUSED:
            result = Result("stuck", result.code, result.text)
        if result.meaning in ("again", "full"):
            self._later(one, result, now)
            return
        self.attempts.end(one, result.meaning, now, result.code, result.text)
        if result.meaning == "sent":
            self._step.sent += 1
            return
        self._step.stuck += 1
        _log.error(
            "delivery %d (%s) to %s is stuck: %s, %s; `mammo outbox retry %d` sends it again",
            one.number, one.kind, one.destination, result.code, result.text, one.number,
        )  # fmt: skip

    def _later(self, one: Delivery, result: Result, now: float) -> None:
        """Let a report wait; where the destination is full, everything for it waits."""
        full = result.meaning == "full"
        then = now if full else now + self._pause(one.attempts + 1, result.asked_seconds)
        self.attempts.again(one, then, result.code, result.text, uncertain=not full)
        self._step.again += 1
        if full:
            raise PeerAway(result.code, result.text, asked_seconds=result.asked_seconds)

    def _away(self, trouble: PeerAway, now: float) -> None:
        failures = self.attempts.line().failures + 1
        pause = self._pause(failures, trouble.asked_seconds)
        self.attempts.failed(now + pause, trouble.code, trouble.text)
        _log.warning(
            "%s takes no reports now: %s, %s; failure %d in a row, tried again in %.0f s",
            self.attempts.destination, trouble.code, trouble.text, failures, pause,
        )  # fmt: skip

    def _pause(self, failures: int, asked_seconds: float | None) -> float:
        """Return seconds to wait: doubling, shortened by chance, what is asked for at least."""
        longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE_SECONDS)
        return max(longest * self.draw(0.5, 1.0), min(asked_seconds or 0.0, LONGEST_PAUSE_SECONDS))
