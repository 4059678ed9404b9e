from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from mammo.exam import Outcome
from mammo.prediction_log import (
    EMBEDDING_NAMES,
    PredictionLog,
    exam_frame,
    label_breasts,
    label_exams,
)
from tests.prediction_log.rows import LEFT, RIGHT, T0, breast_row, exam_row, outcome


def test_frame_returns_what_was_logged(log: PredictionLog) -> None:
    last = log.append_exam([breast_row(), breast_row(side="R"), exam_row()])
    frame = log.exams()
    assert frame.loc[0, "id"] == last == 3
    assert frame.loc[0, "scored_at"].tzinfo is not None
    assert frame.loc[0, "acquired_on"] == pd.Timestamp("2026-02-28")
    np.testing.assert_array_equal(frame[list(EMBEDDING_NAMES)].iloc[0], exam_row()["embedding"])
    assert frame.loc[0, "f_contrast"] == 0.25
    assert np.isnan(frame.loc[0, "f_noise"])
    assert list(log.exams(level="breast")["laterality"]) == ["L", "R"]


def test_frame_of_nothing_has_the_same_types(log: PredictionLog) -> None:
    log.append_exam([exam_row()])
    empty, full = exam_frame([]), log.exams()
    assert len(empty) == 0
    assert empty.dtypes.to_dict().items() <= full.dtypes.to_dict().items()


def test_embedding_of_another_size_is_refused(log: PredictionLog) -> None:
    with pytest.raises(ValueError, match=r"32 float32, this one \(31,\)"):
        log.append_exam([breast_row(), exam_row(embedding=np.zeros(31))])
    assert log.exams(level="breast").empty, "an exam is logged whole or not at all"


def test_report_is_of_the_latest_scoring(log: PredictionLog) -> None:
    log.append_exam([breast_row(), exam_row(scored_at=T0)])
    log.append_exam([breast_row(probability=0.9), exam_row(probability=0.9, release_id="r-2")])
    log.append_exam([exam_row(role="shadow", release_id="r-3")])
    report = log.exam_report("E-1")
    assert report is not None
    assert (report["release_id"], report["times_scored"]) == ("r-2", 2)
    assert [breast["probability"] for breast in report["breasts"]] == [0.9]
    assert log.exam_report("E-2") is None
    assert log.known_exams(["E-1", "E-2", "E-1"]) == {"E-1"}


def test_reader_goes_on_where_it_stopped(log: PredictionLog) -> None:
    for number in range(5):
        log.append_exam([breast_row(f"E-{number}"), exam_row(f"E-{number}")])
    first = log.read_since(0, limit=2)
    log.set_watermark("monitor", int(first["id"].iloc[-1]), {"cusum": {"a": np.float64(1.5)}})
    mark = log.watermark("monitor")
    assert mark.state == {"cusum": {"a": 1.5}}
    assert list(log.read_since(mark.last_id)["exam_id"]) == ["E-2", "E-3", "E-4"]
    log.set_watermark("monitor", 10, {})
    assert log.watermark("monitor").last_id == 10
    assert log.watermark("other").last_id == 0


@pytest.mark.parametrize(
    ("wanted", "exams"),
    [
        ({}, ["E-1", "E-2"]),
        ({"release_id": "r-2"}, ["E-2"]),
        ({"scanner": "other"}, []),
        ({"since": T0 + timedelta(hours=1)}, ["E-2"]),
        ({"until": T0 + timedelta(hours=1)}, ["E-1"]),
        ({"role": "shadow"}, ["E-3"]),
        ({"role": None}, ["E-1", "E-2", "E-3"]),
    ],
)
def test_exams_are_chosen_by(log: PredictionLog, wanted: dict[str, Any], exams: list[str]) -> None:
    log.append_exam([exam_row("E-1", scored_at=T0)])
    log.append_exam([exam_row("E-2", scored_at=T0 + timedelta(days=1), release_id="r-2")])
    log.append_exam([exam_row("E-3", role="shadow")])
    assert list(log.exams(**wanted)["exam_id"]) == exams


def test_instants_are_stored_as_utc(log: PredictionLog) -> None:
    paris = datetime(2026, 3, 1, 11, tzinfo=timezone(timedelta(hours=2)))
    log.append_exam([exam_row(scored_at=paris)])
    assert log.exams()["scored_at"][0] == T0
    log.add_outcomes([Outcome("E-1", True, paris, "pathology")])
    assert log.outcomes()["known_at"][0] == T0


def test_same_outcome_twice_is_one(log: PredictionLog) -> None:
    some = [outcome("E-1", True), outcome("E-1", True, side=LEFT), outcome("E-2", False)]
    assert log.add_outcomes([*some, some[0]]) == 3
    assert log.add_outcomes(some) == 0
    assert log.add_outcomes([outcome("E-2", True, days=90)]) == 1, "a later result is added"
    assert len(log.outcomes()) == 4


@pytest.mark.parametrize("year", [1, 9999])
def test_an_impossible_instant_stops_no_reader(
    log: PredictionLog, year: int, caplog: pytest.LogCaptureFixture
) -> None:
    log.append_exam([breast_row("E-1"), exam_row("E-1")])
    impossible = Outcome("E-1", True, datetime(year, 12, 31, tzinfo=UTC), "pathology")
    log.add_outcomes([impossible, outcome("E-1", False)])
    assert list(log.outcomes()["cancer"]) == [False]
    assert list(log.labelled()["cancer"]) == [False]
    assert log.exam_outcomes(["E-1"])["E-1"]["cancer"] is False
    assert "left out: rows 1" in caplog.text and "E-1" not in caplog.text


