"""From a table of scores to numbers by image, breast, exam and patient."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from mammo.appraisal.differences import paired_differences
from mammo.appraisal.evaluate import evaluate_scores
from mammo.appraisal.levels import LEVELS, finding_kinds, to_levels
from mammo.appraisal.scores import check_scores, pick_part, read_scores
from mammo.errors import (
    LevelUnknown,
    MammoError,
    PartUnknown,
    ScoresInvalid,
    SourceNotFound,
    TooFewLabels,
)
from mammo.exam import OperatingPoint
from mammo.screening import score_breasts
from tests.appraisal.tables import scores_table

POINTS = {
    "*": OperatingPoint("*", 1.0, 0.0, 0.5, 0.1),
    "Maker/A": OperatingPoint("Maker/A", 0.7, 0.4, 0.4, 0.1),
}


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return check_scores(scores_table())


def test_units_are_those_of_the_service(scores: pd.DataFrame) -> None:
    varied = scores.copy()
    spot = varied.sample(40, random_state=1).assign(pooled=False, logit=9.0)
    varied = pd.concat([varied, spot], ignore_index=True)
    units = to_levels(varied, POINTS)
    breasts = units["breast"].set_index(["exam_id", "laterality"])
    exams = units["exam"].set_index("exam_id")
    for exam_id, rows in varied[varied["pooled"]].groupby("exam_id"):
        point = POINTS.get(rows["scanner"].iloc[0], POINTS["*"])
        served = score_breasts(zip(rows["laterality"], rows["logit"], strict=True), point)
        for one in served:
            mine = breasts.loc[(exam_id, one.laterality)]
            assert mine["probability"] == pytest.approx(one.probability, abs=1e-12)
            assert mine["recalled"] == one.recall
        assert exams.loc[exam_id, "probability"] == max(one.probability for one in served)
        assert exams.loc[exam_id, "recalled"] == any(one.recall for one in served)
    assert len(units["image"]) == len(scores)


def test_a_breast_keeps_the_logit_of_its_own_head(scores: pd.DataFrame) -> None:
    of_head = np.where(scores["laterality"] == "L", 2.5, np.nan)
    breasts = to_levels(scores.assign(breast_logit=of_head))["breast"]
    left = breasts[breasts["laterality"] == "L"]
    assert (left["score"] == 2.5).all()
    plain = to_levels(scores)["breast"].set_index("unit")["score"]
    right = breasts[breasts["laterality"] == "R"].set_index("unit")["score"]
    pd.testing.assert_series_equal(right, plain.loc[right.index])


def test_a_patient_is_the_highest_of_her_exams() -> None:
    two = scores_table(2).assign(patient_id="P", label=[0] * 7 + [1])
    units = to_levels(check_scores(two))
    assert [len(units[level]) for level in LEVELS] == [8, 4, 2, 1]
    assert units["patient"]["score"].item() == units["exam"]["score"].max()
    assert units["patient"]["label"].item()
    assert units["exam"]["label"].tolist() == [False, True]


def test_unlabelled_is_not_negative() -> None:
    table = scores_table(6)
    table["label"] = table["label"].astype(float).where(table["patient_id"] != "P-0001")
    units = to_levels(check_scores(table))
    assert [len(units[level]) for level in LEVELS] == [20, 10, 5, 5]
    many = scores_table(40)
    many["label"] = many["label"].astype(float).where(many["patient_id"] != "P-0001")
    found = evaluate_scores(check_scores(many.assign(pooled=many.index != 0)), resamples=50)
    assert (found.unknown, found.unpooled) == (4, 1)


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_agrees_with_sklearn(scores: pd.DataFrame, level: str) -> None:
    found = evaluate_scores(scores, POINTS, level=level, resamples=100)
    units, metrics = found.units[level], found.levels[level].metrics
    y, s = units["label"], units["score"]
    assert metrics["auc"].interval.value == pytest.approx(sk.roc_auc_score(y, s))
    assert metrics["f1"].interval.value == pytest.approx(sk.f1_score(y, units["recalled"]))
    tn, fp, fn, tp = sk.confusion_matrix(y, units["recalled"]).ravel()
    assert found.levels[level].confusion == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    counts = found.levels[level].counts
    assert (counts["patients"], counts["units"]) == (120, len(units))
    assert found.main.roc is not None
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_stated_prevalence_moves_what_depends_on_it(scores: pd.DataFrame) -> None:
    found = evaluate_scores(scores, POINTS, level="exam", prevalence=0.0078, resamples=200)
    exam = found.levels["exam"].metrics
    assert exam["auc"].corrected is None
    assert exam["sensitivity"].corrected is None
    se, sp = exam["sensitivity"].interval.value, exam["specificity"].interval.value
    recalled = 0.0078 * se + 0.9922 * (1 - sp)
    assert exam["recall_rate"].corrected.value == pytest.approx(recalled)
    assert exam["ppv"].corrected.value == pytest.approx(0.0078 * se / recalled)
    assert exam["cancer_detection_per_1000"].corrected.value == pytest.approx(7.8 * se)
    # one of two breasts has the cancer
    breast = found.levels["breast"].metrics
    assert breast["cancer_detection_per_1000"].corrected.value < 4


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda t: t.drop(columns=["logit", "label"]), ScoresInvalid, "lacks the columns label, l"),
        (lambda t: t.assign(logit=[np.nan, *t["logit"][1:]]), ScoresInvalid, r"1 of 48 rows .*w 0"),
        (lambda t: t.assign(logit="high"), ScoresInvalid, "logit is NaN, infinite or no number in"),
        (lambda t: t.assign(label=2), ScoresInvalid, "neither 0, 1 nor empty in 48 of 48"),
        (lambda t: t.assign(patient_id=None), ScoresInvalid, "patient_id is empty"),
        (lambda t: t.assign(exam_id="1"), ScoresInvalid, "1 of 1 exam_id are of several patients"),
        (lambda t: pd.concat([t, t]), ScoresInvalid, "48 of 96 rows repeat a mammogram .*--part"),
        (lambda t: t.iloc[:0], ScoresInvalid, "has no rows"),
        (lambda t: t.drop(columns="logit").assign(probability=3), ScoresInvalid, r"\[0, 1\]"),
        (lambda t: t.assign(label=0), TooFewLabels, "0 positive and 48 negative images"),
        (lambda t: t.assign(label=None), TooFewLabels, "no mammogram has a known outcome"),
    ],
)
def test_what_no_table_of_scores_may_hold(change, error: type[MammoError], text: str) -> None:
    with pytest.raises(error, match=text):
        evaluate_scores(check_scores(change(scores_table(12))), resamples=50)


def test_unknown_parts_and_levels_are_named(scores: pd.DataFrame) -> None:
    with pytest.raises(PartUnknown, match="allowed are golden, holdout, out_of_fold, new, untou"):
        pick_part(scores, "gold")
    with pytest.raises(PartUnknown, match=r"found golden \(320\), holdout \(160\)"):
        pick_part(scores, "out_of_fold")
    with pytest.raises(LevelUnknown, match="allowed are image, breast, exam, patient"):
        evaluate_scores(scores, level="side")
    assert len(pick_part(scores, "untouched")) == len(scores)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    table, path = scores_table(8), tmp_path / f"scores{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    pd.testing.assert_frame_equal(
        read_scores(path)[list(table.columns)].astype(str),
        check_scores(table)[list(table.columns)].astype(str),
    )


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "notes.parquet").write_text("not a table")
    with pytest.raises(ScoresInvalid, match=r"notes.parquet is neither Parquet nor CSV"):
        read_scores(tmp_path / "notes.parquet")
    for place, what in ((tmp_path, "is a folder: name a file"), (tmp_path / "x.csv", "not there")):
        with pytest.raises(SourceNotFound, match=what):
            read_scores(place)


@pytest.mark.parametrize("text", ['["mass"]', "mass", '[{"kind": "mass"}]'])
def test_findings_of_another_house_are_words(text: str) -> None:
    assert finding_kinds(pd.Series([text, "", "5"])).tolist() == ["mass", "", "5"]


def test_two_models_on_the_same_breasts(scores: pd.DataFrame) -> None:
    noise = np.random.default_rng(1).normal(scale=1.5, size=len(scores))
    worse = scores.assign(logit=scores["logit"] + noise)
    found = paired_differences(scores, worse.iloc[4:], level="breast", resamples=400)
    assert (found.units, found.left_out) == (238, 2)
    auc = found.difference("auc")
    assert auc.high < 0
    assert auc.p_value < auc.p_holm < 0.05
    assert auc.delong is not None
    assert auc.delong.difference == pytest.approx(auc.difference)
    assert auc.delong.standard_error == pytest.approx((auc.high - auc.low) / 4, rel=0.3)
    same = paired_differences(scores, scores, resamples=50)
    assert all(one.difference == 0 and one.p_value == 1 for one in same.differences)


def test_where_nobody_is_recalled_a_ppv_has_no_difference(scores: pd.DataFrame) -> None:
    nobody = {"*": OperatingPoint("*", 1.0, 0.0, 1.0, 0.0)}
    found = paired_differences(scores, scores, nobody, POINTS, resamples=50)
    ppv = found.difference("ppv").to_dict()
    assert (ppv["a"], ppv["difference"], ppv["low"]) == (None, None, None)
    assert ppv["b"] > 0
    json.dumps(found.to_dict(), allow_nan=False)


def test_tables_that_cannot_be_compared(scores: pd.DataFrame) -> None:
    other = scores.assign(exam_id="X" + scores["exam_id"])
    with pytest.raises(ScoresInvalid, match="share no breast: found 240 and 240 breasts"):
        paired_differences(scores, other)
    with pytest.raises(ScoresInvalid, match="disagree on the outcome of"):
        paired_differences(scores, scores.assign(label=1 - scores["label"]))
