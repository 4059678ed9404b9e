from __future__ import annotations

import asyncio

import pytest

from bentos.screening.admission import Admission
from mammo.errors import DeadlineExceeded, Overloaded, RequestCancelled
from mammo.patience import Patience

MB = 2**20


@pytest.mark.parametrize(
    ("at_once", "waiting", "waiting_mb", "sizes", "let_in"),
    [
        (1, 0, 10, [1] * 9, 8),
        (2, 3, 10, [1] * 50, 40),
        (2, 30, 10, [4 * MB] * 9, 2),
        (2, 30, 10, [20 * MB, 1], 1),  # a large one by itself is let in, with nothing beside it
        (2, 30, 10, [0] * 40, 40),
    ],
)
def test_as_many_bodies_come_in_as_may(
    at_once: int, waiting: int, waiting_mb: int, sizes: list[int], let_in: int
) -> None:
    admission = Admission(at_once, waiting, waiting_mb)
    inside = []
    for size in sizes:
        place = admission.upload(size)
        try:
            place.__enter__()
        except Overloaded as error:
            assert error.retry_after_seconds >= 1
        else:
            inside.append(place)
    assert (len(inside), admission.refused) == (let_in, len(sizes) - let_in)
    for place in inside:
        place.__exit__(None, None, None)
    assert (admission.uploads, admission.bytes_inside) == (0, 0)


def test_slow_senders_take_no_place_and_a_full_queue_reads_no_body() -> None:
    admission = Admission(1, 1, 10)
    with admission.upload(1), admission.upload(1), admission.upload(1):
        with admission.enter(), admission.enter():
            assert (admission.inside, admission.in_queue) == (2, 1)
            with pytest.raises(Overloaded, match="2 exams are scored or wait"), admission.enter():
                raise AssertionError("as many wait as may")
            with pytest.raises(Overloaded), admission.upload(1):
                raise AssertionError("its body must not be read")
        with admission.enter():
            assert admission.in_queue == 0


def test_turns_come_in_order_a_few_at_a_time() -> None:
    async def run() -> tuple[list[int], int]:
        admission, order, scoring, most = Admission(2, 30, 10), [], 0, 0

        async def one(number: int) -> None:
            nonlocal scoring, most
            with admission.enter():
                async with admission.turn(Patience(None)):
                    order.append(number)
                    scoring += 1
                    most = max(most, scoring)
                    await asyncio.sleep(0.002)
                    scoring -= 1

        await asyncio.gather(*(one(number) for number in range(20)))
        return order, most

    assert asyncio.run(run()) == (list(range(20)), 2)


@pytest.mark.parametrize("how", ["late", "gone", "cancelled"])
def test_who_leaves_the_queue_holds_no_place(how: str) -> None:
    expected = {
        "late": DeadlineExceeded,
        "gone": RequestCancelled,
        "cancelled": asyncio.CancelledError,
    }[how]

    async def run() -> None:
        admission = Admission(1, 9, 10)
        patience = Patience(0.05 if how == "late" else None)

        async def waits() -> None:
            async with admission.turn(patience):
                raise AssertionError("the only place is taken")

        async with admission.turn(Patience(None)):
            waiting = asyncio.create_task(waits())
            await asyncio.sleep(0.01)
            if how == "gone":
                patience.cancel()
            elif how == "cancelled":
                waiting.cancel()
            with pytest.raises(expected):
                await waiting
        async with asyncio.timeout(1), admission.turn(Patience(None)):
            pass

    asyncio.run(run())


def test_a_failed_exam_gives_its_place_back() -> None:
    async def run() -> None:
        admission = Admission(1, 0, 10)
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"), admission.enter():
                async with admission.turn(Patience(1.0)):
                    raise ValueError("broken")
        assert admission.inside == 0

    asyncio.run(run())
