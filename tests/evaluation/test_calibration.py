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
    expected_calibration_error,
    fit_platt,
    reliability,
)


def exams(rng, n, prevalence=0.3):
    """Logits of exams as they come: healthy and cancers, the higher of two breasts."""
    cancer = rng.random(n) < prevalence
    breasts = rng.normal(-1, 1, size=(n, 2))
    breasts[:, 0] += 2 * cancer
    return breasts.max(axis=1), cancer


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
    with pytest.raises(
        ValueError, match=r"unknown keys \['slope'\]; allowed: scale, offset, curve"
    ):
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


def test_bins_do_not_depend_on_the_order_of_the_rows():
    """Two probabilities (a curve of steps, int8) are two bins, each of a right rate."""
    p = np.repeat([0.2, 0.6], 50)
    labels = np.r_[np.zeros(40), np.ones(10), np.zeros(20), np.ones(30)]
    predicted, observed, rows = reliability(labels, p)
    assert rows.tolist() == [50, 50]
    assert predicted == pytest.approx(observed)
    assert expected_calibration_error(labels, p) < 1e-9 < chance_calibration_error(p) < 0.1
