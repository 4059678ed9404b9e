"""The list of exams on SQLite and PostgreSQL: keyset pages, priors, outcomes, failures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from mammo.exam import Laterality, Outcome
from mammo.prediction_log import PredictionLog

from .rows import scoring

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_pages_priors_outcomes_and_failures(log: PredictionLog) -> None:
    for number, exam in enumerate(("E-1", "E-2", "E-1", "E-3")):
        rows = scoring(exam) if number != 3 else scoring(exam, role="shadow")
        log.append_scoring(f"q-{number}", rows)
    lines = log.exam_lines(limit=10)
    assert [one["request_id"] for one in lines] == ["q-2", "q-1"]
    assert [one["exam_id"] for one in log.exam_lines(before=lines[0]["id"])] == ["E-2"]
    assert log.exam_lines(before=lines[1]["id"]) == []
    assert [one["exam_id"] for one in log.exam_lines(search="e-2")] == ["E-2"]
    assert log.exam_lines(search="E_2") == []
    assert set(log.lines_of(["E-1", "E-3"])) == {"E-1"}
    log.add_outcomes(
        [
            Outcome("E-1", False, NOW, "first"),
            Outcome("E-1", True, NOW + timedelta(days=1), "second"),
            Outcome("E-2", False, NOW, "left alone", Laterality.LEFT),
        ]
    )
    told = {"cancer": True, "known_at": NOW + timedelta(days=1), "source": "second"}
    assert log.exam_outcomes(["E-1", "E-2", "E-3"]) == {"E-1": told}
    for code in ("MIXED_EXAMS", "NOTHING_READABLE"):
        log.add_failed_request("q-9", code, "None of the 4 files could be read.")
    log.add_failed_request("q-1", "DEADLINE_EXCEEDED", "Answered later.")
    (failed,) = log.failed_requests()
    assert (failed["code"], failed["request_id"]) == ("NOTHING_READABLE", "q-9")
    assert log.failed_requests(search="4 FILES") == [failed]
    assert log.failed_requests(before=failed["id"]) == []
    assert log.drop_failed_requests(datetime.now(UTC) + timedelta(seconds=1)) == 2


def test_priors_are_the_patients_own_and_earlier(log: PredictionLog) -> None:
    days = {"E-1": date(2022, 1, 1), "E-2": date(2024, 1, 1), "E-3": date(2026, 1, 1)}
    for exam, day in days.items():
        log.append_scoring(exam, scoring(exam, acquired_on=day))
    log.append_scoring("q", scoring("E-9", patient_id="P-other"))
    patient = "P-1"
    found = log.earlier_exams(patient, days["E-3"])
    assert [(one["exam_id"], one["acquired_on"]) for one in found] == [
        ("E-2", days["E-2"]),
        ("E-1", days["E-1"]),
    ]
    assert log.earlier_exams(patient, days["E-1"]) == []


def test_a_log_of_an_earlier_version_gets_table_and_index(log_url: str) -> None:
    log = PredictionLog(log_url).create()
    with log._writing() as connection:
        connection.exec_driver_sql("DROP TABLE failed_requests")
        connection.exec_driver_sql("DROP INDEX ix_predictions_patient_id")
    log = PredictionLog(log_url).create()
    assert log.failed_requests() == []
    with log._writing() as connection:
        made = {one["name"] for one in sa.inspect(connection).get_indexes("predictions")}
    assert "ix_predictions_patient_id" in made
