"""Operating points of a release when it is trained: by outcomes, on patients held out."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mammo.evaluation.calibration import Calibration
from mammo.evaluation.calibration_choice import CalibrationChoice, fit_calibration
from mammo.evaluation.calibration_prevalence import (
    at_prevalence,
    breast_prevalence,
    exam_weights,
)
from mammo.evaluation.calibration_thresholds import (
    RECALL_RATE,
    SENSITIVITY,
    SPECIFICITY,
    Target,
    fit_operating_point,
)
from mammo.exam import OperatingPoint
from mammo.models.config import TrainConfig
from mammo.release import DEFAULT_SCANNER

MIN_EXAMS_OF_SCANNER = 60
"""Below this a scanner shares the pooled threshold: its own would be noise."""
MIN_EXAMS = 10


class CalibratedScanners(NamedTuple):
    """Operating points by scanner, ``*`` for others, and how the calibration was chosen."""

    points: dict[str, OperatingPoint]
    choice: CalibrationChoice


def calibrate_scanners(
    breasts: pd.DataFrame, scanners: pd.Series, config: TrainConfig
) -> CalibratedScanners:
    """Fit calibration and thresholds on patients that were not trained on.

    ``breasts`` has exam_id, patient_id, scanner, logit and label; ``scanners``
    are those trained on. One calibration serves all; a scanner with fewer than
    `MIN_EXAMS_OF_SCANNER` exams of the kind that the target is of shares the
    pooled threshold under its own name; ``*`` serves scanners never met.
    """
    label = breasts["label"].astype(int).to_numpy()
    calibration, choice = fit_calibration(
        breasts["logit"], label, breasts["patient_id"], config.calibration, seed=config.seed
    )
    exams = _exams(breasts)
    if config.prevalence is not None:
        _, exam = np.unique(breasts["exam_id"], return_inverse=True)
        stated = breast_prevalence(label.astype(bool), exam, config.prevalence)
        calibration = at_prevalence(calibration, float(label.mean()), stated)
        exams["weight"] = exam_weights(exams["cancer"].to_numpy(), config.prevalence)
    target = target_of(config)
    pooled = _fit(DEFAULT_SCANNER, exams, calibration, target)
    points = {DEFAULT_SCANNER: pooled}
    for name in sorted(scanners.dropna().unique()):
        rows = exams[exams["scanner"] == name]
        if target.exams(rows["cancer"].to_numpy()).sum() >= MIN_EXAMS_OF_SCANNER:
            points[name] = _fit(name, rows, calibration, target)
        else:
            points[name] = replace(pooled, scanner=name)
    return CalibratedScanners(points, choice)


def target_of(config: TrainConfig) -> Target:
    """Return what the thresholds are set to reach: a specificity or sensitivity if given."""
    if config.target_specificity is not None:
        return Target(SPECIFICITY, config.target_specificity)
    if config.target_sensitivity is not None:
        return Target(SENSITIVITY, config.target_sensitivity)
    return Target(RECALL_RATE, config.target_recall_rate)


def _exams(breasts: pd.DataFrame) -> pd.DataFrame:
    """Return one row an exam: scanner, logit of the worst breast, cancer (bool), weight 1."""
    exams = breasts.groupby("exam_id").agg(
        scanner=("scanner", "first"), logit=("logit", "max"), cancer=("label", "max")
    )
    return exams.assign(cancer=exams["cancer"].astype(int).astype(bool), weight=1.0)


def _fit(
    name: str, exams: pd.DataFrame, calibration: Calibration, target: Target
) -> OperatingPoint:
    return fit_operating_point(
        name,
        exams["logit"].to_numpy(),
        calibration,
        target,
        cancer=exams["cancer"].to_numpy(),
        weights=exams["weight"].to_numpy(),
        min_exams=MIN_EXAMS,
    )
