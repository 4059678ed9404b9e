"""Operating points of a release: by outcomes when it is trained, by scores alone later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mammo.errors import TooFewLabels
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
    recalibrate,
)
from mammo.exam import OperatingPoint
from mammo.models.config import TrainConfig
from mammo.models.tracking import register_release
from mammo.prediction_log import PredictionLog
from mammo.release import DEFAULT_SCANNER, HEAD, MANIFEST, Release, derive_release
from mammo.settings import Settings

MIN_EXAMS_OF_SCANNER = 60
"""Below this a scanner shares the pooled threshold: its own would be noise."""
MIN_EXAMS = 10
RECENT_EXAMS = 60
MIN_EXAMS_TO_RECALIBRATE = 40
"""With 20 exams the recall rate that follows lies 0.1 off its target as often as not."""
Network = tuple[str, str | None, str]


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


def recalibrate_release(
    settings: Settings, parent_dir: Path, scanner: str, *, min_exams: int = MIN_EXAMS_TO_RECALIBRATE
) -> tuple[Release, Path]:
    """Make a child release with a new operating point for one scanner, from scores alone.

    The scanner's latest `RECENT_EXAMS` logged exams are laid onto the release's
    reference; no outcome is used. Every other scanner keeps its point bit for
    bit. Raises TooFewLabels when fewer than ``min_exams`` are logged.
    """
    parent = Release.read(parent_dir, verify=True)
    recent = recent_exams(settings, parent_dir, scanner)
    if len(recent) < min_exams:
        raise TooFewLabels(
            f"{len(recent)} exams of scanner {scanner} are logged; {min_exams} are needed "
            "to set its operating point. The default one stays in force."
        )
    reference = pd.read_parquet(parent_dir / "reference.parquet")
    base = parent.operating_points[DEFAULT_SCANNER]
    point = recalibrate(reference["logit"].tolist(), recent["logit"].tolist(), base, scanner)
    notes: dict[str, Any] = {
        "recalibrated": {"scanner": scanner, "exams": len(recent), "threshold": point.threshold}
    }
    release, directory = derive_release(
        parent_dir,
        settings.releases_dir,
        operating_points=parent.operating_points | {scanner: point},
        metrics=parent.metrics | notes,
        keys_dir=settings.keys_dir,
    )
    register_release(settings, release, directory, {"recalibrated": scanner}, [])
    return release, directory


def recent_exams(settings: Settings, parent_dir: Path, scanner: str) -> pd.DataFrame:
    """Return the scanner's latest exams that the parent's network scored, one row an exam.

    Its head, too, where it has one: exams whose views were joined otherwise do not count.
    """
    network = _network(Release.read(parent_dir))
    exams = PredictionLog(settings.log_url).create().exams(role="champion")
    exams = exams[exams["scanner"] == scanner]
    same = [one for one in exams["release_id"].unique() if _known(settings, one) == network]
    exams = exams[exams["release_id"].isin(same)].drop_duplicates("exam_id", keep="last")
    return exams.tail(RECENT_EXAMS)


def _known(settings: Settings, release_id: str) -> Network | None:
    """Return what gives a release's logits; None when the release is gone."""
    directory = settings.releases_dir / release_id
    return _network(Release.read(directory)) if (directory / MANIFEST).is_file() else None


def _network(release: Release) -> Network:
    """Return the digests of model and head, and how views become a breast."""
    return release.files["model.onnx"], release.files.get(HEAD), release.aggregation
