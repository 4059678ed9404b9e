from __future__ import annotations

import numpy as np
import pytest

from benchmarks import late_outcomes
from monitoring.outcome_findings import OutcomeFindings


def seen(
    rank: float | None, rate: float | None, changed_on: int | None = 100
) -> late_outcomes.Seen:
    return late_outcomes.Seen(OutcomeFindings(rank_day=rank, rate_day=rate), changed_on)


def test_the_first_confirmation_counts_and_never_is_no_day():
    found = late_outcomes.describe([seen(150, 130), seen(None, 170), seen(None, None)])
    assert found["ranks_fell"]["value"] == pytest.approx(1 / 3, abs=1e-3)
    assert found["rate_moved"]["value"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["delay_days"]["value"] == 70
    assert found["rank_delays"] == [50, None, None]
    quiet = late_outcomes.describe([seen(None, None, None)] * 4)
    assert quiet["confirmed_a_year"]["value"] == 0


def test_who_knows_everything_is_no_quicker_than_outcomes_allow():
    delays = late_outcomes.limit_delays(40)
    # about 0.07 nats a day against a threshold of 5 to 6
    assert 50 < np.median(delays) < 130


@pytest.mark.slow
def test_draws_are_seeded_and_told():
    (first,) = late_outcomes.watch_years("prevalence_up", 1, 365)
    (again,) = late_outcomes.watch_years("prevalence_up", 1, 365)
    assert first == again
    assert first.findings.direction == "up"
    assert 90 <= first.changed_on <= 180
