from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.exam import Laterality, Outcome
from mammo.prediction_log import PredictionLog
from monitoring.config import MonitorConfig
from monitoring.outcome_estimates import NO_RATIO
from monitoring.outcome_labels import TOLD, label_days, scored_days
from monitoring.outcomes import measure_outcomes
from monitoring.performance import summarise

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SCORED = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONFIG = MonitorConfig()
KNOWN = ("Phantom Aurora/A1", "Phantom Borealis/B2", "Phantom Cygnus/C3")
L, R = Laterality.LEFT, Laterality.RIGHT


def exams(count: int = 3, **columns) -> pd.DataFrame:
    frame = pd.DataFrame({"exam_id": [f"E-{i}" for i in range(count)]})
    frame["acquired_on"] = pd.Timestamp("2026-01-01")
    frame["scored_at"] = pd.Timestamp(SCORED)
    return frame.assign(**columns)


def said(*words) -> pd.DataFrame:
    """Words are (exam, cancer, day after the first of January, source, side)."""
    columns = ["exam_id", "cancer", "known_at", "source", "laterality"]
    frame = pd.DataFrame(words, columns=columns)
    frame["known_at"] = [SCORED + timedelta(days=day) for day in frame["known_at"]]
    return frame.astype({"cancer": "bool"})


