from __future__ import annotations

import logging
import threading
import time

import pytest

from bentos.screening.shadow import Fate, ShadowScorer


def wait_until(scorer: ShadowScorer[int], **counts: int) -> None:
    deadline = time.monotonic() + 10
    while any(scorer.counts[fate] != number for fate, number in counts.items()):  # type: ignore[index]
        assert time.monotonic() < deadline, scorer.counts
        time.sleep(0.005)


def test_every_exam_that_was_taken_is_scored_in_order() -> None:
    scored: list[int] = []
    scorer = ShadowScorer(scored.append, capacity=100)
    assert all(scorer.offer(number) for number in range(50))
    scorer.close()
    assert scored == list(range(50))
    assert scorer.counts == {"scored": 50, "dropped": 0, "failed": 0}


def test_full_queue_drops_and_counts_and_never_waits() -> None:
    go, begun = threading.Event(), threading.Event()

    def work(_: int) -> None:
        begun.set()
        go.wait(10)

    fates: list[Fate] = []
    scorer = ShadowScorer(work, capacity=3, count=fates.append)
    assert scorer.offer(0)
    assert begun.wait(10)
    started = time.monotonic()
    taken = [scorer.offer(number) for number in range(10)]
    assert time.monotonic() - started < 1, "nobody waited for the ten seconds of the work"
    assert taken == [True] * 3 + [False] * 7
    assert (scorer.waiting, scorer.counts["dropped"]) == (3, 7)
    go.set()
    scorer.close()
    assert scorer.counts == {"scored": 4, "dropped": 7, "failed": 0}
    assert sorted(fates) == ["dropped"] * 7 + ["scored"] * 4


def test_challenger_that_fails_is_counted_and_the_next_exam_follows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(number: int) -> None:
        if number % 2:
            raise ValueError("Doe^Jane cannot be scored")

    scorer = ShadowScorer(work)
    with caplog.at_level(logging.ERROR):
        for number in range(6):
            scorer.offer(number)
        scorer.close()
    assert scorer.counts == {"scored": 3, "dropped": 0, "failed": 3}
    assert "ValueError" in caplog.text and "Doe" not in caplog.text


def test_closed_scorer_takes_nothing_and_drops_what_it_cannot_finish() -> None:
    go, begun = threading.Event(), threading.Event()

    def work(_: int) -> None:
        begun.set()
        go.wait(10)

    scorer = ShadowScorer(work, capacity=4)
    for number in range(3):
        scorer.offer(number)
    assert begun.wait(10)
    scorer.close(seconds=0.05)
    assert scorer.counts["dropped"] == 2
    assert not scorer.offer(9)
    go.set()
    wait_until(scorer, scored=1, dropped=3)


def test_thread_steps_back_behind_the_answers() -> None:
    import os

    seen: list[int] = []

    def work(_: int) -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    own = os.getpriority(os.PRIO_PROCESS, 0)
    scorer = ShadowScorer(work)
    scorer.offer(1)
    scorer.close()
    assert seen == [max(own, 10)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_closing_what_never_began() -> None:
    scorer = ShadowScorer(print)
    scorer.close()
    assert not scorer.offer(1)
