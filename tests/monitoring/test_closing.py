"""A person closes an episode, once, and never one that a run has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammo.errors import EpisodeUnknown
from mammo.prediction_log import PredictionLog
from monitoring.closing import close_episode

KEY = "r-1:site-1:act-data_fault:1"


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    log = PredictionLog(f"sqlite:///{tmp_path / 'log.db'}").create()
    log.open_episode(KEY, stratum="site-1", cause="data_fault", action="quarantine",
                     release_id="r-1", evidence={"exams": 40})  # fmt: skip
    return log


@pytest.mark.parametrize("status", ["open", "failed"])
def test_what_waits_for_a_person_is_closed_with_its_reason(log, status):
    log.update_episode(KEY, status=status)
    assert close_episode(log, KEY, "the sender was mended")["closed"]
    kept = log.episode(KEY)
    assert kept["status"] == "closed" and kept["closed_at"] is not None
    assert kept["evidence"] == {
        "exams": 40,
        "closed_by": "person",
        "closing_reason": "the sender was mended",
    }


@pytest.mark.parametrize("status", ["acting", "closed"])
def test_what_a_run_has_or_is_over_is_left_alone(log, status):
    log.update_episode(KEY, status=status)
    with pytest.raises(EpisodeUnknown, match=f"is {status}; only an open or failed"):
        close_episode(log, KEY, "x")
    assert log.episode(KEY)["evidence"] == {"exams": 40}


def test_a_key_that_is_none_is_told(log):
    with pytest.raises(EpisodeUnknown, match="There is no episode r-9"):
        close_episode(log, "r-9", "x")
