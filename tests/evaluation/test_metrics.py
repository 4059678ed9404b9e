import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo.errors import TooFewLabels
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.metrics import (
    auc_interval,
    auc_statistic,
    paired_auc_difference,
    pf1,
    recall_rate_interval,
    roc_auc,
    sensitivity_at_recall_statistic,
    sensitivity_interval,
    specificity_interval,
    subgroup_aucs,
)


def scored(rng, positive=18, negative=32, shift=1.7):
    labels = np.r_[np.ones(positive, bool), np.zeros(negative, bool)]
    return labels, rng.normal(size=len(labels)) + shift * labels


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 1], [0.1, 0.9], 1.0),
        ([0, 1], [0.9, 0.1], 0.0),
        ([0, 1], [0.5, 0.5], 0.5),
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.75),
        ([0, 0, 1, 1, 1], [1, 2, 2, 3, 1], 4 / 6),  # pairs: .5+0, 1+.5, 1+1 of 6
        ([True, False], [-1e9, 1e9], 0.0),
    ],
)
def test_roc_auc_by_hand(labels, scores, expected):
    assert roc_auc(labels, scores) == pytest.approx(expected)


@pytest.mark.parametrize("digits", [0, 1, 8], ids=["many ties", "ties", "no ties"])
def test_roc_auc_agrees_with_sklearn(digits):
    labels, scores = scored(np.random.default_rng(digits), 40, 90)
    scores = scores.round(digits)
    assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_weighted_auc_agrees_with_sklearn_for_every_resample():
    rng = np.random.default_rng(1)
    labels, scores = scored(rng, 20, 30)
    weights = rng.integers(0, 4, size=(25, 50)).astype(float)
    expected = [roc_auc_score(labels, scores.round(1), sample_weight=w) for w in weights]
    np.testing.assert_allclose(auc_statistic(labels, scores.round(1))(weights), expected)


@pytest.mark.parametrize(
    ("labels", "scores", "error", "text"),
    [
        ([0, 0, 0], [1, 2, 3], TooFewLabels, "found 0 positive and 3 negative rows"),
        ([1, 1], [1, 2], TooFewLabels, "at least 1 of each are needed"),
        ([0, 1], [np.nan, 1], ValueError, "1 of 2 scores are NaN or infinite"),
        ([0, 1], [1, 2, 3], ValueError, "3 scores for 2 labels"),
        ([0, 2, np.nan], [1, 2, 3], ValueError, "2 of 3 are neither"),
    ],
)
def test_what_roc_auc_refuses(labels, scores, error, text):
    with pytest.raises(error, match=text):
        roc_auc(labels, scores)


def test_auc_interval_counts_patients_not_rows():
    labels, scores = [1, 0, 0, 1, 0, 0], [0.9, 0.2, 0.3, 0.4, 0.5, 0.1]
    found = auc_interval(labels, scores, ["a", "a", "b", "c", "d", "d"])
    assert (found.n_patients, found.n_positive) == (4, 2)
    assert found.low < found.value == roc_auc(labels, scores) < found.high <= 1
    assert set(found.to_dict()) == {"value", "low", "high", "n_patients", "n_positive"}


def test_perfect_separation_is_not_certainty():
    labels = np.r_[np.ones(18), np.zeros(32)]
    found = auc_interval(labels, labels, np.arange(50))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 18))  # 18 pairs in order: auc ** 18
    reverse = auc_interval(labels, -labels, np.arange(50))
    assert (reverse.value, reverse.low, reverse.high) == (0.0, 0.0, pytest.approx(1 - found.low))


