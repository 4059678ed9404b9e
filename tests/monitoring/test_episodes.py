from __future__ import annotations

from contextlib import suppress

import pytest

from mammo.prediction_log import PredictionLog
from monitoring.episodes import (
    MAX_ATTEMPTS,
    Proposal,
    abandoned_updates,
    answered_before,
    closed_acting,
    open_episode,
    retraining,
    waiting_episodes,
)
from monitoring.strata import Stratum
from monitoring.triage import Triage
from tests.loop_deaths import Deaths, Killed

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
        (proposal("data_fault", "quarantine"), True),
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


def test_a_note_is_made_once_until_it_is_closed(log):
    note = proposal("prevalence", "note")
    key = open_episode(log, note)["key"]
    assert open_episode(log, note) is None
    log.update_episode(key, status="closed")
    assert open_episode(log, note)["key"] == key.replace(":1", ":2")


@pytest.mark.parametrize(
    ("first", "opens"),
    [
        (proposal(), False),
        (proposal("data_fault", "quarantine"), False),
        (proposal("mixed", "quarantine"), False),
        (proposal("prevalence", "note"), True),
        (proposal(stratum=Stratum("site-1", "Phantom Cygnus/C3", "1.0")), True),
        (proposal("acquisition", "ask"), False),
    ],
)
def test_a_question_waits_while_something_is_done(log, first, opens):
    open_episode(log, first)
    assert (open_episode(log, proposal("prevalence", "ask")) is not None) == opens


@pytest.mark.parametrize(
    "answer",
    [proposal(), proposal("data_fault", "quarantine"), proposal("prevalence", "note")],
)
def test_what_is_opened_settles_the_question(log, answer):
    key = open_episode(log, proposal("acquisition", "ask"))["key"]
    assert key.endswith(":ask:1")
    opened = open_episode(log, answer)["key"]
    assert log.episode(key)["status"] == "settled"
    assert log.episode(opened)["status"] == "open"
    assert closed_acting(log.episodes(), "r-1", AURORA) == [], "nothing was answered by a person"
    log.update_episode(opened, status="closed")
    assert open_episode(log, proposal("acquisition", "ask"))["key"].endswith(":ask:2")


@pytest.mark.parametrize("at", range(4))
def test_a_question_is_settled_wherever_the_opening_was_killed(log, at):
    key = open_episode(log, proposal("acquisition", "ask"))["key"]
    deaths = Deaths()
    with deaths.install():
        deaths.arm(at)
        with suppress(Killed):
            open_episode(log, proposal())
        deaths.disarm()
        open_episode(log, proposal())
    assert log.episode(key)["status"] == "settled"
    assert [one["status"] for one in log.episodes()] == ["settled", "open"]


def test_a_question_that_a_person_closed_was_answered(log):
    key = open_episode(log, proposal("acquisition", "ask"))["key"]
    assert [one["key"] for one in waiting_episodes(log.episodes())] == [key]
    log.update_episode(key, status="closed")
    assert [one["key"] for one in closed_acting(log.episodes(), "r-1", AURORA)] == [key]


def test_a_retraining_for_all_scanners_waits_for_any_other(log):
    open_episode(log, proposal())
    for cause in ("concept", "mixed", "acquisition"):
        assert open_episode(log, proposal(cause, "retrain", ALL)) is None
    assert open_episode(log, proposal("concept", "ask", ALL))["key"] == "r-1:all-exams:ask:1"


def test_waiting_and_answered(log):
    key = open_episode(log, proposal())["key"]
    open_episode(log, proposal("prevalence", "note"))
    assert [one["key"] for one in waiting_episodes(log.episodes())] == [key]
    log.update_episode(key, status="acting")
    assert waiting_episodes(log.episodes()) == []
    assert not answered_before(log.episodes(), "r-1", AURORA.scanner)
    assert not answered_before(log.episodes(), "r-2", "Another/X")


@pytest.mark.parametrize(
    ("values", "answered"),
    [
        ({"status": "open"}, False),
        ({"status": "failed"}, False),
        ({"status": "closed"}, False),
        ({"status": "acting"}, True),
        ({"status": "closed", "evidence": {"scanner": AURORA.scanner, "result": {"a": 1}}}, True),
    ],
)
def test_only_what_is_mended_or_being_mended_is_answered(log, values, answered):
    log.update_episode(open_episode(log, proposal())["key"], **values)
    assert answered_before(log.episodes(), "r-2", AURORA.scanner) is answered


@pytest.mark.parametrize(
    ("status", "second", "opens"),
    [
        ("acting", proposal(release="r-2"), False),
        ("acting", proposal("data_fault", "quarantine", release="r-2"), True),
        ("acting", proposal("prevalence", "note", release="r-2"), True),
        ("acting", proposal(stratum=Stratum("s", "Another/X", "1"), release="r-2"), True),
        ("open", proposal(release="r-2"), True),
        ("failed", proposal(release="r-2"), True),
        ("closed", proposal(release="r-2"), True),
    ],
)
def test_another_release_waits_for_the_run_that_acts_for_the_scanner(log, status, second, opens):
    log.update_episode(open_episode(log, proposal())["key"], status=status)
    assert (open_episode(log, second) is not None) == opens


def test_a_fault_that_nobody_closes_is_no_bar(log):
    fault = proposal("data_fault", "quarantine")
    key = open_episode(log, fault)["key"]
    assert key == "r-1:site-1-phantom-aurora-a1-1.0:act-data_fault:1"
    assert open_episode(log, fault) is None
    assert open_episode(log, proposal())["key"].endswith(":act:1")
    log.update_episode(key, status="closed")
    assert [one["key"] for one in closed_acting(log.episodes(), "r-1", AURORA)] == [key]
    assert open_episode(log, fault)["key"].endswith(":act-data_fault:2")


RUN = "6f1c0000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("state", "freed"),
    [
        ("CRASHED", True),
        ("FAILED", True),
        ("CANCELLED", True),
        (None, True),
        ("COMPLETED", False),
        ("RUNNING", False),
        ("CANCELLING", False),
        ("SCHEDULED", False),
    ],
)
def test_an_episode_whose_run_is_over_is_free_again(log, state, freed):
    key = open_episode(log, proposal())["key"]
    log.update_episode(key, status="acting", flow_run_id=RUN, started_by="AUTOMATION:a")
    updates = abandoned_updates(log.episodes(), {RUN: state})
    assert set(updates) == ({key} if freed else set())
    assert abandoned_updates(log.episodes(), {}) == {}, "a run nobody asked about is left alone"
    for values in updates.values():
        log.update_episode(key, if_status="acting", **values)
        one = log.episode(key)
        assert (one["status"], one["flow_run_id"], one["started_by"]) == ("open", None, None)
        assert (one["evidence"]["attempts"], one["evidence"]["exams"]) == (1, 9)
        assert abandoned_updates(log.episodes(), {RUN: state}) == {}


def test_after_some_attempts_it_has_failed_and_is_left_to_people(log):
    key = open_episode(log, proposal())["key"]
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert retraining(log.episodes(), "r-1")
        log.update_episode(key, if_status="open", status="acting", flow_run_id=RUN)
        log.update_episode(key, **abandoned_updates(log.episodes(), {RUN: "FAILED"})[key])
        assert log.episode(key)["evidence"]["attempts"] == attempt
    assert (log.episode(key)["status"], log.episode(key)["flow_run_id"]) == ("failed", RUN)
    assert waiting_episodes(log.episodes()) == []
    assert not retraining(log.episodes(), "r-1"), "a concept episode need not wait for it"
