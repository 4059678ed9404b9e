from __future__ import annotations

import pytest

from mammo.prediction_log import PredictionLog
from monitoring.episodes import Proposal, answered_before, open_episode, waiting_episodes
from monitoring.strata import Stratum
from monitoring.triage import Triage

AURORA = Stratum("site-1", "Phantom Aurora/A1", "1.0")
ALL = Stratum("", "", "")


def proposal(cause="acquisition", action="recalibrate_and_retrain", stratum=AURORA, release="r-1"):
    triage = Triage(cause, action, "because")
    return Proposal(release, stratum, triage, 9, {"exams": 9}, "http://host/drift/1/")


@pytest.fixture
def log(tmp_path) -> PredictionLog:
    return PredictionLog(f"sqlite:///{tmp_path / 'log.db'}").create()


@pytest.mark.parametrize(
    ("second", "opens"),
    [
        (proposal(), False),
        (proposal("data_fault", "quarantine"), False),
        (proposal("prevalence", "note"), True),
        (proposal(stratum=Stratum("site-1", "Phantom Cygnus/C3", "1.0")), True),
        (proposal(release="r-2"), True),
        (proposal("concept", "retrain", ALL), False),
        (proposal("concept", "retrain", ALL, "r-2"), True),
    ],
)
def test_what_opens_beside_an_open_episode(log, second, opens):
    assert open_episode(log, proposal())["key"] == "r-1:site-1-phantom-aurora-a1-1.0:act:1"
    assert (open_episode(log, second) is not None) == opens
    assert len(log.episodes()) == 1 + opens


def test_trouble_that_comes_back_is_a_new_episode(log):
    first = open_episode(log, proposal())["key"]
    log.update_episode(first, status="closed")
    assert open_episode(log, proposal())["key"] == first.replace(":act:1", ":act:2")


def test_a_note_is_made_once(log):
    note = proposal("prevalence", "note")
    key = open_episode(log, note)["key"]
    log.update_episode(key, status="closed")
    assert open_episode(log, note) is None


def test_waiting_and_answered(log):
    key = open_episode(log, proposal())["key"]
    open_episode(log, proposal("prevalence", "note"))
    assert [one["key"] for one in waiting_episodes(log.episodes())] == [key]
    log.update_episode(key, status="acting")
    assert waiting_episodes(log.episodes()) == []
    assert answered_before(log.episodes(), "r-2", AURORA.scanner)
    assert not answered_before(log.episodes(), "r-1", AURORA.scanner)
    assert not answered_before(log.episodes(), "r-2", "Another/X")