def test_the_same_seed_gives_the_same_interval():
    labels, scores = scored(np.random.default_rng(0))
    first, again, other = (auc_interval(labels, scores, range(50), seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_paired_difference_is_b_minus_a_and_narrower_than_unpaired():
    rng = np.random.default_rng(4)
    labels, a = scored(rng)
    b = a + rng.normal(scale=0.3, size=50)
    found = paired_auc_difference(labels, a, b, np.arange(50))
    assert found.value == pytest.approx(roc_auc(labels, b) - roc_auc(labels, a))
    alone = auc_interval(labels, a, np.arange(50))
    assert found.high - found.low < 0.6 * (alone.high - alone.low)


def test_a_model_against_itself_differs_by_nothing():
    labels, a = scored(np.random.default_rng(4))
    found = paired_auc_difference(labels, a, 3 * a + 1, np.arange(50))
    assert (found.value, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("recalled", "rate", "low", "high"),
    [
        # Wilson's interval, Newcombe (1998) table I: 0/20 and 1/29
        (np.zeros(20), 0.0, 0.0, 0.1611),
        (np.r_[1, np.zeros(28)], 1 / 29, 0.0061, 0.1718),
        (np.ones(20), 1.0, 0.8389, 1.0),
    ],
)
def test_recall_rate_keeps_an_interval_at_the_edges(recalled, rate, low, high):
    found = recall_rate_interval(recalled, np.arange(len(recalled)), resamples=20_000)
    assert found.value == pytest.approx(rate)
    assert (found.low, found.high) == (pytest.approx(low, abs=4e-3), pytest.approx(high, abs=4e-3))


def test_sensitivity_and_specificity():
    labels, recalled = [1, 1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0, 0]
    patients = list("aabcdefgh")
    sensitivity = sensitivity_interval(labels, recalled, patients)
    specificity = specificity_interval(labels, recalled, patients)
    assert (sensitivity.value, sensitivity.n_patients) == (0.75, 3)
    assert (specificity.value, specificity.n_patients) == (0.8, 5)
    assert sensitivity.low < 0.75 < sensitivity.high


@pytest.mark.parametrize(
    ("function", "labels", "text"),
    [
        (sensitivity_interval, [0, 0], "found 0 positive of 2 rows"),
        (specificity_interval, [1, 1], "found 0 negative of 2 rows"),
    ],
)
def test_a_rate_without_its_class_is_refused(function, labels, text):
    with pytest.raises(TooFewLabels, match=text):
        function(labels, [0, 1], ["a", "b"])
    with pytest.raises(TooFewLabels, match="found no exam"):
        recall_rate_interval([], [])


@pytest.mark.parametrize(
    ("scores", "rate", "expected"),
    [
        ([4, 3, 2, 1], 0.5, 1.0),  # the two highest are the cancers
        ([1, 2, 3, 4], 0.5, 0.0),
        ([4, 3, 2, 1], 0.25, 0.5),
        ([4, 3, 2, 1], 0.375, 0.75),  # one and a half exams recalled
        ([5, 5, 5, 5], 0.5, 0.5),  # all tied: the lot decides
    ],
)
def test_sensitivity_at_a_recall_rate(scores, rate, expected):
    statistic = sensitivity_at_recall_statistic(
        np.array([1, 1, 0, 0], bool), np.array(scores, float), rate
    )
    assert statistic(np.ones((1, 4)))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        ([1, 0], [1.0, 0.0], 1.0),
        ([1, 0], [0.0, 1.0], 0.0),
        ([1, 0, 0, 1], [0.8, 0.4, 0.0, 0.4], 2 * 0.75 * 0.6 / 1.35),
        ([1, 0], [2.0, -1.0], 1.0),  # clipped as the challenge's scorer does
    ],
)
def test_probabilistic_f1(labels, probabilities, expected):
    assert pf1(labels, probabilities) == pytest.approx(expected)


def test_small_subgroups_are_named_with_the_reason():
    labels, scores = scored(np.random.default_rng(0), 20, 40)
    by = np.array(["A/1"] * 60, dtype=object)
    by[:2], by[-1] = "B/2", None
    frame = pd.DataFrame({"label": labels, "score": scores, "patient": range(60), "scanner": by})
    found = {group.name: group for group in subgroup_aucs(frame, "scanner")}
    assert list(found) == ["A/1", "B/2", "unknown"]
    assert isinstance(found["A/1"].auc, Interval)
    assert found["A/1"].n_positive == 18
    assert found["B/2"].auc is None
    assert found["B/2"].note == "not judged: 2 positive and 0 negative, 5 of each needed"
    assert found["A/1"].to_dict()["auc"]["n_patients"] == 57
    with pytest.raises(ValueError, match=r"lacks the columns \['density'\]"):
        subgroup_aucs(frame, "density")
