"""Each calibration mends what it is for; the choice between them keeps the line when in doubt."""

import numpy as np
import pytest
from scipy import special

from mammo.errors import TooFewLabels
from mammo.evaluation.calibration import (
    Calibration,
    brier,
    calibration_slope_intercept,
    expected_calibration_error,
    log_loss,
)
from mammo.evaluation.calibration_choice import METHODS, choose_calibration, fit_calibration
from mammo.evaluation.calibration_fit import FITS, fit_beta, fit_isotonic, fit_raise
from mammo.evaluation.calibration_prevalence import (
    at_prevalence,
    breast_prevalence,
    exam_weights,
    prior_shift,
)
from mammo.logit_curve import KnotCurve


def bend(x):
    """Beta's shape in units of the standard deviation of `draw`: slopes 0.4 and 3."""
    return -1.5 + 3.0 * np.logaddexp(0, x / 1.2) - 0.4 * np.logaddexp(0, -x / 1.2)


def steps(x):
    """Two steps: neither a line nor a bend."""
    return 1.7 * np.tanh(3 * (x + 0.7)) + 2.0 * np.tanh(4 * (x - 1.2)) + 0.5


TRUTHS = {
    "temperature": lambda x: 0.3 * x,
    "platt": lambda x: 0.6 * x - 1.5,
    "beta": bend,
    "isotonic": steps,
}


def draw(truth, rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1.2, rows)
    return x, rng.random(rows) < special.expit(TRUTHS[truth](x))


@pytest.mark.parametrize("method", TRUTHS)
def test_each_method_recovers_the_miscalibration_it_is_for(method):
    x, y = draw(method, 20_000, 1)
    later, outcome = draw(method, 40_000, 2)
    p = FITS[method](x, y).apply(later)
    raw = special.expit(later)
    best = log_loss(outcome, special.expit(TRUTHS[method](later)))
    assert log_loss(outcome, raw) - best > 0.02
    assert log_loss(outcome, p) - best < 0.003
    assert expected_calibration_error(outcome, p) < 0.02 < expected_calibration_error(outcome, raw)
    slope, intercept = calibration_slope_intercept(outcome, p)
    assert (slope, intercept) == (pytest.approx(1, abs=0.08), pytest.approx(0, abs=0.06))
    assert brier(outcome, p) < brier(outcome, raw)


@pytest.mark.parametrize("method", sorted(FITS))
def test_probabilities_do_not_depend_on_the_unit_of_the_logits(method):
    x, y = draw("beta", 800, 3)
    shift = 0.0 if method == "temperature" else 5.0  # a temperature has no offset to take it up
    one, other = FITS[method](x, y), FITS[method](0.01 * x + shift, y)
    assert other.apply(0.01 * x + shift) == pytest.approx(one.apply(x), abs=2e-3)


@pytest.mark.parametrize("method", sorted(FITS))
@pytest.mark.parametrize("case", ["separated", "reversed", "constant"])
def test_extreme_sets_stay_finite_and_rising(method, case):
    y = np.arange(60) >= 40
    x = {"separated": 9.0 * y, "reversed": -np.arange(60.0), "constant": np.full(60, 2.0)}[case]
    calibration = FITS[method](x + 0.0, y)
    grid = calibration.logit(np.linspace(-100, 100, 999))
    assert np.isfinite(grid).all() and (np.diff(grid) > 0).all()
    p = calibration.apply(x)
    assert p.min() > 0 and p.max() < 1
    with pytest.raises(TooFewLabels):
        FITS[method](x, np.zeros(60))


def test_isotonic_blocks_are_knots_at_their_mean():
    """Two blocks by hand: 0, 1, 0 pools to a third at 1; 1, 1 stays, at 3.5."""
    x, y = np.array([0.0, 1, 2, 3, 4]), np.array([0, 1, 0, 1, 1])
    calibration = fit_isotonic(x, y)
    assert isinstance(calibration.curve, KnotCurve)
    at = (np.array(calibration.curve.x) - calibration.offset) / calibration.scale
    assert at == pytest.approx([0.0, 1.5, 3.5])
    prior = 0.6  # one row of the prevalence beside the block's own
    rates = [(0 + prior) / 2, (1 + prior) / 3, (2 + prior) / 3]
    assert special.expit(calibration.curve.z) == pytest.approx(rates)


