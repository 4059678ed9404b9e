import numpy as np
import pytest

from mammo.errors import TooFewLabels
from mammo.evaluation.calibration import (
    Calibration,
    expected_calibration_error,
    fit_platt,
)
from mammo.evaluation.calibration_fit import FITS
from mammo.evaluation.calibration_prevalence import exam_weights
from mammo.evaluation.calibration_thresholds import (
    Target,
    exam_logits,
    fit_operating_point,
    invert,
    recalibrate,
    threshold_logit,
)
from mammo.exam import OperatingPoint
from tests.evaluation.test_calibration import exams

LINE = OperatingPoint("*", 1.0, 0.0, 0.5, 0.3)


def recalled(point, logits):
    return np.array([point.recalls(logit) for logit in logits])


def recall_rate(point, logits):
    return np.mean(recalled(point, logits))


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
        recalibrate(np.arange(90.0), np.arange(7.0), LINE, "B/2")
    with pytest.raises(TooFewLabels, match="found 7 exams of the reference"):
        recalibrate(np.arange(7.0), np.arange(90.0), LINE, "B/2")


@pytest.mark.parametrize("method", sorted(FITS))
@pytest.mark.parametrize(("slope", "shift"), [(1.0, 1.7), (0.6, -2.0), (1.6, 0.0)])
def test_recalibration_restores_rate_and_probabilities_without_outcomes(slope, shift, method):
    rng = np.random.default_rng(11)
    reference, cancer = exams(rng, 300)
    calibration = FITS[method](reference, cancer)
    before = fit_operating_point("*", reference, calibration, 0.35)
    new, _ = exams(rng, 60)
    moved = slope * new + shift
    moved[:2] = [60.0, -60.0]  # broken exams must not steer the line
    point = recalibrate(reference, moved, before, "B/2")
    assert recall_rate(point, moved) == pytest.approx(0.35, abs=0.13)  # chance: 0.06
    later, sick = exams(rng, 4000)
    probability = np.array([point.probability(slope * x + shift) for x in later])
    assert recall_rate(point, slope * later + shift) == pytest.approx(0.35, abs=0.1)
    own = expected_calibration_error(sick, calibration.apply(later))  # on the old scanner
    assert expected_calibration_error(sick, probability) < own + 0.08


@pytest.mark.parametrize("method", sorted(FITS))
@pytest.mark.parametrize("target", [0.02, 0.1, 0.35, 0.9])
def test_a_threshold_recalls_whom_the_cut_on_the_logit_recalls(method, target):
    """With isotonic's blocks as knots there is no tie to fall on the wrong side of."""
    logits, cancer = exams(np.random.default_rng(3), 400)
    calibration = FITS[method](logits, cancer)
    point = fit_operating_point("A/1", logits, calibration, target)
    cut = threshold_logit(logits, target)
    later = np.r_[exams(np.random.default_rng(4), 2000)[0], logits, -1e3, 1e3]
    assert (recalled(point, later) == (later >= cut)).all()
    order = np.sort(later)
    assert (np.diff(calibration.logit(order)) >= 0).all()
    assert (np.diff(calibration.logit(np.linspace(-8, 8, 4001))) > 0).all()


@pytest.mark.parametrize(
    ("target", "rate"),
    [
        (Target("specificity", 0.9), lambda point, x, y: 1 - recall_rate(point, x[~y])),
        (Target("sensitivity", 0.8), lambda point, x, y: recall_rate(point, x[y])),
        (Target("recall_rate", 0.12), lambda point, x, y: recall_rate(point, x)),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_target_is_met_on_the_exams_it_is_of(target, rate):
    logits, cancer = exams(np.random.default_rng(6), 800)
    point = fit_operating_point("A", logits, fit_platt(logits, cancer), target, cancer=cancer)
    assert rate(point, logits, cancer) == pytest.approx(target.value, abs=0.003)
    # a new scanner, without outcomes, is held to the recall rate that came with it
    assert recall_rate(point, logits) == pytest.approx(point.target_recall_rate, abs=0.003)
    assert point.to_dict().get(f"target_{target.name}") == target.value


def test_targets_that_cannot_be():
    with pytest.raises(ValueError, match="unknown target 'ppv'; allowed: recall_rate"):
        Target("ppv", 0.3)
    with pytest.raises(ValueError, match=r"target specificity must be inside \(0, 1\), found 90"):
        Target("specificity", 90)
    with pytest.raises(ValueError, match="a target sensitivity needs the outcome of every exam"):
        fit_operating_point("A", np.arange(50.0), Calibration(), Target("sensitivity", 0.8))
    few = np.arange(50) > 44
    with pytest.raises(TooFewLabels, match="found 5 exams with cancer of A; at least 20"):
        fit_operating_point(
            "A", np.arange(50.0), Calibration(), Target("sensitivity", 0.8), cancer=few
        )


def test_a_recall_rate_at_another_prevalence():
    """A third of the set has cancer, one in a hundred of those screened: recall 5% of these."""
    logits, cancer = exams(np.random.default_rng(8), 3000, prevalence=0.33)
    weights = exam_weights(cancer, 0.01)
    calibration = fit_platt(logits, cancer)
    point = fit_operating_point("A", logits, calibration, 0.05, weights=weights)
    screened, _ = exams(np.random.default_rng(9), 20_000, prevalence=0.01)
    assert recall_rate(point, screened) == pytest.approx(0.05, abs=0.01)
    plain = fit_operating_point("A", logits, calibration, 0.05)
    assert recall_rate(plain, screened) < 0.01  # unweighted, hardly anybody would be recalled


@pytest.mark.parametrize("method", sorted(FITS))
def test_a_probability_is_turned_back_into_its_logit(method):
    logits, cancer = exams(np.random.default_rng(5), 500)
    calibration = FITS[method](logits, cancer)
    for x in (-2.0, 0.3, 1.7):
        assert invert(calibration, float(calibration.apply(x)), logits) == pytest.approx(
            x, abs=1e-4
        )
    assert invert(calibration, 1.0, logits) > logits.max()
