import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from mammo.errors import TooFewLabels
from mammo.evaluation.calibration import (
    MIN_SLOPE,
    Calibration,
    brier,
    calibration_slope_intercept,
    chance_calibration_error,
    exam_logits,
    expected_calibration_error,
    fit_operating_point,
    fit_platt,
    match_quantiles,
    recalibrate,
    reliability,
    threshold_logit,
)


def exams(rng, n, prevalence=0.3):
    """Logits of exams as they come: healthy and cancers, the higher of two breasts."""
    cancer = rng.random(n) < prevalence
    breasts = rng.normal(-1, 1, size=(n, 2))
    breasts[:, 0] += 2 * cancer
    return breasts.max(axis=1), cancer


def recall_rate(point, logits):
    probability = special.expit(point.scale * logits + point.offset)
    return np.mean(probability >= point.threshold)


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_platt_agrees_with_unpenalised_logistic_regression(scale):
    logits, labels = exams(np.random.default_rng(0), 4000)
    found = fit_platt(scale * logits, labels)
    other = LogisticRegression(C=1e9).fit(logits[:, None], labels)
    assert found.scale * scale == pytest.approx(other.coef_[0, 0], rel=0.01)
    assert found.offset == pytest.approx(other.intercept_[0], rel=0.01)


def test_platt_stays_finite_when_the_classes_separate():
    found = fit_platt([-3.0, -2.0, 2.0, 3.0], [0, 0, 1, 1])
    assert 0 < found.scale < 2
    # the smoothed targets are 3/4 and 1/4
    assert found.apply(3.0) == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize("spread", [1.0, 50.0])
def test_platt_never_turns_the_order_round(spread):
    logits, labels = exams(np.random.default_rng(1), 200)
    found = fit_platt(-spread * logits, labels)
    assert found.scale * spread * logits.std() == pytest.approx(MIN_SLOPE)
    assert found.apply(-spread * logits).mean() == pytest.approx(labels.mean(), abs=0.02)


def test_platt_of_constant_logits_gives_the_prevalence():
    found = fit_platt(np.full(100, 5.0), np.arange(100) < 20)
    assert found.apply(5.0) == pytest.approx(0.2, abs=0.01)


def test_platt_needs_both_classes():
    with pytest.raises(TooFewLabels, match="found 0 positive and 3 negative"):
        fit_platt([1, 2, 3], [0, 0, 0])


def test_calibration_round_trip_and_refusals():
    calibration = Calibration(1.5, -0.25)
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    with pytest.raises(ValueError, match=r"unknown keys \['slope'\]; allowed: scale, offset"):
        Calibration.from_dict({"slope": 1.0})
    with pytest.raises(ValueError, match=r"scale must be positive .* found scale -1.0"):
        Calibration(-1.0, 0.0)


def test_brier_and_calibration_error_by_hand():
    labels, probabilities = [0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8]
    assert brier(labels, probabilities) == pytest.approx((0.01 + 0.09 + 0.16 + 0.04) / 4)
    # two bins: mean 0.2 against 0, mean 0.7 against 1
    assert expected_calibration_error(labels, probabilities, bins=2) == pytest.approx(0.25)
    predicted, observed, rows = reliability(labels, probabilities, bins=2)
    assert predicted.tolist() == pytest.approx([0.2, 0.7])
    assert (observed.tolist(), rows.tolist()) == ([0, 1], [2, 2])


@pytest.mark.parametrize(("rows", "bins"), [(50, 5), (1000, 10)])
def test_chance_error_is_what_perfect_probabilities_show(rows, bins):
    rng = np.random.default_rng(5)
    probabilities = rng.beta(1, 2, rows)
    errors = [
        expected_calibration_error(rng.random(rows) < probabilities, probabilities, bins)
        for _ in range(200)
    ]
    assert chance_calibration_error(probabilities, bins) == pytest.approx(np.mean(errors), rel=0.1)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, 0.7)])
def test_slope_and_intercept_are_found(slope, intercept):
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=2, size=20_000)
    labels = rng.random(20_000) < special.expit(slope * logits + intercept)
    found = calibration_slope_intercept(labels, special.expit(logits))
    assert found == (pytest.approx(slope, abs=0.05), pytest.approx(intercept, abs=0.05))


