"""The monitor against a real log, from quiet weeks to every kind of trouble."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from mammo.errors import ReleaseNotFound
from mammo.prediction_log import PredictionLog
from monitoring import run
from monitoring.closing import close_episode
from monitoring.config import MonitorConfig
from monitoring.evidence_page import episode_file
from monitoring.pages import draft_folder

pytestmark = pytest.mark.slow

NEW = "Phantom Draco/D4"
AURORA = "Phantom Aurora/A1"


def test_without_a_release_it_says_so(hospital):
    report = hospital.monitor()
    assert (report.read, report.release_id) == (0, None)
    assert report.notes == ["No release is in service: nothing to compare with."]


def test_a_release_without_reference_is_named(hospital):
    (hospital.release() / "reference.parquet").unlink()
    with pytest.raises(ReleaseNotFound, match=r"Release r-1 is in service and has no reference"):
        hospital.monitor()


def test_an_empty_log_is_no_trouble(hospital):
    hospital.release()
    report = hospital.monitor()
    assert (report.read, report.strata, report.report_url) == (0, {}, None)


def test_quiet_weeks_raise_nothing(hospital):
    hospital.release()
    hospital.outcomes(hospital.stream(150))
    report = hospital.monitor()
    assert report.read == 150
    assert [one["state"] for one in report.strata.values()] == ["in_control"] * 4
    assert report.episodes_opened == report.alarms == []
    assert report.performance["auc"]["value"] > 0.8
    assert json.loads(json.dumps(report.to_dict()))["read"] == 150
    assert hospital.monitor().read == 0


def test_a_new_scanner_that_scores_higher(hospital):
    hospital.release()
    hospital.stream(60)
    hospital.stream(40, [NEW], shift=1.5, images=1.5)
    report = hospital.monitor()
    (episode,) = report.episodes_opened
    assert episode["key"] == "r-1:site-1-phantom-draco-d4-1.0:act:1"
    assert (episode["cause"], episode["action"]) == ("acquisition", "recalibrate_and_retrain")
    assert episode["scanner"] == NEW
    assert 3 <= episode["exams_to_alarm"] <= 20
    kept = hospital.log.episode(episode["key"])
    assert kept["evidence"]["scanner"] == NEW
    assert kept["status"] == "open"
    page = hospital.settings.reports_dir / "drift" / report.stamp
    names = {path.name for path in page.iterdir()}
    evidence = "episode-r-1-site-1-phantom-draco-d4-1.0-act-1.html"
    assert names == {"index.html", "report.json", "control.svg", evidence}


@pytest.mark.parametrize(
    ("changes", "cause", "action"),
    [
        ({"images": 2.0, "shift": 1.0}, "acquisition", "retrain"),  # on every scanner
        ({"shift": 2.0}, "prevalence", "note"),
        ({"inverted": True}, "data_fault", "quarantine"),
        ({"quality": "MISSING_VIEW"}, "data_fault", "quarantine"),
    ],
    ids=["acquisition", "prevalence", "inverted", "missing views"],
)
def test_a_change_on_a_known_scanner_is_named(hospital, changes, cause, action):
    hospital.release()
    hospital.stream(45)
    hospital.stream(75, **changes)
    opened = hospital.monitor().episodes_opened
    assert {(one["cause"], one["action"]) for one in opened} == {(cause, action)}
    assert 1 <= len(opened) <= 3, "at most one for each scanner"


def test_embeddings_that_do_not_arrive_are_no_silent_pass(hospital):
    hospital.release()
    hospital.stream(25, [AURORA])
    hospital.stream(20, [AURORA], embedding=None)
    (episode,) = hospital.monitor().episodes_opened
    assert (episode["cause"], episode["action"]) == ("data_fault", "quarantine")
    assert episode["reason"].startswith("100% of the channel values are missing")


def test_a_new_software_version_is_noted_at_once(hospital):
    hospital.release()
    hospital.stream(1, [AURORA], software_version="2.0")
    (episode,) = hospital.monitor().episodes_opened
    assert (episode["cause"], episode["action"]) == ("software_version", "note")
    hospital.stream(1, [AURORA], software_version="2.0")
    assert hospital.monitor().episodes_opened == []
    hospital.stream(40, [AURORA], software_version="2.0", images=2.5)
    (episode,) = hospital.monitor().episodes_opened
    assert (episode["cause"], episode["exams_to_alarm"] < 20) == ("acquisition", True)


def test_outcomes_show_a_loss_that_images_do_not(hospital):
    hospital.release(exams=60)
    hospital.outcomes(hospital.stream(240, skill=0.2, shift=0.6))
    opened = hospital.monitor().episodes_opened
    concept = next(one for one in opened if one["cause"] == "concept")
    assert (concept["action"], concept["stratum"]) == ("retrain", "all exams")
    assert hospital.monitor().episodes_opened == []


@pytest.mark.parametrize("killed", [False, True])
def test_an_answered_loss_of_skill_opens_again_by_new_outcomes_alone(hospital, monkeypatch, killed):
    """Such as a retraining that the gate refused: the same outcomes ask for no second one."""
    hospital.release(exams=60)
    hospital.outcomes(hospital.stream(240, skill=0.2, shift=0.6))
    if killed:
        kill(hospital, monkeypatch, "before the watermark")
    else:
        hospital.monitor()
    concept = "r-1:all-exams:act:"
    assert [one["key"] for one in hospital.log.episodes() if "act" in one["key"]] == [f"{concept}1"]
    close_episode(hospital.log, f"{concept}1", "the gate refused what was trained")
    for _ in range(2):
        assert hospital.monitor().episodes_opened == []
    hospital.outcomes(hospital.stream(240, skill=0.2, shift=0.6))
    assert [one["key"] for one in hospital.monitor().episodes_opened] == [f"{concept}2"]


def test_repeated_alarms_open_one_episode(hospital):
    hospital.release()
    for _ in range(6):
        hospital.stream(15, [NEW], shift=1.5, images=1.5)
        hospital.monitor()
    assert [one["key"][-5:] for one in hospital.log.episodes()] == ["act:1"]


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_the_alarm_does_not_depend_on_how_often_it_runs(hospital, batch):
    hospital.release()
    rows = [hospital.exam(NEW, shift=1.5, images=1.5) for _ in range(28)]
    opened = []
    for start in range(0, len(rows), batch):
        for row in rows[start : start + batch]:
            hospital.log.append_exam([row])
        opened += hospital.monitor().episodes_opened
    (episode,) = opened
    assert episode["exams_to_alarm"] == 13


STEPS = {
    "before the pages": (run, "_write_pages"),
    "after the pages": (PredictionLog, "open_episode"),
    "after the episode": (run, "write_index"),
    "before the watermark": (PredictionLog, "set_watermark"),
}


def kill(hospital, monkeypatch, step, **config):
    """Run the monitor until it dies at a step."""

    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step], killed)
        with pytest.raises(KeyboardInterrupt):
            hospital.monitor(**config)


def require_pages(hospital):
    """Each episode's evidence is where its link leads; nothing half-written is left."""
    root = hospital.settings.reports_dir / "drift"
    for one in hospital.log.episodes():
        stamp = one["report_url"].rstrip("/").rpartition("/")[2]
        assert (root / stamp / episode_file(one)).is_file(), one["key"]
        assert (root / stamp / "index.html").is_file()
    assert [one.name for one in root.iterdir() if one.is_dir() and one.name[0] == "."] == []


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_is_made_good(hospital, monkeypatch, step):
    hospital.release()
    hospital.stream(30, [NEW], shift=1.5, images=1.5)
    kill(hospital, monkeypatch, step)
    before = [one["key"] for one in hospital.log.episodes()]
    report = hospital.monitor()
    assert report.read == 30
    assert [one["key"] for one in hospital.log.episodes()] == [
        "r-1:site-1-phantom-draco-d4-1.0:act:1"
    ]
    assert len(before) + len(report.episodes_opened) == 1
    assert len(report.episodes_waiting) == 1, "an event that was lost can be sent again"
    require_pages(hospital)


