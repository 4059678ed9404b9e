"""A number that costs is counted again only so often as it may cost."""

from __future__ import annotations

import threading

import pytest

from mammo.spared import Spared


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("costs_seconds", "kept_seconds"),
    [(0.0, 2.0), (0.05, 2.0), (1.0, 19.0), (10.0, 190.0)],
)
def test_counting_takes_a_twentieth_of_the_time_at_most(
    costs_seconds: float, kept_seconds: float
) -> None:
    clock, counted = Clock(), 0

    def count() -> int:
        nonlocal counted
        counted += 1
        clock.now += costs_seconds
        return counted

    value = Spared(count, clock=clock)
    assert value() == 1
    clock.now += kept_seconds - 0.01
    assert value() == 1
    clock.now += 0.02
    assert value() == 2


def test_who_comes_while_another_counts_does_not_wait() -> None:
    clock, going, go_on = Clock(), threading.Event(), threading.Event()
    values = iter((1, 2))

    def count() -> int:
        value = next(values)
        if value == 2:
            going.set()
            assert go_on.wait(10)
        return value

    spared = Spared(count, clock=clock)
    assert spared() == 1
    clock.now += 5
    other = threading.Thread(target=spared)
    other.start()
    assert going.wait(10)
    assert spared() == 1
    go_on.set()
    other.join()
    assert spared() == 2


def test_a_failure_is_told_and_not_kept() -> None:
    answers = iter((OSError("disk"), 7))

    def count() -> int:
        one = next(answers)
        if isinstance(one, OSError):
            raise one
        return one

    value = Spared(count)
    with pytest.raises(OSError, match="disk"):
        value()
    assert value() == 7
