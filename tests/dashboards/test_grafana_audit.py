"""The audit's SQL on a real PostgreSQL, held to the same figures in pandas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from mammo.exam import Laterality, Outcome
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.frames import label_exams
from mammo.prediction_log.tables import OUTCOMES
from monitoring.dashboards.audit_sql import LABELS, MEASURES, audit_number, audit_table
from monitoring.dashboards.queries import Window, resolve_sql
from tests.postgres import running_cluster

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC).replace(microsecond=0)
L, R = Laterality.LEFT, Laterality.RIGHT
EXAMS = 240
CASES: list[tuple[str, list[tuple[Laterality | None, bool, int, str]]]] = [
    ("whole exam, no cancer", [(None, False, 40, "follow-up")]),
    ("whole exam, cancer", [(None, True, 20, "biopsy")]),
    ("taken back", [(None, True, 20, "biopsy"), (None, False, 60, "histology")]),
    ("known late", [(None, True, 200, "biopsy")]),
    ("one breast free: not known", [(L, False, 30, "follow-up")]),
    ("both breasts free", [(L, False, 30, "follow-up"), (R, False, 45, "follow-up")]),
    ("cancer in one breast", [(L, False, 30, "follow-up"), (R, True, 35, "pathology")]),
    ("same instant: cancer holds", [(None, False, 30, "a"), (None, True, 30, "biopsy")]),
    ("nothing known", []),
]
"""What is told of an exam: breast, cancer, days after it, source."""


@pytest.fixture(scope="module")
def log() -> Iterator[PredictionLog]:
    """A log on PostgreSQL with every case, again and again, recalled or not."""
    with running_cluster() as cluster:
        url = cluster.new_database().replace("postgresql://", "postgresql+pg8000://")
        log = PredictionLog(url).create()
        for number in range(EXAMS):
            log.append_exam([_row(number)])
            for side, cancer, days, source in CASES[number % len(CASES)][1]:
                known = _scored(number) + timedelta(days=days)
                log.add_outcomes([Outcome(f"E-{number:04d}", cancer, known, source, side)])
        yield log


def _scored(number: int) -> datetime:
    return NOW - timedelta(days=500 - number)


def _row(number: int) -> dict[str, Any]:
    recall = number % 3 == 0 or number % len(CASES) == 6
    return {
        "exam_id": f"E-{number:04d}",
        "patient_id": f"P-{number:04d}",
        "level": "exam",
        "release_id": "r-1",
        "role": "champion",
        "scanner": "Phantom/A",
        "site": "site-1",
        "acquired_on": date(2026, 1, 1),
        "scored_at": _scored(number),
        "logit": 0.0,
        "probability": 0.5,
        "recall": recall,
        "threshold": 0.5,
        "embedding": np.zeros(32, np.float32),
    }


def _ask(log: PredictionLog, text: str, maturity: int = 91) -> list[Any]:
    values = {
        "site": ["site-1"],
        "scanner": ["Phantom/A"],
        "release": ["r-1"],
        "maturity": [str(maturity)],
    }
    window = Window(NOW - timedelta(days=1000), NOW)
    query = resolve_sql(text, values, window)
    engine = sa.create_engine(log.url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return list(connection.exec_driver_sql(query).all())


def _outcomes(log: PredictionLog) -> pd.DataFrame:
    engine = sa.create_engine(log.url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return pd.DataFrame(connection.execute(sa.select(OUTCOMES)).mappings().all())


def _exams(log: PredictionLog, days: int) -> pd.DataFrame:
    """Return recall, what is known at a maturity, and whether there was a biopsy, in pandas."""
    outcomes = _outcomes(log)
    exams = pd.DataFrame([_row(number) for number in range(EXAMS)])
    told = exams.merge(label_exams(outcomes), on="exam_id", how="left")
    age = pd.Timedelta(days=days)
    told = told[told["scored_at"] <= NOW - age]
    known_at = pd.to_datetime(told["known_at"], utc=True)
    told["cancer"] = told["cancer"].where(known_at <= told["scored_at"] + age)
    said = outcomes[outcomes["source"].str.contains("biops|histol|pathol", case=False)]
    return told.assign(biopsied=told["exam_id"].isin(said["exam_id"]))


def test_a_label_is_what_the_monitor_takes_it_for(log: PredictionLog) -> None:
    rows = _ask(log, f"WITH {LABELS} SELECT exam_id, cancer, known_at FROM label")
    found = {row[0]: (row[1], row[2].replace(tzinfo=UTC)) for row in rows}
    wanted = label_exams(_outcomes(log))
    assert len(found) == len(wanted) > 150
    for exam, cancer, known in wanted.itertuples(index=False):
        assert found[exam] == (bool(cancer), known.to_pydatetime()), exam


@pytest.mark.parametrize("days", [91, 365])
def test_every_measure_is_that_of_pandas(log: PredictionLog, days: int) -> None:
    exams = _exams(log, days)
    cancer, free = exams["cancer"].eq(True), exams["cancer"].eq(False)
    recall, biopsied = exams["recall"], exams["biopsied"]
    wanted = [
        (recall, recall | True),
        (cancer & recall, recall | True),
        (cancer & recall, cancer),
        (~recall & free, free),
        (cancer & recall, recall),
        (cancer & recall & biopsied, recall & biopsied),
        (cancer & ~recall, recall | True),
        (cancer | free, recall | True),
    ]
    rows = _ask(log, audit_table(), days)
    assert len(rows) == len(MEASURES) == len(wanted)
    for row, (top, below), measure in zip(rows, wanted, MEASURES, strict=True):
        low, high = _wilson(int(top.sum()), int(below.sum()))
        assert row[1:3] == (top.sum(), below.sum()), measure[0]
        assert row[3] == pytest.approx(measure[3] * top.sum() / below.sum())
        assert row[6] == measure[4]
        assert row[4:6] == pytest.approx((measure[3] * low, measure[3] * high), abs=1e-4)


def _wilson(x: int, n: int) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.975)
    middle = (x / n + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (x / n * (1 - x / n) / n + z * z / 4 / n / n) ** 0.5
    return middle - half, middle + half


def test_a_cancer_that_is_known_late_counts_later_alone(log: PredictionLog) -> None:
    sensitivity = audit_number("recall AND cancer", "cancer")
    at_3, at_12 = (_ask(log, sensitivity, days)[0][0] for days in (91, 365))
    assert at_3 != at_12


def test_nothing_is_told_where_nothing_is_known(log: PredictionLog) -> None:
    assert _ask(log, audit_number("recall AND cancer", "cancer"), 5000) == []
    assert _ask(log, audit_table(), 5000) == []
