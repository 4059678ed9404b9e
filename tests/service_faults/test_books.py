"""The checks of the chaos and soak commands can fail: each fault is planted and found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.chaos.books import Books, check_books, count_unaudited
from benchmarks.chaos.exams import ExamMaker
from benchmarks.chaos.load import Sent
from benchmarks.chaos.memory import Sample, measure_growth
from mammo.audit import AuditLog
from mammo.prediction_log import PredictionLog
from mammo.preprocess import PreprocessConfig
from mammo.reading import read_view

KEY = b"k" * 32
Rows = list[dict[str, Any]]


def row(exam_id: str, level: str, side: str | None = None) -> dict[str, Any]:
    return {
        "exam_id": exam_id,
        "level": level,
        "laterality": side,
        "patient_id": "P-1",
        "release_id": "r-1",
        "scanner": "Phantom/A1",
        "logit": 0.5,
        "probability": 0.62,
        "recall": True,
        "request_id": f"q-{exam_id}",
    }


def exam_rows(exam_id: str) -> Rows:
    return [*(row(exam_id, "breast", side) for side in "LR"), row(exam_id, "exam")]


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    maker = ExamMaker(KEY)
    exams = [maker.make(number) for number in range(3)]
    told = {"logit": 0.5, "release": "r-1"}
    return [Sent(one, f"exam-{one.number}", ["200"], told | ids(one.exam_id)) for one in exams]


def ids(exam_id: str) -> dict[str, str]:
    return {"exam": exam_id, "request": f"q-{exam_id}"}


def check(tmp_path: Path, sent: list[Sent], logged: list[Rows]) -> Books:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    log = PredictionLog(url)
    log.create()
    for rows in logged:
        log.append_exam(rows)
    return check_books(sent, url)


def test_small_exams_are_what_they_say(sent: list[Sent]) -> None:
    config = PreprocessConfig(height=128, width=64)
    for exam in (one.exam for one in sent):
        views = [read_view(data, KEY, "site-1", config).mammogram for data in exam.files]
        assert {view.exam_id for view in views} == {exam.exam_id}
        assert len({view.image_id for view in views}) == 4
        assert {view.view.laterality.value for view in views} == set(exam.sides)
    assert len({one.exam.exam_id for one in sent}) == 3
    assert ExamMaker(KEY).make(1) == sent[1].exam


def test_balanced_books(tmp_path: Path, sent: list[Sent]) -> None:
    books = check(tmp_path, sent, [exam_rows(one.exam.exam_id) for one in sent])
    assert books.balance
    assert (books.sent, books.answered, books.logged) == (3, 3, 3)


@pytest.mark.parametrize(
    ("fault", "spoil"),
    [
        ("lost", lambda sent, logged: logged.pop()),
        ("twice", lambda sent, logged: logged.append(logged[0])),
        ("unknown", lambda sent, logged: logged.append(exam_rows("E-0"))),
        ("torn", lambda sent, logged: logged[0].pop(0)),
        ("wrong", lambda sent, logged: sent[0].answer.update(logit=0.25)),
        ("wrong", lambda sent, logged: sent[0].answer.update(request="q-0")),
        ("wrong", lambda sent, logged: sent[0].answer.update(release="r-2")),
        ("wrong", lambda sent, logged: sent[0].answer.update(exam=sent[1].exam.exam_id)),
        ("changed", lambda sent, logged: sent[2].replays.append({"exam": "E-0"})),
    ],
)
def test_each_fault_is_found(
    tmp_path: Path, sent: list[Sent], fault: str, spoil: Callable[[list[Sent], list[Rows]], Any]
) -> None:
    copies = [replace(one, answer=dict(one.answer or {}), replays=[]) for one in sent]
    logged = [exam_rows(one.exam.exam_id) for one in sent]
    spoil(copies, logged)
    books = check(tmp_path, copies, logged)
    assert not books.balance
    assert getattr(books, fault) == 1


def test_logged_without_an_answer_is_allowed(tmp_path: Path, sent: list[Sent]) -> None:
    gone = [replace(sent[0], answer=None), *sent[1:]]
    books = check(tmp_path, gone, [exam_rows(one.exam.exam_id) for one in sent])
    assert books.balance
    assert (books.answered, books.unanswered_logged) == (2, 1)


@pytest.mark.parametrize(
    ("mib_per_request", "flat"), [(0.0, True), (0.001, True), (0.02, False), (0.2, False)]
)
def test_growth_is_measured(mib_per_request: float, flat: bool) -> None:
    noise = np.random.default_rng(1).normal(0, 3, 300)
    samples = [
        Sample(40 * place, float(place), 500 + 40 * place * mib_per_request + one, 150.0)
        for place, one in enumerate(noise)
    ]
    growth = measure_growth(samples)
    assert growth.low <= 1000 * mib_per_request <= growth.high
    assert growth.is_flat is flat


def test_answers_without_a_line_in_the_audit_log_are_counted(
    tmp_path: Path, sent: list[Sent]
) -> None:
    audit = AuditLog(tmp_path / "audit.jsonl")
    for one in sent[1:]:
        audit.append("pacs", ("predict",), "predict", request_id=(one.answer or {})["request"])
    assert count_unaudited(sent, audit.path) == 1
    assert count_unaudited(sent[1:], audit.path) == 0