@pytest.mark.parametrize(
    "given",
    [{"e1": [0.5, -1.0], "e2": [2.0]}, [[0.5, -1.0], [2.0]], [0.5, 2.0], np.array([0.5, 2.0])],
    ids=["by exam", "ragged", "list", "array"],
)
def test_an_exam_is_its_highest_breast(given):
    assert exam_logits(given).tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("logits", "target", "cut"),
    [
        ([1, 2, 3, 4], 0.5, 2.5),
        ([1, 2, 3, 4], 0.25, 3.5),
        ([1, 2, 3, 4], 0.01, 4.5),  # nobody: above the highest
        ([1, 2, 3, 4], 0.99, 0.5),  # everybody: below the lowest
        ([1, 2, 3, 4], 0.375, 2.5),  # 25% and 50% are equally near: recall more
        ([1, 3, 3, 3, 4], 0.4, 3.5),  # the tied three stay on one side together
    ],
)
def test_threshold_recalls_the_rate_nearest_to_the_target(logits, target, cut):
    assert threshold_logit(np.array(logits, float), target) == pytest.approx(cut)


@pytest.mark.parametrize(("prefer", "cut"), [(2.2, 2.2), (9.0, 3.0), (-9.0, 2.0)])
def test_threshold_keeps_near_a_preferred_one(prefer, cut):
    logits = np.array([1.0, 2.0, 3.0, 4.0])
    found = threshold_logit(logits, 0.5, prefer)
    assert found == pytest.approx(cut, abs=1e-5)
    assert np.mean(logits >= found) == 0.5


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, 35])
def test_an_impossible_target_is_refused(target):
    with pytest.raises(ValueError, match=r"inside \(0, 1\), found"):
        threshold_logit(np.arange(30.0), target)


@pytest.mark.parametrize("target", [0.1, 0.35])
def test_operating_point_recalls_the_target(target):
    logits, cancer = exams(np.random.default_rng(0), 200)
    point = fit_operating_point("A/1", logits, fit_platt(logits, cancer), target)
    assert recall_rate(point, logits) == pytest.approx(target)
    assert (point.scanner, point.target_recall_rate) == ("A/1", target)


def test_too_few_exams_of_a_scanner_are_refused_with_the_way_out():
    text = "found 7 exams of A/1; at least 20 are needed .* use the default point until then"
    with pytest.raises(TooFewLabels, match=text):
        fit_operating_point("A/1", np.arange(7.0), Calibration(), 0.3)
    with pytest.raises(TooFewLabels, match="found 7 exams of B/2"):
        recalibrate(np.arange(90.0), np.arange(7.0), Calibration(), 0.3, "B/2", 0.5)
    with pytest.raises(TooFewLabels, match="found 7 exams of the reference"):
        recalibrate(np.arange(7.0), np.arange(90.0), Calibration(), 0.3, "B/2", 0.5)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 1.7), (0.6, -2.0), (1.6, 0.0)])
def test_recalibration_restores_rate_and_probabilities_without_outcomes(slope, shift):
    rng = np.random.default_rng(11)
    reference, cancer = exams(rng, 300)
    calibration = fit_platt(reference, cancer)
    before = fit_operating_point("*", reference, calibration, 0.35)
    new, _ = exams(rng, 60)
    moved = slope * new + shift
    moved[:2] = [60.0, -60.0]  # broken exams must not steer the line
    point = recalibrate(reference, moved, calibration, 0.35, "B/2", before.threshold)
    assert recall_rate(point, moved) == pytest.approx(0.35)
    later, sick = exams(rng, 4000)
    probability = special.expit(point.scale * (slope * later + shift) + point.offset)
    assert recall_rate(point, slope * later + shift) == pytest.approx(0.35, abs=0.1)
    assert expected_calibration_error(sick, probability) < 0.08


def test_a_mere_shift_stays_a_shift():
    rng = np.random.default_rng(0)
    slopes = [match_quantiles(exams(rng, 150)[0], exams(rng, 40)[0] + 2)[0] for _ in range(60)]
    assert np.median(slopes) == pytest.approx(1.0, abs=0.02)
    assert np.std(np.log(slopes)) < 0.13  # 0.17 without the shrinkage


def test_scores_without_spread_are_only_shifted():
    assert match_quantiles(np.arange(40.0), np.full(40, 3.0)) == (1.0, pytest.approx(16.5))
