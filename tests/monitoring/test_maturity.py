from __future__ import annotations

import json

import numpy as np
import pytest

from mammo.evaluation.metrics import auc_interval, recall_rate_interval, roc_auc
from monitoring.maturity import (
    INTERVAL_RATE,
    Cohort,
    Followed,
    MaturityConfig,
    cohort_figures,
    maturity_table,
    verification_weights,
)
from monitoring.patient_types import auc_by_patients, ratio_interval, sum_draws

CONFIG = MaturityConfig(resamples=400)
INF = float("inf")


def cohort(
    exams: int = 3000, seed: int = 0, *, rate: float = 0.05, verified: float = 1.0
) -> Cohort:
    """Each third woman comes twice; the recalled are all verified, ``verified`` of the others."""
    rng = np.random.default_rng(seed)
    cancer = rng.random(exams) < rate
    logit = rng.standard_normal(exams) + 1.8 * cancer
    recall = logit > 1.3
    told = recall | (rng.random(exams) < verified)
    patient = np.arange(exams) * 3 // 4
    return Cohort(patient, logit, recall, told, cancer)


def known_only(one: Cohort) -> Cohort:
    """A cancer that nobody verified is not known."""
    return one._replace(cancer=one.cancer & one.told)


# the bootstrap


@pytest.mark.parametrize("seed", [0, 1])
def test_patients_drawn_by_kind_are_patients_drawn_one_by_one(seed):
    one = cohort(400, seed, rate=0.15)
    kinds = auc_by_patients(one.cancer, one.logit, one.patient, resamples=2000)
    single = auc_interval(one.cancer, one.logit, one.patient, resamples=2000)
    assert kinds.value == pytest.approx(single.value)
    assert (kinds.low, kinds.high) == pytest.approx((single.low, single.high), abs=0.006)
    assert (kinds.n_patients, kinds.n_positive) == (single.n_patients, single.n_positive)


def test_the_rate_of_recalls_is_the_one_of_the_evaluation():
    one = cohort(800)
    rows = np.stack([one.recall, np.ones(800)], axis=1).astype(float)
    draws = sum_draws(rows, one.patient, 2000, 0)
    found = ratio_interval(draws, one.recall.sum(), 800, 600)
    usual = recall_rate_interval(one.recall, one.patient, resamples=2000)
    assert found.value == usual.value
    assert (found.low, found.high) == pytest.approx((usual.low, usual.high), abs=0.003)


@pytest.mark.parametrize(("above", "low", "high"), [(0, 0, 0.28), (10, 0.72, 1)])
def test_a_rate_of_none_or_all_has_an_interval(above, low, high):
    found = ratio_interval(np.tile([above, 10.0], (5, 1)), above, 10, 10)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert ratio_interval(np.zeros((5, 2)), 0, 0, 0) is None


def test_ties_count_half_and_weights_as_copies():
    cancer = np.array([True, True, False, False, False, False])
    logit = np.array([1.0, 2, 1, 1, 0, 2])
    found = auc_by_patients(cancer, logit, np.arange(6), resamples=200)
    assert found.value == pytest.approx(roc_auc(cancer, logit))
    weight = np.array([1.0, 2, 1, 1, 3, 1])
    copies = np.repeat(np.arange(6), weight.astype(int))
    weighted = auc_by_patients(cancer, logit, np.arange(6), weight=weight, resamples=200)
    assert weighted.value == pytest.approx(roc_auc(cancer[copies], logit[copies]))
    assert auc_by_patients(cancer & (logit > 1), logit, np.arange(6)) is None


# maturity


def followed(**columns) -> Followed:
    """Four exams of day 0 and one of day 300: cancers known at days 20, 200 and 500."""
    plain = {
        "patient": np.arange(5),
        "logit": np.array([3.0, 1, -1, 0, 2]),
        "recall": np.array([True, True, False, False, True]),
        "day": np.array([0.0, 0, 0, 0, 300]),
        "told_day": np.array([20.0, 20, 200, 500, 320]),
        "cancer_day": np.array([20.0, INF, 200, 500, INF]),
    }
    return Followed(**(plain | columns))


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (50, []),
        (91, [(3, 4, 1)]),
        (391, [(3, 5, 1), (12, 4, 2)]),
        (731, [(3, 5, 1), (12, 5, 2), (24, 4, 3)]),
    ],
)
def test_only_exams_that_are_old_enough_count_and_what_was_known_then(until, expected):
    table = maturity_table(followed(), until, CONFIG, {})
    found = [(one["months"], one["exams"], one["cancers"]) for one in table.values()]
    assert found == expected


def test_cancers_known_later_change_no_younger_figure():
    early = maturity_table(followed(), 91, CONFIG, {})
    late = followed(cancer_day=np.array([20.0, 92, 200, 500, INF]))
    assert maturity_table(late, 91, CONFIG, {}) == early


