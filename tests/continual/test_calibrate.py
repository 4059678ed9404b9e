"""Operating points of a release: by scanner, to a target, at a prevalence, with a curve."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import special

from mammo.continual.calibrate import calibrate_scanners, target_of
from mammo.evaluation.calibration import expected_calibration_error
from mammo.exam import OperatingPoint
from mammo.models.config import TrainConfig
from mammo.screening import score_breasts

SCANNERS = pd.Series(["Large/A", "Small/B"])


def holdout(exams: int, seed: int = 0, share: float = 0.3) -> pd.DataFrame:
    """Breasts of exams with two patients' exams each; a third of the cancers' truth is bent."""
    rng = np.random.default_rng(seed)
    ids = np.arange(exams)
    scanner = np.where(ids % 10 == 0, "Small/B", "Large/A")
    frames = []
    cancer = rng.random(exams) < share
    for side in ("L", "R"):
        label = cancer & (side == "L")
        frames.append(
            pd.DataFrame(
                {
                    "exam_id": [f"e{i:05d}" for i in ids],
                    "patient_id": [f"p{i // 2:05d}" for i in ids],
                    "laterality": side,
                    "scanner": scanner,
                    "logit": rng.normal(0, 0.7, exams) + 1.5 * label,
                    "label": label.astype(int),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def recalled(breasts: pd.DataFrame, points: dict[str, OperatingPoint]) -> pd.DataFrame:
    """Every exam, recalled or not by its own scanner's point, through the service's function."""
    rows = []
    for exam, one in breasts.groupby("exam_id"):
        point = points[one["scanner"].iloc[0]]
        scored = score_breasts(zip(one["laterality"], one["logit"], strict=True), point)
        rows.append((exam, one["scanner"].iloc[0], any(s.recall for s in scored), one.label.max()))
    return pd.DataFrame(rows, columns=["exam_id", "scanner", "recall", "cancer"])


@pytest.mark.parametrize(
    ("config", "among", "rate"),
    [
        (TrainConfig(target_recall_rate=0.2), slice(None), 0.2),
        (TrainConfig(target_specificity=0.9), 0, 0.1),
        (TrainConfig(target_sensitivity=0.8), 1, 0.8),
    ],
    ids=["recall rate", "specificity", "sensitivity"],
)
def test_a_scanner_with_enough_exams_meets_the_target_itself(config, among, rate):
    breasts = holdout(600)
    points, _ = calibrate_scanners(breasts, SCANNERS, config)
    exams = recalled(breasts, points)
    chosen = exams if isinstance(among, slice) else exams[exams["cancer"] == among]
    large = chosen[chosen["scanner"] == "Large/A"]
    assert large["recall"].mean() == pytest.approx(rate, abs=0.01)
    # 60 exams, 18 of them with cancer: enough for a recall rate alone
    shares = target_of(config).name != "recall_rate"
    assert (points["Small/B"] == replace(points["*"], scanner="Small/B")) is shares
    assert points["Large/A"].scale == points["*"].scale  # one calibration for all


def test_a_curve_goes_from_the_holdout_to_the_decision():
    breasts = holdout(600)
    points, choice = calibrate_scanners(breasts, SCANNERS, TrainConfig(calibration="isotonic"))
    assert choice.method == "isotonic" and points["*"].curve is not None
    stored = OperatingPoint.from_dict(json.loads(json.dumps(points["Large/A"].to_dict())))
    assert stored == points["Large/A"]
    later = holdout(400, seed=5)
    p = [stored.probability(x) for x in later["logit"]]
    assert expected_calibration_error(later["label"], p) < 0.05
    assert expected_calibration_error(later["label"], special.expit(later["logit"])) > 0.2


def test_the_default_keeps_the_line_on_a_small_holdout():
    points, choice = calibrate_scanners(holdout(200), SCANNERS, TrainConfig())
    assert choice.method == "platt" and points["*"].curve is None
    assert "100 are needed" in choice.reason


def test_a_stated_prevalence_moves_probability_and_recall():
    """One exam in three has cancer in the holdout, one in a hundred of those screened."""
    plain, _ = calibrate_scanners(holdout(2000), SCANNERS, TrainConfig(target_recall_rate=0.1))
    config = TrainConfig(target_recall_rate=0.1, prevalence=0.01)
    stated, _ = calibrate_scanners(holdout(2000), SCANNERS, config)
    screened = holdout(3000, seed=9, share=0.01)
    p = np.array([stated["Large/A"].probability(x) for x in screened["logit"]])
    assert p.mean() == pytest.approx(0.005, rel=0.25)  # of breasts
    assert np.mean([plain["Large/A"].probability(x) for x in screened["logit"]]) > 0.05
    worst = screened[screened["scanner"] == "Large/A"].groupby("exam_id")["logit"].max()
    assert np.mean(worst.map(stated["Large/A"].recalls)) == pytest.approx(0.1, abs=0.015)
    assert np.mean(worst.map(plain["Large/A"].recalls)) < 0.03
