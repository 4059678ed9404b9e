"""The stateful test of the loop reaches what it is about: promotion by the guard, and harm."""

from __future__ import annotations

import pytest

from tests.test_loop_properties import Loop

pytestmark = pytest.mark.slow


def test_a_rollout_is_led_in_and_one_that_harms_is_stopped() -> None:
    loop = Loop()
    loop.an_installation_serves_or_not(True)
    loop.somebody_deploys("r-1", "rollout", True, None)
    stands = [loop.home.pointer()["challenger"]["stage"]]
    for _ in range(3):
        loop.exams_come_and_the_guard_looks(True, None)
        loop.every_move_is_recorded_once()
        stands.append((loop.home.pointer()["challenger"] or {"stage": "none"})["stage"])
    assert stands == ["shadow", "canary", "none", "none"]
    assert loop.home.pointer()["release_id"] == "r-1"
    loop.somebody_deploys("r-2", "rollout", True, None)
    loop.exams_come_and_the_guard_looks(False, None)
    assert loop.home.pointer()["moved"]["reason"] == "harm"
    assert loop.home.pointer()["challenger"] is None
    loop.teardown()