def test_an_error_quotes_nothing_of_what_was_told(log: PredictionLog) -> None:
    undated: Any = pd.NaT  # as a table of Parquet has an empty cell
    with pytest.raises(sa.exc.StatementError) as caught:
        log.add_outcomes([Outcome("PLANTED^EXAM", True, undated, "told by PLANTED^NAME")])
    assert "INSERT INTO outcomes" in str(caught.value) and "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ([outcome("E", False)], False),
        ([outcome("E", True)], True),
        ([outcome("E", True, side=LEFT)], True),
        ([outcome("E", False, side=LEFT)], None),
        ([outcome("E", False, side=LEFT), outcome("E", False, side=RIGHT)], False),
        ([outcome("E", False, side=LEFT), outcome("E", True, side=RIGHT)], True),
        ([outcome("E", False), outcome("E", True, days=700, side=LEFT)], True),
        ([outcome("E", True), outcome("E", False, days=30)], False),
        ([outcome("E", False), outcome("E", True)], True),
    ],
    ids=str,
)
def test_label_of_an_exam(log: PredictionLog, said: list[Outcome], label: bool | None) -> None:
    log.add_outcomes(said)
    labels = label_exams(log.outcomes())
    assert list(labels["cancer"]) == ([] if label is None else [label])


@pytest.mark.parametrize(
    ("said", "labels"),
    [
        ([outcome("E", False)], {"L": False, "R": False}),
        ([outcome("E", True)], {}),
        ([outcome("E", True, side=LEFT)], {"L": True}),
        ([outcome("E", False), outcome("E", True, 700, LEFT)], {"L": True, "R": False}),
    ],
    ids=str,
)
def test_label_of_a_breast(
    log: PredictionLog, said: list[Outcome], labels: dict[str, bool]
) -> None:
    log.add_outcomes(said)
    found = label_breasts(log.outcomes())
    assert dict(zip(found["laterality"], found["cancer"], strict=True)) == labels


def test_unlabelled_is_never_negative(log: PredictionLog) -> None:
    assert log.labelled().empty
    log.append_exam([breast_row("E-1"), exam_row("E-1")])
    log.append_exam([breast_row("E-2"), exam_row("E-2")])
    log.append_exam([breast_row("E-2"), exam_row("E-2", probability=0.1)])
    log.add_outcomes([outcome("E-2", False), outcome("E-9", True)])
    exams = log.labelled()
    assert list(exams["exam_id"]) == ["E-2"]
    assert list(exams["probability"]) == [0.1], "the latest scoring counts, once"
    assert list(exams["cancer"]) == [False]
    assert list(log.labelled("breast")["laterality"]) == ["L"]
    assert log.labelled(release_id="r-9").empty


def test_episode_opens_once(log: PredictionLog) -> None:
    values = {"stratum": "A", "cause": "acquisition", "action": "retrain"}
    assert log.open_episode("A:r-1:1", evidence={"h": np.float32(2)}, **values)
    assert not log.open_episode("A:r-1:1", **values)
    assert log.update_episode("A:r-1:1", if_status="open", status="acting", flow_run_id="f")
    assert not log.update_episode("A:r-1:1", if_status="open", status="acting")
    episode = log.episode("A:r-1:1")
    assert episode is not None
    assert (episode["status"], episode["flow_run_id"]) == ("acting", "f")
    assert episode["evidence"] == {"h": 2.0}
    assert [one["key"] for one in log.episodes("acting")] == ["A:r-1:1"]
    assert (log.episodes("open"), log.episode("none")) == ([], None)


def test_changes_are_kept_in_order(log: PredictionLog) -> None:
    log.add_change("r-1", {"reason": "first"})
    log.add_change("r-2", {"reason": "drift", "auc": float("nan")})
    assert [one["record"]["reason"] for one in log.changes()] == ["first", "drift"]
    assert log.changes()[1]["record"]["auc"] is None


WRITER = """
import sys
from mammo.prediction_log import PredictionLog
log = PredictionLog(sys.argv[1]).create()
row = dict(exam_id="", level="exam", patient_id="P", release_id="r", scanner="s",
           logit=0.0, probability=0.5, recall=False)
for number in range(int(sys.argv[3])):
    log.append_exam([row | {"exam_id": f"{sys.argv[2]}-{number}"}])
    print(f"{sys.argv[2]}-{number}", flush=True)
"""


def start_writer(url: str, name: str, exams: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, url, name, str(exams)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_write_at_once(log_url: str) -> None:
    writers = [start_writer(log_url, name, 40) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(PredictionLog(log_url).exams()) == 120


def test_nothing_answered_is_lost_on_kill(log_url: str) -> None:
    writer = start_writer(log_url, "a", 100_000)
    assert writer.stdout is not None
    said = [writer.stdout.readline().strip() for _ in range(30)]
    os.kill(writer.pid, signal.SIGKILL)
    said += writer.stdout.read().split()
    logged = set(PredictionLog(log_url).create().exams()["exam_id"])
    assert set(said) <= logged
