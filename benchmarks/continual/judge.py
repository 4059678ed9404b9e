"""What a rule's alarms of one year are worth: false alarms, delays, names.

Judged in the same way for ours and for every peer. A delay counts calendar days, closed
ones too, from the first day of the change to the day of the alarm, both included: an alarm
with the last exam of the change's first day has a delay of 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.continual.rules import Alarm

if TYPE_CHECKING:
    from benchmarks.continual.events import InjectedEvent
    from benchmarks.continual.recalibration import Recalibrated
    from benchmarks.continual.world import SimYear

VERSION = "software_version"
MIXED = "mixed"


@dataclass(frozen=True)
class JudgedEvent:
    """One event: its true cause, days to the first confirmed alarm and to the first of any
    kind, the same in days on which women were screened, the cause that was named, and
    whether rightly.

    None: never in what is left of the year, or no cause named.
    """

    what: str
    cause: str
    day: int
    confirmed_days: int | None
    alerted_days: int | None
    confirmed_open_days: int | None
    named: str | None
    right: bool


@dataclass(frozen=True)
class JudgedYear:
    """One year under one rule. ``false_confirmed`` and ``false_alerts`` count alarms before
    the first event (in years without events: all) over ``quiet_days``; ``false_causes``
    are the causes that confirmed ones named."""

    false_confirmed: int
    false_alerts: int
    quiet_days: int
    false_causes: tuple[str, ...]
    events: tuple[JudgedEvent, ...]
    recalibrated: tuple[Recalibrated, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)


def judge_year(
    year: SimYear, alarms: Sequence[Alarm], recalibrated: tuple[Recalibrated, ...] = ()
) -> JudgedYear:
    """Compare alarms with the truth; ``recalibrated`` is kept with it.

    An alarm on or after an event's day that shares a stratum with it belongs to it (without
    strata, either is of the whole programme); where several events claim it, to the one whose
    strata are most like its own.
    """
    begin = min((event.day for event in year.truth), default=year.days)
    early = [alarm for alarm in alarms if alarm.day < begin]
    wrong = [alarm for alarm in early if alarm.confirmed]
    everywhere = frozenset(range(len(year.strata)))
    owners = [_owner(alarm, year.truth, everywhere) for alarm in alarms]
    open_days = np.unique(year.day)
    return JudgedYear(
        false_confirmed=len(wrong),
        false_alerts=len(early) - len(wrong),
        quiet_days=begin,
        false_causes=tuple(str(alarm.cause) for alarm in wrong),
        events=tuple(
            judge_event(
                event,
                [alarm for alarm, owner in zip(alarms, owners, strict=True) if owner is event],
                open_days,
                _mixes(event, year.truth, everywhere),
            )
            for event in year.truth
        ),
        recalibrated=recalibrated,
    )


def judge_event(
    event: InjectedEvent,
    alarms: Iterable[Alarm],
    open_days: np.ndarray,
    mixed_since: float = np.inf,
) -> JudgedEvent:
    """Return when and as what the event was found, by the alarms that belong to it.

    The mere note of a new software version finds a software version and nothing else.
    "Mixed" is right from the day ``mixed_since`` on which another event acts there, too.
    """
    ours = [alarm for alarm in alarms if event.cause == VERSION or alarm.cause != VERSION]
    confirmed = [alarm for alarm in ours if alarm.confirmed]
    at = min((alarm.day for alarm in confirmed), default=None)
    alerted = min((alarm.day for alarm in ours), default=None)
    name = named(event, confirmed)
    mixed = name == MIXED and at is not None and at >= mixed_since
    return JudgedEvent(
        what=event.what,
        cause=event.cause,
        day=event.day,
        confirmed_days=None if at is None else at - event.day + 1,
        alerted_days=None if alerted is None else alerted - event.day + 1,
        confirmed_open_days=None if at is None else _count(open_days, event.day, at),
        named=name,
        right=name == event.cause or mixed,
    )


def named(event: InjectedEvent, confirmed: Sequence[Alarm]) -> str | None:
    """Return the cause that the first confirmed alarm of the event names.

    Alarms of the same day are one message: it names the cause that most of them name.
    """
    if not confirmed:
        return None
    first = min(alarm.day for alarm in confirmed)
    causes = [alarm.cause for alarm in confirmed if alarm.day == first and alarm.cause]
    if event.cause == VERSION and VERSION in causes:
        return VERSION
    return max(sorted(set(causes)), key=causes.count, default=None)


def _owner(
    alarm: Alarm, truth: Sequence[InjectedEvent], everywhere: frozenset[int]
) -> InjectedEvent | None:
    mine = _strata(alarm, everywhere)
    active = [event for event in truth if event.day <= alarm.day]
    claims = {i: _likeness(mine, _strata(event, everywhere)) for i, event in enumerate(active)}
    best = max(claims, key=lambda i: claims[i], default=None)
    return active[best] if best is not None and claims[best] > 0 else None


def _mixes(
    event: InjectedEvent, truth: Sequence[InjectedEvent], everywhere: frozenset[int]
) -> float:
    """Return the day from which on another event acts on strata of this one."""
    mine = _strata(event, everywhere)
    others = [one for one in truth if one is not event and mine & _strata(one, everywhere)]
    return max(event.day, min((one.day for one in others), default=np.inf))


def _strata(one: Alarm | InjectedEvent, everywhere: frozenset[int]) -> frozenset[int]:
    return frozenset(one.strata) or everywhere


def _likeness(a: frozenset[int], b: frozenset[int]) -> float:
    return len(a & b) / len(a | b)


def _count(open_days: np.ndarray, first: int, last: int) -> int:
    return int(((open_days >= first) & (open_days <= last)).sum())
