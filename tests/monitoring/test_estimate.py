from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, logit

from mammo.evaluation.metrics import roc_auc
from monitoring.estimate import Agreement, Scored, estimate_performance

RIGHT = Agreement(100, 100.0, "among the recalled")


def scored(exams: int = 20_000, seed: int = 0) -> tuple[Scored, np.ndarray]:
    """Probabilities that are right, and the cancers that come of them."""
    rng = np.random.default_rng(seed)
    probability = expit(rng.normal(logit(0.005), 1.5, exams))
    recall = probability > np.quantile(probability, 0.9)
    return Scored(probability, recall), rng.random(exams) < probability


def truth(exams: Scored, cancer: np.ndarray) -> dict[str, float]:
    return {
        "auc": roc_auc(cancer, exams.probability),
        "sensitivity": float(exams.recall[cancer].mean()),
        "ppv": float(cancer[exams.recall].mean()),
        "detection_rate": float((cancer & exams.recall).mean()),
    }


@pytest.mark.slow
def test_calibrated_probabilities_tell_what_outcomes_will_show():
    held = []
    for seed in range(25):
        exams, cancer = scored(seed=seed)
        told = estimate_performance(exams, [Agreement(400, 400.0, "")], seed=seed)
        assert told["off"] is None
        held += [
            told[name]["low"] <= v <= told[name]["high"] for name, v in truth(exams, cancer).items()
        ]
        assert told["auc"]["value"] == pytest.approx(truth(exams, cancer)["auc"], abs=0.05)
    assert np.mean(held) > 0.88
    assert json.loads(json.dumps(told)) == told


def test_a_change_of_concept_is_not_seen():
    # which is why it is advice, and says so
    exams, cancer = scored()
    blind = np.random.default_rng(1).permutation(cancer)
    told = estimate_performance(exams, [RIGHT])
    assert told["auc"]["low"] > roc_auc(blind, exams.probability)
    assert any("concept" in one for one in told["assumptions"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"left_reference": True}, "left the reference"),
        ({"outcomes_moved": True}, "outcomes have confirmed a change"),
        ({"agreements": []}, "fewer than 10 cancers are known"),
        ({"agreements": [Agreement(3, 4.0, "")]}, "fewer than 10 cancers are known"),
        ({"agreements": [Agreement(40, 80.0, "among the recalled")]}, "where the probabilities"),
        ({"agreements": [Agreement(0, 30.0, "")]}, "where the probabilities expect 30"),
        ({"pending": Scored(np.full(20, 0.1), np.ones(20, bool))}, "are expected among"),
        ({"pending": Scored(np.zeros(0), np.zeros(0, bool))}, "are expected among"),
        ({"pending": Scored(np.full(500, np.nan), np.ones(500, bool))}, "are expected among"),
    ],
)
def test_it_is_off_where_it_cannot_hold(changes, reason):
    arguments = {"pending": scored()[0], "agreements": [RIGHT]} | changes
    told = estimate_performance(**arguments)
    assert reason in told["off"]
    assert "auc" not in told


def test_production_decides_before_the_reference():
    exams = scored()[0]
    wrong = Agreement(40, 80.0, "among the recalled")
    assert estimate_performance(exams, [wrong, RIGHT])["off"]
    assert estimate_performance(exams, [Agreement(1, 2.0, ""), RIGHT])["off"] is None


def test_the_ratio_of_found_and_expected():
    value, low, high = Agreement(10, 20.0, "").ratio
    assert (value, low, high) == pytest.approx((0.5, 0.24, 0.92), abs=0.005)
    assert Agreement(0, 20.0, "").ratio == pytest.approx((0, 0, 0.184), abs=0.001)
