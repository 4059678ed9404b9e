"""Patience with a far side: which failures pass, how long to wait, when to give up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Statuses after which the same request may succeed (RFC 9110 section 15, RFC 6585)."""


class Passing(Exception):
    """A failure that may have passed by the next try; never leaves this package.

    ``what`` holds no address, token or identifier. ``asked_seconds`` is what the
    far side's Retry-After asks for, None without one.
    """

    def __init__(self, what: str, asked_seconds: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.asked_seconds = asked_seconds


@dataclass(frozen=True)
class Patience:
    """How often a request is repeated without progress, and how long is waited between.

    Waits double from ``first_seconds`` to ``longest_seconds``, with up to half of
    each by chance, so that many clients do not return together. A Retry-After is
    kept to the letter, up to ``longest_asked_seconds``; one that asks for more
    ends the run.
    """

    tries: int = 8
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    longest_asked_seconds: float = 900.0

    def pause(self, failures: int, trouble: Passing) -> float | None:
        """Return the seconds to wait after so many failures in a row; None is to give up."""
        if failures >= self.tries:
            return None
        if trouble.asked_seconds is not None:
            asked = trouble.asked_seconds
            return asked if asked <= self.longest_asked_seconds else None
        most = min(self.first_seconds * 2 ** (failures - 1), self.longest_seconds)
        return most * random.uniform(0.5, 1.0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110 section 10.2.3).

    It holds seconds or a date; None when there is none or it is neither.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