ANSWERS = {"acquisition": {"shift": 1.5, "images": 1.5}, "data_fault": {}}
"""What the scanner's exams are like after the answer: learnt as they are, or mended."""


def answer(hospital, cause):
    """Close the only episode as one of a cause; log what follows the answer."""
    (opened,) = hospital.log.episodes()
    hospital.log.update_episode(opened["key"], cause=cause)
    close_episode(hospital.log, opened["key"], "looked at")
    hospital.stream(80, [NEW], **ANSWERS[cause])


@pytest.mark.parametrize("cause", ANSWERS)
def test_what_was_answered_after_a_kill_is_not_opened_again(hospital, monkeypatch, cause):
    hospital.release()
    hospital.stream(30, [NEW], shift=1.5, images=1.5)
    kill(hospital, monkeypatch, "before the watermark")
    answer(hospital, cause)
    report = hospital.monitor()
    assert (report.read, report.alarms) == (110, [])
    assert [one["status"] for one in hospital.log.episodes()] == ["closed"]
    require_pages(hospital)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize(("cause", "exam"), [("acquisition", 77), ("data_fault", 115)])
def test_new_trouble_after_the_answer_opens_as_soon_as_without_a_kill(
    hospital, monkeypatch, killed, cause, exam
):
    """In the very run that reads again what the killed one had read."""
    hospital.release()
    hospital.stream(30, [NEW], shift=1.5, images=1.5)
    if killed:
        kill(hospital, monkeypatch, "after the episode")
    else:
        hospital.monitor()
    answer(hospital, cause)
    hospital.stream(40, [NEW], shift=4.0, images=5.0)
    report = hospital.monitor()
    assert report.read == 120 + 30 * killed
    opened = [(one["key"][-5:], one["exams_to_alarm"]) for one in report.episodes_opened]
    assert opened == [("act:2", exam)]


