"""Counting on gives what counting everything gives, whatever happened to the log meanwhile."""

from __future__ import annotations

import sqlalchemy as sa
from prometheus_client.core import Metric

from mammo.prediction_log.tables import PREDICTIONS
from monitoring import exam_counts
from monitoring.exam_counts import ExamCounts


def told(counts: ExamCounts) -> dict[tuple[str, ...], float]:
    exams: Metric = next(iter(counts.collect()))
    return {tuple(one.labels.values()): one.value for one in exams.samples}


def test_counting_on_and_counting_anew(hospital) -> None:
    engine, on = sa.create_engine(hospital.settings.log_url), ExamCounts()
    hospital.log.create()
    for exams in (3, 0, 40, 1):
        hospital.stream(exams, release="r-1" if exams < 40 else "r-2")
        with engine.connect() as connection:
            on.read_on(connection)
            anew = ExamCounts()
            anew.read_on(connection)
        assert (on.exams, on.recalled, on.first, on.scored, on.acquired) == (
            anew.exams, anew.recalled, anew.first, anew.scored, anew.acquired,
        )  # fmt: skip
    assert on.exams.total() == 44
    with engine.begin() as connection:
        connection.execute(PREDICTIONS.delete())
    hospital.stream(2)
    with engine.connect() as connection:
        on.read_on(connection)
    assert on.exams.total() == 2, "a log that was emptied is counted anew"


def test_scanners_that_somebody_makes_up_are_other(hospital, monkeypatch) -> None:
    monkeypatch.setattr(exam_counts, "MOST_SCANNERS", 2)
    monkeypatch.setattr(exam_counts, "MOST_RELEASES", 1)
    hospital.stream(6, ["A", "B"], release="r-old")
    hospital.stream(4, ["A", "B", "C", "D"], release="r-new")
    counts = ExamCounts()
    with sa.create_engine(hospital.settings.log_url).connect() as connection:
        counts.read_on(connection)
    assert told(counts) == {
        ("r-new", "A", "champion"): 1, ("r-new", "B", "champion"): 1,
        ("r-new", "other", "champion"): 2,
        ("other", "A", "champion"): 3, ("other", "B", "champion"): 3,
    }  # fmt: skip