def test_a_row_of_which_nothing_new_is_known_is_taken_as_it_was():
    table = maturity_table(followed(), 391, CONFIG, {})
    marked = json.loads(json.dumps({key: one | {"of": "before"} for key, one in table.items()}))
    again = maturity_table(followed(), 391, CONFIG, marked)
    assert [one["of"] for one in again.values()] == ["before", "before"]
    later = maturity_table(followed(), 731, CONFIG, marked)
    assert [one["of"] for one in later.values()] == ["before", "stream", "stream"]


def test_figures_are_the_usual_ones():
    one = cohort()
    found = cohort_figures(24, "stream", one, CONFIG)
    hit = (one.cancer & one.recall).sum()
    assert found["recall_rate"]["value"] == pytest.approx(one.recall.mean())
    assert found["ppv"]["value"] == pytest.approx(hit / one.recall.sum())
    assert found["sensitivity"]["value"] == pytest.approx(hit / one.cancer.sum())
    assert found["detection_rate"]["value"] == pytest.approx(hit / len(one.cancer))
    assert found["auc"]["value"] == pytest.approx(roc_auc(one.cancer, one.logit))
    for name in ("recall_rate", "ppv", "sensitivity", "detection_rate", "auc"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_recalled_women_without_an_outcome_are_not_healthy():
    one = cohort()
    half = known_only(one._replace(told=one.told & (np.arange(3000) % 2 == 0)))
    found, usual = (cohort_figures(3, "stream", part, CONFIG) for part in (half, one))
    for name in ("ppv", "detection_rate"):
        assert found[name]["low"] < usual[name]["value"] < found[name]["high"]


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_stated():
    held = []
    for seed in range(60):
        found = cohort_figures(24, "stream", cohort(1500, seed), CONFIG)
        truth = {"ppv": None, "sensitivity": 0.6915, "recall_rate": 0.1266, "auc": 0.8985}
        held += [
            found[name]["low"] <= value <= found[name]["high"]
            for name, value in truth.items()
            if value
        ]
    assert np.mean(held) > 0.91


# verification bias


def test_what_is_known_is_too_good_and_the_correction_is_not():
    apparent, corrected, truth = [], [], []
    for seed in range(12):
        every = cohort(6000, seed, verified=0.6)
        found = cohort_figures(24, "stream", known_only(every), CONFIG)
        assert found["bounds"] is None
        apparent.append([found[name]["value"] for name in ("sensitivity", "auc")])
        corrected.append([found["corrected"][name]["value"] for name in ("sensitivity", "auc")])
        truth.append(
            [
                every.recall[every.cancer].mean(),
                roc_auc(every.cancer, every.logit),
            ]
        )
    off = np.mean(apparent, axis=0) - np.mean(truth, axis=0)
    assert (off > [0.08, 0.02]).all()
    assert np.abs(np.mean(corrected, axis=0) - np.mean(truth, axis=0)).max() < 0.015


@pytest.mark.slow
def test_corrected_intervals_hold_the_truth():
    held = []
    for seed in range(40):
        part = known_only(cohort(3000, seed, verified=0.6))
        found = cohort_figures(24, "stream", part, CONFIG)["corrected"]
        held.append(found["sensitivity"]["low"] <= 0.6915 <= found["sensitivity"]["high"])
        held.append(found["auc"]["low"] <= 0.8985 <= found["auc"]["high"])
    assert np.mean(held) > 0.9


def test_where_few_are_verified_bounds_are_told_instead():
    every = cohort(6000, 3, rate=0.01, verified=0.0)
    missed = (every.cancer & ~every.recall).sum() / (~every.recall).sum()
    config = MaturityConfig(resamples=200, missed_rate=float(missed))
    found = cohort_figures(3, "stream", known_only(every), config)
    assert found["corrected"] is None
    assert found["sensitivity"]["value"] == 1.0
    low, high = found["bounds"]["sensitivity"]
    assert low == pytest.approx(every.recall[every.cancer].mean())
    assert high == 1.0
    low, high = found["bounds"]["auc"]
    assert low < roc_auc(every.cancer, every.logit) < high
    assert "too good" in found["assumes"]


def test_hidden_cancers_are_those_of_programmes_at_least():
    one = known_only(cohort(4000, 5, verified=0.0))
    low = cohort_figures(3, "stream", one, CONFIG)["bounds"]["sensitivity"][0]
    known, others = one.cancer.sum(), (~one.recall).sum()
    assert low == pytest.approx(known / (known + others * INTERVAL_RATE))


def test_weights_stand_for_every_exam():
    one = cohort(2000, verified=0.5)
    weight = verification_weights(one)
    assert weight.sum() == pytest.approx(2000)
    assert (weight[~one.told] == 0).all()


@pytest.mark.parametrize("recall", [True, False])
def test_one_exam_has_figures_or_none(recall):
    one = Cohort(*(np.array([value]) for value in ("P", 0.0, recall, True, False)))
    found = cohort_figures(3, "stream", one, CONFIG)
    assert found["auc"] is None
    assert found["sensitivity"] is None
    assert (found["ppv"] is None) == (not recall)
    assert json.loads(json.dumps(found)) == found