def test_an_answer_during_a_run_is_no_new_trouble(hospital, monkeypatch):
    hospital.release()
    hospital.stream(30, [NEW], shift=1.5, images=1.5)
    (opened,) = hospital.monitor().episodes_opened
    hospital.stream(5, [NEW], shift=1.5, images=1.5)
    write = run._write_pages

    def answered(*given):
        close_episode(hospital.log, opened["key"], "looked at")
        write(*given)

    monkeypatch.setattr(run, "_write_pages", answered)
    assert hospital.monitor().episodes_opened == []
    monkeypatch.undo()
    hospital.stream(5, [NEW], shift=1.5, images=1.5)
    assert hospital.monitor().episodes_opened == []
    assert [one["status"] for one in hospital.log.episodes()] == ["closed"]


def test_a_look_at_the_auc_is_taken_once_though_its_run_was_killed(hospital, monkeypatch):
    alone = replace(MonitorConfig(), evidently_on="never", streams=150, stream_exams=1000)
    alone = replace(alone, outcome_share=1e-30)  # the control of outcomes confirms nothing
    hospital.release(exams=60)
    hospital.outcomes(hospital.stream(240, skill=0.2, shift=0.6))
    kill(hospital, monkeypatch, "before the watermark", config=alone)
    lost = [one["key"] for one in hospital.log.episodes() if one["cause"] == "concept"]
    assert lost == ["r-1:all-exams:act:1"]
    close_episode(hospital.log, lost[0], "looked at")
    report = hospital.monitor(alone)
    assert report.performance["note"] == "Too few new cancers to look again."
    assert [one["key"] for one in report.episodes_opened] == []


def test_pages_of_a_run_that_is_still_writing_are_left(tmp_path):
    with draft_folder(tmp_path, "1") as first, draft_folder(tmp_path, "2") as second:
        assert first.is_dir() and second.is_dir()
    with draft_folder(tmp_path, "3") as third:
        assert third.is_dir() and not first.exists() and not second.exists()


def test_a_new_release_starts_anew(hospital):
    hospital.release()
    hospital.stream(30, [NEW], shift=1.5, images=1.5)
    hospital.monitor()
    hospital.release("r-2", scanners=(AURORA, NEW))
    hospital.stream(5, [NEW], shift=1.5, images=1.5)
    hospital.stream(30, [NEW], release="r-2")
    report = hospital.monitor()
    assert (report.release_id, report.read, report.skipped) == ("r-2", 30, 5)
    assert report.strata[f"site-1 · {NEW} · 1.0"]["state"] == "in_control"
    assert report.episodes_opened == []


def test_exams_of_a_release_that_took_over_during_a_run_are_read(hospital):
    hospital.release()
    hospital.stream(10)
    hospital.stream(12, release="r-2")
    first = hospital.monitor()
    assert (first.release_id, first.read, first.last_id) == ("r-1", 10, 22)
    hospital.release("r-2")
    hospital.stream(3, release="r-2")
    assert hospital.monitor().read == 15
    assert hospital.monitor().read == 0


def test_a_release_that_comes_back_is_read_on_from_where_it_was_left(hospital):
    hospital.release()
    pointer = hospital.settings.pointer_path.read_text()
    hospital.stream(10)
    hospital.monitor()
    hospital.release("r-2")
    hospital.stream(4, release="r-2")
    hospital.stream(2)
    assert hospital.monitor().read == 4
    hospital.settings.pointer_path.write_text(pointer)
    hospital.stream(3)
    report = hospital.monitor()
    assert (report.release_id, report.read) == ("r-1", 5)


def test_a_recalibrated_release_waits_for_the_run_that_made_it(hospital):
    hospital.release()
    hospital.stream(30, [AURORA])
    hospital.stream(40, [AURORA], shift=1.0, images=2.0)
    (episode,) = hospital.monitor().episodes_opened
    hospital.log.update_episode(episode["key"], status="acting")
    hospital.release("r-2")
    hospital.stream(60, [AURORA], release="r-2", shift=1.0, images=2.0)
    report = hospital.monitor()
    assert (len(report.alarms), report.episodes_opened) == (1, [])
    hospital.log.update_episode(episode["key"], status="failed")
    hospital.stream(1, [AURORA], release="r-2", shift=1.0, images=2.0)
    assert [one["key"][:3] for one in hospital.monitor().episodes_opened] == ["r-2"]