def days(found: np.ndarray) -> list[float]:
    start = (pd.Timestamp(SCORED) - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    return np.round(found - start, 3).tolist()


INF = float("inf")


@pytest.mark.parametrize(
    ("words", "told", "cancer", "codes"),
    [
        ([], INF, INF, {}),
        ([("E-0", False, 30, "clinic", None)], 30, INF, {}),
        ([("E-0", True, 30, "clinic", "L")], 30, 30, {}),
        # one breast free of cancer says nothing of the exam; both do
        ([("E-0", False, 30, "clinic", "L")], INF, INF, {}),
        ([("E-0", False, 30, "clinic", "L"), ("E-0", False, 40, "clinic", "R")], 40, INF, {}),
        # free of it in one breast, cancer in the other
        ([("E-0", False, 30, "clinic", "L"), ("E-0", True, 40, "clinic", "R")], 40, 40, {}),
        # twice, from two sources
        (
            [("E-0", True, 30, "clinic", None), ("E-0", True, 50, "registry", None)],
            30,
            30,
            {"OUTCOME_REPEATED": 1},
        ),
        # two sources disagree
        (
            [("E-0", True, 30, "clinic", None), ("E-0", False, 50, "registry", None)],
            INF,
            INF,
            {"OUTCOME_CONFLICT": 1},
        ),
        (
            [("E-0", True, 30, "pathology", "L"), ("E-0", False, 30, "clinic", None)],
            INF,
            INF,
            {"OUTCOME_CONFLICT": 1},
        ),
        (
            [
                ("E-0", True, 30, "pathology", None),
                ("E-0", False, 30, "clinic", "L"),
                ("E-0", False, 30, "clinic", "R"),
            ],
            INF,
            INF,
            {"OUTCOME_CONFLICT": 1},
        ),
        # until they agree
        (
            [
                ("E-0", True, 30, "clinic", None),
                ("E-0", False, 50, "registry", None),
                ("E-0", False, 60, "clinic", None),
            ],
            50,
            INF,
            {"OUTCOME_REPEATED": 1, "OUTCOME_REVISED": 1},
        ),
        # an all-clear and, much later, a cancer is a later diagnosis
        (
            [("E-0", False, 30, "clinic", None), ("E-0", True, 100, "registry", None)],
            30,
            100,
            {},
        ),
        ([("E-0", False, 30, "clinic", None), ("E-0", True, 100, "clinic", None)], 30, 100, {}),
        # known before the exam, or tomorrow
        ([("E-0", True, -20, "clinic", None)], INF, INF, {"OUTCOME_BEFORE_EXAM": 1}),
        ([("E-0", True, 400, "clinic", None)], INF, INF, {"OUTCOME_IN_FUTURE": 1}),
    ],
)
def test_what_is_said_of_an_exam(words, told, cancer, codes):
    found = label_days(exams(), said(*words), NOW)
    assert days(found.told_day) == [told, INF, INF]
    assert days(found.cancer_day) == [cancer, INF, INF]
    assert {code: n for code, n in found.counts.items() if n} == codes


def test_an_outcome_known_before_a_late_scoring_is_none_before_its_exam():
    late = exams(1, scored_at=pd.Timestamp(SCORED + timedelta(days=90)))
    words = said(("E-0", True, 30, "clinic", None))
    assert days(label_days(late, words, NOW).cancer_day) == [30]
    unknown = late.assign(acquired_on=pd.NaT)
    assert label_days(unknown, words, NOW).counts["OUTCOME_BEFORE_EXAM"] == 1


@pytest.mark.parametrize(
    ("offsets", "expected", "codes"),
    [
        ([0, 1, 2], [0, 1, 2], {}),
        ([0, 5, 2], [0, 5, 5], {"CLOCK_BACKWARDS": 1}),
        ([0, 0.99, 0.98], [0, 0.99, 0.99], {}),  # a quarter of an hour
        ([0, 9999, 2], [0, 150.5, 150.5], {"CLOCK_BACKWARDS": 1, "CLOCK_AHEAD": 1}),
    ],
)
def test_clocks_that_go_backwards_or_ahead(offsets, expected, codes):
    times = pd.Series([SCORED + timedelta(days=one) for one in offsets])
    found, counts = scored_days(exams(3, scored_at=times), NOW)
    assert days(found) == expected
    assert {code: n for code, n in counts.items() if n} == codes


def test_every_code_is_in_the_docs():
    page = Path("docs/late_outcomes.md").read_text()
    assert [code for code in TOLD if f"`{code}`" not in page] == []


# with the log


def known(report) -> dict[str, int]:
    return {one.code: one.count for one in report.codes}


def stream(hospital, exams: int, **changes) -> list[str]:
    rows = [hospital.exam(KNOWN[i % 3], **changes) for i in range(exams)]
    hospital.log.append_exam(rows)  # in one transaction
    return [row["exam_id"] for row in rows]


def measure(hospital, state=None, now=None, config=CONFIG):
    reference = pd.read_parquet(hospital.settings.releases_dir / "r-1" / "reference.parquet")
    at = now or datetime.now(UTC)
    return measure_outcomes(hospital.log, "r-1", reference, state or {}, config, at)


def test_an_empty_log_says_nothing(hospital):
    hospital.release()
    report = measure(hospital)
    assert (report.exams, report.known, report.codes) == (0, 0, [])
    assert not report.findings.confirmed
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


def test_a_loss_of_skill_is_told_once_and_stays_told(hospital):
    hospital.release()
    hospital.outcomes(stream(hospital, 60))
    first = measure(hospital)
    assert not first.findings.confirmed
    hospital.outcomes(stream(hospital, 150, skill=0.0))
    state = json.loads(json.dumps(first.state))
    second = measure(hospital, state)
    assert second.findings.rank_confirmed
    again = measure(hospital, json.loads(json.dumps(second.state)))
    assert again.findings == second.findings


def test_figures_come_at_once_where_everybody_is_verified_and_by_maturity_else(hospital):
    hospital.release()
    hospital.outcomes(stream(hospital, 160))
    young = measure(hospital)
    (row,) = young.maturity
    assert (row["months"], row["of"], row["exams"]) == (0, "verified throughout", 150)
    assert row["auc"]["value"] > 0.8
    assert young.reference["exams"] == 120
    summary = summarise(young)
    assert (summary["auc"], summary["loss"]) == (row["auc"], False)
    old = measure(hospital, young.state, now=datetime.now(UTC) + timedelta(days=100))
    assert [(one["months"], one["exams"]) for one in old.maturity] == [(3, 160)]
    assert summarise(old)["positives"] == old.maturity[0]["cancers"]


def test_the_auc_of_recalled_women_alone_is_no_loss(hospital):
    hospital.release()
    ids = stream(hospital, 300)
    recalled = hospital.log.scored_exams("r-1").set_index("exam_id")["recall"]
    hospital.outcomes([one for one in ids if recalled[one]])
    report = measure(hospital)
    assert not report.findings.confirmed
    assert summarise(report)["auc"] is None
    assert report.findings.exams_taken == 300


def test_troubles_are_counted(hospital):
    hospital.release()
    ids = stream(hospital, 30)
    now = datetime.now(UTC)
    hospital.log.add_outcomes(
        [
            Outcome(ids[0], True, now, "biopsy"),
            Outcome(ids[0], False, now, "registry"),
            Outcome(ids[1], False, datetime(2020, 1, 1, tzinfo=UTC), "registry"),
            Outcome("E-nowhere", True, now, "biopsy"),
            Outcome(ids[2], True, now + timedelta(days=3), "biopsy", L),
            Outcome(ids[3], False, now, "biopsy", L),
            Outcome(ids[3], False, now, "biopsy", R),
        ]
    )
    report = measure(hospital)
    assert known(report) == {
        "OUTCOME_CONFLICT": 1,
        "OUTCOME_BEFORE_EXAM": 1,
        "OUTCOME_UNKNOWN_EXAM": 1,
        "OUTCOME_IN_FUTURE": 1,
    }
    assert report.known == 1
    assert all(str(one.count) in one.told for one in report.codes)


def test_exams_of_another_release_are_not_unknown(hospital):
    hospital.release()
    hospital.outcomes(stream(hospital, 5, release="r-0"))
    report = measure(hospital)
    assert (report.exams, report.known, known(report)) == (0, 0, {})


def test_a_clock_that_goes_backwards_takes_nothing_again(hospital):
    hospital.release()
    hospital.outcomes(stream(hospital, 60))
    first = measure(hospital)
    back = measure(hospital, first.state, now=datetime.now(UTC) - timedelta(days=2))
    assert known(back)["NOW_BACKWARDS"] == 1
    assert back.findings.exams_taken == first.findings.exams_taken > 0
    assert back.findings.evidence == first.findings.evidence
    assert back.state["now_day"] == first.state["now_day"]


def test_outcomes_that_stay_away_are_late(hospital):
    hospital.release()
    stream(hospital, 60)
    later = datetime.now(UTC) + timedelta(days=100)
    assert known(measure(hospital, now=later)) == {"OUTCOMES_LATE": 50}


def test_another_release_starts_anew(hospital):
    hospital.release()
    hospital.outcomes(stream(hospital, 60))
    state = measure(hospital).state | {"release_id": "r-0"}
    assert measure(hospital, state).findings == measure(hospital).findings


def test_a_reference_without_outcomes_has_a_code(hospital):
    folder = hospital.release()
    path = folder / "reference.parquet"
    pd.read_parquet(path).drop(columns="cancer").to_parquet(path)
    hospital.outcomes(stream(hospital, 60))
    report = measure(hospital)
    assert known(report) == {"REFERENCE_WITHOUT_OUTCOMES": 1}
    assert report.findings.rate_ratio == NO_RATIO
    assert report.to_dict()["findings"]["rate_ratio"] is None


def test_an_exam_that_is_scored_again_keeps_its_first_score(hospital):
    hospital.release()
    rows = [hospital.exam() for _ in range(3)]
    log = PredictionLog(hospital.settings.log_url).create()
    for row in (*rows, rows[0] | {"logit": 99.0}):
        log.append_exam([row])
    found = log.scored_exams("r-1")
    assert found["exam_id"].tolist() == [row["exam_id"] for row in rows]
    assert found["logit"].tolist() == [row["logit"] for row in rows]
    assert found["acquired_on"].dt.date.tolist() == [date(2026, 1, 7)] * 3
    assert log.scored_exams("r-2").empty
