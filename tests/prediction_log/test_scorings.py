"""A request is logged once, whoever writes it and whatever the clock says."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mammo.contract import LoggedExam
from mammo.prediction_log import PredictionLog
from tests.prediction_log.rows import T0, breast_row, exam_row, scoring


def test_a_request_is_logged_once(log: PredictionLog) -> None:
    assert log.append_scoring("q-1", scoring())
    assert not log.append_scoring("q-1", scoring(probability=0.9))
    assert log.append_scoring("q-2", scoring())
    assert list(log.exams()["probability"]) == [0.62, 0.62]
    assert len(log.exams(level="breast")) == 4


@pytest.mark.parametrize(
    ("first", "second", "written"),
    [
        ("champion", "champion", False),
        ("champion", "canary", False),
        ("canary", "champion", False),
        ("champion", "shadow", True),
        ("shadow", "canary", True),
        ("shadow", "shadow", False),
    ],
)
def test_one_answer_and_one_shadow(
    log: PredictionLog, first: str, second: str, written: bool
) -> None:
    assert log.append_scoring("q-1", scoring(role=first))
    assert log.append_scoring("q-1", scoring(role=second)) is written


@pytest.mark.parametrize(
    "rows",
    [[], [breast_row(), exam_row("E-2")], [breast_row(role="shadow"), exam_row()]],
    ids=["none", "two exams", "two roles"],
)
def test_a_scoring_is_of_one_exam_in_one_role(log: PredictionLog, rows: list[Any]) -> None:
    with pytest.raises(ValueError, match=f"one exam in one role; these {len(rows)} rows"):
        log.append_scoring("q-1", rows)


def test_report_of_a_request(log: PredictionLog) -> None:
    log.append_scoring("q-1", scoring(probability=0.1))
    log.append_scoring("q-2", scoring(probability=0.2, role="canary"))
    log.append_scoring("q-2", scoring(probability=0.3, role="shadow"))
    answered, shadow = log.scoring("q-2"), log.scoring("q-2", "shadow")
    assert answered is not None and shadow is not None
    assert (answered["probability"], shadow["probability"]) == (0.2, 0.3)
    assert [one["probability"] for one in answered["breasts"]] == [0.2, 0.2]
    assert log.scoring("q-1", "shadow") is log.scoring("q-3") is None


def test_a_canary_s_answer_is_the_exam_s_report(log: PredictionLog) -> None:
    log.append_scoring("q-1", scoring(probability=0.1))
    log.append_scoring("q-2", scoring(probability=0.2, role="canary"))
    log.append_scoring("q-3", scoring(probability=0.3, role="shadow"))
    report = log.exam_report("E-1")
    assert report is not None
    assert (report["probability"], report["role"], report["times_scored"]) == (0.2, "canary", 2)


@pytest.mark.parametrize("jump", [timedelta(0), timedelta(hours=-2)], ids=["stands", "back"])
def test_breasts_belong_to_their_request_when_the_clock_jumps(
    log: PredictionLog, jump: timedelta
) -> None:
    log.append_scoring("q-1", scoring(probability=0.1, scored_at=T0))
    log.append_scoring("q-2", scoring(probability=0.2, scored_at=T0 + jump))
    report = log.exam_report("E-1")
    assert report is not None
    assert report["probability"] == 0.2, "the latest is the one logged last"
    assert [one["probability"] for one in report["breasts"]] == [0.2, 0.2]


def old_log(url: str) -> sa.Engine:
    """A log as it was made before requests had ids and answers scale, with one exam in it."""
    PredictionLog(url).create().append_exam(scoring())
    engine = sa.create_engine(PredictionLog(url).url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_predictions_request_id")
        for name in ("request_id", "scale", "abstention", "refused", "files_sha256"):
            connection.exec_driver_sql(f"ALTER TABLE predictions DROP COLUMN {name}")
    return engine


def test_an_old_log_gets_the_new_columns(log_url: str) -> None:
    engine = old_log(log_url)
    log = PredictionLog(log_url).create().create()
    report = log.exam_report("E-1")
    assert report is not None and len(report["breasts"]) == 2
    told = LoggedExam.of(report)
    assert (told.scale, told.abstention) == (None, None), "not known is not nothing"
    assert log.append_scoring("q-1", scoring("E-2", scale=9, abstention="LOW_CONTRAST|SATURATED"))
    told = LoggedExam.of(log.exam_report("E-2"))
    assert (told.scale, told.abstention) == (9, ["LOW_CONTRAST", "SATURATED"])
    assert not log.append_scoring("q-1", scoring("E-2"))
    indexes = {one["name"] for one in sa.inspect(engine).get_indexes("predictions")}
    assert "ix_predictions_request_id" in indexes


RACER = """
import sys
from mammo.contract import LoggedExam
from mammo.prediction_log import PredictionLog
from tests.prediction_log.rows import scoring
log = PredictionLog(sys.argv[1], pooled=True).create()  # both find that the column lacks
print(sum(log.append_scoring(f"q-{n}", scoring(f"E-{n}")) for n in range(30)))
"""


@pytest.mark.slow
def test_processes_race_for_the_same_requests(log_url: str) -> None:
    old_log(log_url)
    command = [sys.executable, "-c", RACER, log_url]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    counts = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(counts) == 30, "each request was written by one of them"
    assert len(PredictionLog(log_url).exams()) == 31
