"""Curves refuse what would not be monotone, and a release without one reads as before."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from mammo.exam import OperatingPoint
from mammo.logit_curve import (
    BetaCurve,
    KnotCurve,
    calibrated_logit,
    curve_from_dict,
    curve_to_dict,
    sigmoid,
)
from mammo.preprocess import PreprocessConfig
from mammo.release import Release

CURVES = [BetaCurve(0.5, 2.0, -1.0), KnotCurve((-1.0, 0.0, 2.0), (-3.0, -2.5, 1.0), 0.01)]
POINT = OperatingPoint("*", 1.5, -0.25, 0.4, 0.3)


def release(point):
    return Release(
        "r-1", None, "trained", "2026-01-01", "cancer", "small_cnn", "v1", "phantoms",
        PreprocessConfig(), {"*": point},
    )  # fmt: skip


@pytest.mark.parametrize("curve", CURVES, ids=["beta", "knots"])
def test_a_curve_survives_json_and_the_digest_covers_it(curve):
    assert curve_from_dict(json.loads(json.dumps(curve_to_dict(curve)))) == curve
    made = release(replace(POINT, curve=curve))
    back = Release.from_dict(json.loads(json.dumps(made.to_dict())))
    assert back == made and back.compute_digest() == made.compute_digest()
    changed = release(replace(POINT, curve=curve.raised(1e-9)))
    assert changed.compute_digest() != made.compute_digest()


def test_a_release_written_before_curves_keeps_its_digest():
    made = release(POINT)
    stored = made.to_dict()
    assert stored["operating_points"] == {
        "*": {
            "scanner": "*", "scale": 1.5, "offset": -0.25, "threshold": 0.4,
            "target_recall_rate": 0.3,
        }
    }  # fmt: skip
    text = json.dumps(stored, sort_keys=True)
    assert made.compute_digest() == hashlib.sha256(text.encode()).hexdigest()
    assert Release.from_dict(json.loads(text)) == made


def test_curves_by_hand():
    x = np.array([-9.0, -2.0, -0.5, 1.0, 5.0])
    s = special.expit(x)
    beta = -1 + 0.5 * np.log(s) - 2.0 * np.log1p(-s)  # Kull et al. 2017, equation 5
    assert CURVES[0].apply(x) == pytest.approx(beta)
    assert CURVES[1].apply(x) == pytest.approx([-3.08, -3.01, -2.75, -0.75, 1.03])
    for curve in CURVES:
        assert curve.raised(0.7).apply(x) == pytest.approx(curve.apply(x) + 0.7)
    assert calibrated_logit(x, 2.0, 1.0, CURVES[0]) == pytest.approx(CURVES[0].apply(2 * x + 1))


def test_the_sigmoid_keeps_small_probabilities_apart():
    x = np.array([-700.0, -60.0, -59.9, 0.0, 3.0, 800.0])
    assert sigmoid(x) == pytest.approx(special.expit(x), rel=1e-12)
    assert sigmoid(-700.0) > 0 and sigmoid(-60.0) < sigmoid(-59.9)


def test_the_point_decides_on_the_curve():
    point = replace(POINT, curve=CURVES[0], threshold=0.2)
    p = special.expit(CURVES[0].apply(1.5 * 0.4 - 0.25))
    assert point.probability(0.4) == pytest.approx(float(p))
    assert point.recalls(0.4) is bool(p >= 0.2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: BetaCurve(-0.1, 1.0, 0.0), "needs a > 0 and b > 0.*found a -0.1"),
        (lambda: BetaCurve(1.0, np.inf, 0.0), "all finite"),
        (lambda: KnotCurve((0.0, 1.0), (1.0, 1.0), 0.01), "strictly increasing"),
        (lambda: KnotCurve((0.0,), (1.0, 2.0), 0.01), "found 1 x, 2 z"),
        (lambda: KnotCurve((0.0,), (1.0,), 0.0), "tail > 0"),
        (lambda: KnotCurve((), (), 0.1), "found 0 x"),
        (lambda: curve_from_dict({"kind": "spline"}), "unknown kind of curve 'spline'; allowed"),
        (lambda: curve_from_dict({"kind": "beta", "a": 1}), r"a BetaCurve has \['a', 'b', 'c'"),
    ],
)
def test_a_curve_that_could_turn_an_order_is_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()
