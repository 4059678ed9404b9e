"""Alarms are judged against the truth in one way for all rules."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.continual.events import InjectedEvent
from benchmarks.continual.judge import judge_event, judge_year
from benchmarks.continual.rules import Alarm, Learnt

OPEN_DAYS = np.array([d for d in range(365) if d % 7 < 5])
UPGRADE = InjectedEvent(100, "acquisition", (2, 9), "upgrade")
ALL = InjectedEvent(100, "prevalence", (), "prevalence doubled")


def _year(*events: InjectedEvent) -> SimpleNamespace:
    return SimpleNamespace(truth=list(events), days=365, day=OPEN_DAYS, strata=list(range(12)))


@pytest.mark.parametrize(
    ("event", "alarms", "confirmed", "alerted", "named"),
    [
        (UPGRADE, [], None, None, None),
        (UPGRADE, [Alarm(100, True, "acquisition", (9,))], 1, 1, "acquisition"),
        (UPGRADE, [Alarm(99, True, "acquisition", (9,))], None, None, None),  # too early
        (UPGRADE, [Alarm(110, True, "acquisition", (3,))], None, None, None),  # elsewhere
        (UPGRADE, [Alarm(110, True, "prevalence")], 11, 11, "prevalence"),  # all strata
        (UPGRADE, [Alarm(102, False), Alarm(105, True)], 6, 3, None),
        # the note of a new version is not yet the finding that images changed
        (UPGRADE, [Alarm(100, True, "software_version", (9,))], None, None, None),
        (ALL, [Alarm(120, True, "prevalence", (5,))], 21, 21, "prevalence"),
        # one day's alarms are one message; a later one does not mend the name
        (
            ALL,
            [
                Alarm(120, True, "concept", (1,)),
                Alarm(120, True, "prevalence", (2,)),
                Alarm(120, True, "prevalence", (3,)),
                Alarm(130, True, "acquisition", (3,)),
            ],
            21,
            21,
            "prevalence",
        ),
    ],
)
def test_events_are_found_and_named(
    event: InjectedEvent,
    alarms: list[Alarm],
    confirmed: int | None,
    alerted: int | None,
    named: str | None,
) -> None:
    (one,) = judge_year(_year(event), alarms).events
    assert (one.confirmed_days, one.alerted_days, one.named) == (confirmed, alerted, named)
    assert one.right == (named == event.cause)


@pytest.mark.parametrize(
    ("alarms", "named", "right"),
    [
        # each alarm belongs to the event whose strata are most like its own
        (
            [
                Alarm(104, True, "acquisition", (9,)),
                Alarm(106, True, "data_fault", (5,)),
                Alarm(110, True, "prevalence"),
            ],
            ["acquisition", "data_fault", "prevalence"],
            [True, True, True],
        ),
        # the same scanner, before and after prevalence moved there, too
        ([Alarm(101, True, "mixed", (9,))], ["mixed", None, None], [False, False, False]),
        ([Alarm(104, True, "mixed", (9,))], ["mixed", None, None], [True, False, False]),
        ([Alarm(104, True, "mixed")], [None, None, "mixed"], [False, False, True]),
    ],
)
def test_events_at_once_are_told_apart(
    alarms: list[Alarm], named: list[str | None], right: list[bool]
) -> None:
    fault = InjectedEvent(105, "data_fault", (5,), "views lost")
    everywhere = InjectedEvent(103, "prevalence", (), "prevalence doubled")
    events = judge_year(_year(UPGRADE, fault, everywhere), alarms).events
    assert [one.named for one in events] == named
    assert [one.right for one in events] == right


def test_a_software_version_is_found_by_its_note() -> None:
    event = InjectedEvent(100, "software_version", (2, 9), "new version")
    alarms = [Alarm(101, False, "software_version", (9,)), Alarm(150, True, "prevalence")]
    one = judge_event(event, alarms, OPEN_DAYS)
    assert (one.alerted_days, one.confirmed_days) == (2, 51)


def test_open_days_are_counted_too() -> None:
    # day 102 is a Friday (0 is a Monday), 105 the next Monday
    event = InjectedEvent(102, "acquisition", (), "shift")
    one = judge_event(event, [Alarm(105, True)], OPEN_DAYS)
    assert (one.confirmed_days, one.confirmed_open_days) == (4, 2)


@pytest.mark.parametrize(
    ("events", "confirmed", "alerts", "quiet"), [((), 2, 1, 365), ((UPGRADE,), 1, 1, 100)]
)
def test_what_comes_before_the_first_event_is_false(
    events: tuple[InjectedEvent, ...], confirmed: int, alerts: int, quiet: int
) -> None:
    alarms = [Alarm(5, True, "concept"), Alarm(7, False), Alarm(200, True, "acquisition", (2,))]
    judged = judge_year(_year(*events), alarms)
    assert (judged.false_confirmed, judged.false_alerts) == (confirmed, alerts)
    assert judged.quiet_days == quiet
    assert judged.false_causes[0] == "concept"


def test_a_reference_is_learnt_once() -> None:
    calls: list[object] = []
    learnt = Learnt(lambda reference: calls.append(reference) or len(calls))  # type: ignore[func-returns-value]
    first, second = object(), object()
    values = [learnt.of(one) for one in (first, first, second, first)]  # type: ignore[arg-type]
    assert values == [1, 1, 2, 3]