def test_after_a_fault_that_nobody_closed_only_a_real_change_opens(hospital):
    hospital.release()
    hospital.stream(45, [AURORA])
    hospital.stream(15, [AURORA], inverted=True)
    (fault,) = hospital.monitor().episodes_opened
    assert fault["key"].endswith(":act-data_fault:1")
    for _ in range(4):
        hospital.stream(20, [AURORA])
        assert hospital.monitor().episodes_opened == []
    hospital.stream(40, [AURORA], shift=1.0, images=2.0)
    (drift,) = hospital.monitor().episodes_opened
    assert (drift["cause"], drift["key"][-6:]) == ("acquisition", ":act:1")


def test_a_release_that_answered_without_the_scanner_learns_it(hospital):
    hospital.release()
    hospital.stream(30, [NEW], shift=1.5, images=1.5)
    (episode,) = hospital.monitor().episodes_opened
    hospital.log.update_episode(episode["key"], status="acting")
    hospital.release("r-2")
    hospital.stream(90, [NEW], shift=1.5, images=1.5, release="r-2")
    report = hospital.monitor()
    assert report.episodes_opened == []
    assert report.strata[f"site-1 · {NEW} · 1.0"]["codes"] == ["SCANNER_NEW", "BASELINE_LEARNT"]


@pytest.mark.parametrize(("cause", "again"), [("acquisition", False), ("data_fault", True)])
def test_after_an_episode_is_closed_under_the_same_release(hospital, cause, again):
    hospital.release()
    hospital.stream(30, [NEW], shift=1.5, images=1.5)
    (episode,) = hospital.monitor().episodes_opened
    hospital.log.update_episode(episode["key"], status="closed", cause=cause)
    hospital.stream(80, [NEW], shift=1.5, images=1.5)
    opened = hospital.monitor().episodes_opened
    assert [one["key"][-5:] for one in opened] == (["act:2"] if again else [])


def test_an_exam_sent_twice_counts_once(hospital):
    hospital.release()
    row = hospital.exam(AURORA)
    for _ in range(3):
        hospital.log.append_exam([row])
    assert (hospital.monitor().read, hospital.monitor().skipped) == (1, 0)


def test_unknown_settings_are_refused():
    assert MonitorConfig.from_dict(MonitorConfig().to_dict()) == MonitorConfig()
    assert MonitorConfig.from_dict({"strata": ["scanner"]}).strata == ("scanner",)
    with pytest.raises(TypeError, match="Unknown monitor settings: budget"):
        MonitorConfig.from_dict({"budget": 1})
    assert replace(MonitorConfig(), policy="evidently").policy == "evidently"


def test_a_run_without_exams_and_a_constant_channel_have_codes(hospital):
    folder = hospital.release()
    path = folder / "reference.parquet"
    pd.read_parquet(path).assign(f_sharpness=0.05).to_parquet(path)
    report = hospital.monitor()
    assert {one["code"]: one["count"] for one in report.codes} == {
        "NO_NEW_EXAMS": 1,
        "CHANNEL_CONSTANT": 1,
    }
    assert report.alarms == report.episodes_opened == []


def test_one_exam_is_no_evidence(hospital):
    hospital.release()
    hospital.stream(1, inverted=True, images=9.0, shift=9.0)
    report = hospital.monitor()
    assert (report.read, report.alarms) == (1, [])


def test_a_clock_that_goes_backwards_leaves_the_decision_to_a_person(hospital):
    hospital.release()
    now = datetime.now(UTC)
    rows = [hospital.exam(NEW, shift=1.5, images=1.5) for _ in range(40)]
    for number, row in enumerate(rows):
        earlier = timedelta(hours=3 * (number % 2))
        hospital.log.append_exam([row | {"scored_at": now - timedelta(days=1) - earlier}])
    report = hospital.monitor()
    assert "CLOCK_BACKWARDS" in {one["code"] for one in report.codes}
    (episode,) = report.episodes_opened
    assert episode["action"] == "ask"
    assert "times that go backwards" in episode["reason"]


def test_a_sender_that_leaves_out_the_age_is_no_fault(hospital):
    folder = hospital.release()
    path = folder / "reference.parquet"
    frame = pd.read_parquet(path)
    frame.assign(f_age_years=hospital.rng.normal(60, 7, len(frame))).to_parquet(path)
    hospital.stream(90)
    report = hospital.monitor()
    assert report.alarms == []
    assert {"VALUE_MISSING"} == {one["code"] for one in report.codes}
