"""Operating points of a release: by outcomes when it is trained, by scores alone later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.errors import TooFewLabels
from mammo.evaluation.calibration import Calibration, fit_operating_point, fit_platt, recalibrate
from mammo.exam import OperatingPoint
from mammo.models.tracking import register_release
from mammo.prediction_log import PredictionLog
from mammo.release import DEFAULT_SCANNER, MANIFEST, Release, derive_release
from mammo.settings import Settings

MIN_EXAMS_OF_SCANNER = 60
"""Below this a scanner shares the pooled threshold: its own would be noise."""
MIN_EXAMS = 10
RECENT_EXAMS = 60
MIN_EXAMS_TO_RECALIBRATE = 40
"""With 20 exams the recall rate that follows lies 0.1 off its target as often as not."""


def calibrate_scanners(
    breasts: pd.DataFrame, scanners: pd.Series, target_recall_rate: float
) -> dict[str, OperatingPoint]:
    """Fit calibration and thresholds on patients that were not trained on.

    ``breasts`` has exam_id, scanner, logit and label; ``scanners`` are those
    trained on. A scanner with fewer than `MIN_EXAMS_OF_SCANNER` exams shares the
    pooled point under its own name; ``*`` serves scanners never met.
    """
    calibration = fit_platt(breasts["logit"], breasts["label"].astype(int))
    pooled = _fit(DEFAULT_SCANNER, breasts, calibration, target_recall_rate)
    points = {DEFAULT_SCANNER: pooled}
    for name in sorted(scanners.dropna().unique()):
        rows = breasts[breasts["scanner"] == name]
        if rows["exam_id"].nunique() >= MIN_EXAMS_OF_SCANNER:
            points[name] = _fit(name, rows, calibration, target_recall_rate)
        else:
            points[name] = replace(pooled, scanner=name)
    return points


def _fit(
    name: str, breasts: pd.DataFrame, calibration: Calibration, target_recall_rate: float
) -> OperatingPoint:
    logits = {str(e): part.to_numpy() for e, part in breasts.groupby("exam_id")["logit"]}
    return fit_operating_point(name, logits, calibration, target_recall_rate, min_exams=MIN_EXAMS)


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
    point = recalibrate(
        reference["logit"].tolist(),
        recent["logit"].tolist(),
        Calibration(base.scale, base.offset),
        base.target_recall_rate,
        scanner,
        base.threshold,
    )
    notes: dict[str, Any] = {
        "recalibrated": {"scanner": scanner, "exams": len(recent), "threshold": point.threshold}
    }
    release, directory = derive_release(
        parent_dir,
        settings.releases_dir,
        operating_points=parent.operating_points | {scanner: point},
        metrics=parent.metrics | notes,
    )
    register_release(settings, release, directory, {"recalibrated": scanner}, [])
    return release, directory


def recent_exams(settings: Settings, parent_dir: Path, scanner: str) -> pd.DataFrame:
    """Return the scanner's latest exams that the parent's network scored, one row an exam."""
    network = Release.read(parent_dir).files["model.onnx"]
    exams = PredictionLog(settings.log_url).create().exams(role="champion")
    exams = exams[exams["scanner"] == scanner]
    same = [one for one in exams["release_id"].unique() if _network(settings, one) == network]
    exams = exams[exams["release_id"].isin(same)].drop_duplicates("exam_id", keep="last")
    return exams.tail(RECENT_EXAMS)


def _network(settings: Settings, release_id: str) -> str | None:
    """Return the digest of a release's network; None when the release is gone."""
    directory = settings.releases_dir / release_id
    if not (directory / MANIFEST).is_file():
        return None
    return Release.read(directory).files["model.onnx"]