def test_on_a_small_set_isotonic_overfits_and_is_not_chosen():
    excess, picked = [], []
    later, outcome = draw("platt", 20_000, 99)
    for seed in range(12):
        x, y = draw("platt", 150, seed)
        losses = {name: log_loss(outcome, FITS[name](x, y).apply(later)) for name in FITS}
        excess.append(losses["isotonic"] - losses["platt"])
        free = choose_calibration(x, y, np.arange(150) // 2, candidates=("isotonic",))
        picked.append(free.method)
        assert choose_calibration(x, y, np.arange(150) // 2).method == "platt"  # not compared
    assert np.mean(excess) > 0.004
    assert picked.count("platt") >= 10  # one standard error, so about one in six by chance


@pytest.mark.parametrize(("truth", "chosen"), [("platt", "platt"), ("isotonic", "isotonic")])
def test_auto_takes_a_curve_where_the_line_is_wrong(truth, chosen):
    x, y = draw(truth, 2500, 5)
    calibration, choice = fit_calibration(x, y, np.arange(2500) // 2, "auto")
    assert choice.method == chosen, choice
    assert calibration == FITS[chosen](x, y)
    assert set(choice.log_loss) == set(FITS) and min(choice.standard_error.values()) > 0
    assert choice.to_dict()["rows"] == 2500


def test_auto_needs_patients_and_rows_of_either_class():
    x, y = draw("isotonic", 2500, 5)
    one_patient_each = np.where(y, "a", "b")
    assert fit_calibration(x, y, one_patient_each)[1].method == "platt"
    few = fit_calibration(x[:150], y[:150], np.arange(150))[1]
    assert few.method == "platt" and "100 are needed to compare" in few.reason
    with pytest.raises(ValueError, match="unknown calibration 'spline'; allowed: platt"):
        fit_calibration(x, y, np.arange(2500), "spline")
    assert set(METHODS) == {*FITS, "auto"}


def test_the_error_of_a_difference_counts_patients():
    """The same rows twice under one patient say no more: the error must not shrink."""
    x, y = draw("isotonic", 600, 7)
    once = choose_calibration(x, y, np.arange(600), candidates=("beta",))
    twice = choose_calibration(
        np.tile(x, 2), np.tile(y, 2), np.tile(np.arange(600), 2), candidates=("beta",)
    )
    ratio = twice.standard_error["beta"] / once.standard_error["beta"]
    assert ratio == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("method", ["beta", "isotonic", "platt"])
def test_an_oversampled_set_is_corrected_to_the_stated_prevalence(method):
    rng = np.random.default_rng(0)
    x, y = draw("platt", 60_000, 11)
    share = y.mean()
    keep = y | (rng.random(len(y)) < 0.05)  # a set for research: one healthy breast in twenty
    calibration = FITS[method](x[keep], y[keep])
    mended = at_prevalence(calibration, y[keep].mean(), share)
    assert calibration.apply(x).mean() > 2 * share
    assert mended.apply(x).mean() == pytest.approx(share, rel=0.06)
    assert expected_calibration_error(y, mended.apply(x)) < 0.02


def test_prevalence_by_hand():
    assert prior_shift(0.5, 0.1) == pytest.approx(np.log(1 / 9))
    cancer = np.array([True, False, False, False])
    weights = exam_weights(cancer, 0.01)
    assert weights.mean() == pytest.approx(1) and np.average(cancer, weights=weights) == 0.01
    # four exams of two breasts, one breast with cancer: half the share of exams
    labels, exam = np.eye(1, 8, dtype=bool)[0], np.repeat(np.arange(4), 2)
    assert breast_prevalence(labels, exam, 0.01) == pytest.approx(0.005)
    with pytest.raises(ValueError, match="the stated one is 5"):
        prior_shift(0.3, 5)
    with pytest.raises(TooFewLabels, match="found 0 exams with cancer of 3"):
        exam_weights(np.zeros(3, bool), 0.01)


def test_a_curve_travels_as_json():
    for fit in (fit_beta, fit_isotonic):
        calibration = fit(*draw("beta", 300, 4))
        assert Calibration.from_dict(calibration.to_dict()) == calibration


@pytest.mark.parametrize("line", [Calibration(0.8, -1.0), None])
@pytest.mark.parametrize("by", [-1.5, 0.0, 1.0])
def test_outcomes_of_exams_raise_probabilities_to_what_is_found(by, line):
    rng = np.random.default_rng(2)
    x = rng.normal(size=8000)
    before = line or fit_isotonic(x, rng.random(8000) < special.expit(x))
    breast = rng.random(8000) < before.raised(by).apply(x)
    exam = np.repeat(np.arange(4000), 2)
    found = fit_raise(before, x, exam, breast.reshape(-1, 2).any(axis=1))
    assert found == pytest.approx(by, abs=0.12)
    assert before.raised(found).apply(x).mean() == pytest.approx(breast.mean(), abs=0.02)


def test_few_outcomes_of_one_kind_move_little():
    line = Calibration(1.0, -2.0)
    few = fit_raise(line, np.zeros(3), np.arange(3), np.zeros(3, bool))
    many = fit_raise(line, np.zeros(300), np.arange(300), np.zeros(300, bool))
    assert -0.4 < few < 0
    assert many < -1.5
