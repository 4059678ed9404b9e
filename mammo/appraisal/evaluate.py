"""Judge a table of scores the way radiology does: by image, breast, exam and patient.

    found = evaluate_scores(check_scores(frame), release.operating_points, prevalence=0.0078)
    found.levels["exam"].metrics["auc"].interval       # Interval(value, low, high, ...)
    found.to_dict()                                    # plain JSON values

One set of resampled patients serves every level, metric and subgroup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mammo.appraisal.levels import LEVELS, require_level, to_levels
from mammo.appraisal.scores import pick_part
from mammo.errors import ScoresInvalid, TooFewLabels
from mammo.evaluation.battery import Rows, measure, measure_at
from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES, Interval
from mammo.evaluation.curves import (
    CalibrationBin,
    Curve,
    calibration_bins,
    precision_recall_curve,
    roc_curve,
)
from mammo.evaluation.draws import PatientDraws
from mammo.evaluation.metrics import require_classes
from mammo.evaluation.prevalence import patient_weights
from mammo.exam import OperatingPoint


@dataclass(frozen=True)
class Metric:
    """One number of one level; ``corrected`` is its value at the stated prevalence, if it moves."""

    name: str
    interval: Interval
    corrected: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return value, low, high, n_patients, n_positive and corrected (or None)."""
        corrected = None if self.corrected is None else _plain(self.corrected)
        return _plain(self.interval) | {"corrected": corrected}


@dataclass(frozen=True, eq=False)
class LevelEvaluation:
    """What one level shows: its counts, its confusion matrix, its metrics, its curves.

    ``confusion`` counts units: tp, fp, fn, tn at the operating points. ``rows``
    are the units themselves, for plots. Curves are there for the level asked for;
    precision and recall are at the stated prevalence where the average precision
    has a corrected value, else as the set is.
    """

    level: str
    rows: Rows
    confusion: dict[str, int]
    metrics: dict[str, Metric]
    roc: Curve | None = None
    precision_recall: Curve | None = None
    calibration: tuple[CalibrationBin, ...] = ()
    calibration_corrected: tuple[CalibrationBin, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Units, patients, and of both those with a positive outcome."""
        positive = self.rows.labels
        return {
            "units": len(positive),
            "patients": len(np.unique(self.rows.patients)),
            "positive_units": int(positive.sum()),
            "positive_patients": len(np.unique(self.rows.patients[positive])),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the rows as plain JSON values."""
        curves: dict[str, Any] = {}
        if self.roc is not None and self.precision_recall is not None:
            curves = {
                "roc": self.roc.to_dict(),
                "precision_recall": self.precision_recall.to_dict(),
                "calibration": [one.to_dict() for one in self.calibration],
                "calibration_corrected": [one.to_dict() for one in self.calibration_corrected],
            }
        metrics = {name: metric.to_dict() for name, metric in self.metrics.items()}
        return {**self.counts, "confusion": self.confusion, "metrics": metrics, "curves": curves}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The evaluation of one table of scores.

    ``level`` is the one that curves and subgroups are of; ``units`` are the
    tables of `to_levels`; ``draws`` the resampled patients, ``weights`` theirs
    under a stated prevalence. ``unknown`` and ``unpooled`` count mammograms left
    out, for their outcome is unknown or a preferred view stands for them.
    """

    level: str
    part: str | None
    levels: dict[str, LevelEvaluation]
    prevalence: float | None
    draws: PatientDraws
    units: dict[str, pd.DataFrame]
    weights: np.ndarray | None = None
    unknown: int = 0
    unpooled: int = 0

    @property
    def main(self) -> LevelEvaluation:
        """The level asked for."""
        return self.levels[self.level]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values; NaN becomes None."""
        return {
            "level": self.level,
            "part": self.part,
            "prevalence": self.prevalence,
            "resamples": self.draws.resamples,
            "seed": self.draws.seed,
            "unknown": self.unknown,
            "unpooled": self.unpooled,
            "levels": {name: one.to_dict() for name, one in self.levels.items()},
        }


def evaluate_scores(
    scores: pd.DataFrame,
    points: Mapping[str, OperatingPoint] | None = None,
    *,
    level: str = "breast",
    part: str | None = None,
    prevalence: float | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Evaluate checked scores (`check_scores`) at every level.

    Parameters
    ----------
    points : mapping of str to OperatingPoint, optional
        By scanner, ``*`` for others; without, the sigmoid of the logit and 0.5.
    level : str
        Image, breast, exam or patient: what curves are drawn of.
    part : str, optional
        One of `mammo.appraisal.scores.PARTS`; all rows by default.
    prevalence : float, optional
        Cancers per exam to which metrics that depend on it are corrected.

    Raises
    ------
    LevelUnknown, PartUnknown, ScoresInvalid
        No such level or part; a mammogram twice; a prevalence that cannot be.
    TooFewLabels
        A class is missing.
    """
    require_level(level)
    rows = pick_part(scores, part)
    _require_once(rows)
    units = to_levels(rows, points)
    _require_both_classes(units, part)
    exams = units["exam"]
    labels = exams["label"].to_numpy(bool)
    draws = PatientDraws.of(exams["patient_id"], labels, resamples=resamples, seed=seed)
    weights = None
    if prevalence is not None:
        code = draws.codes(exams["patient_id"])
        weights = patient_weights(labels, code, draws.positive, prevalence)
    levels = {
        name: _evaluate_level(name, to_rows(units[name]), draws, weights, curves=name == level)
        for name in LEVELS
    }
    unknown, unpooled = rows["label"].isna(), ~rows["pooled"]
    left_out = int(unknown.sum()), int((unpooled & ~unknown).sum())
    return Evaluation(level, part, levels, prevalence, draws, units, weights, *left_out)


def _require_once(rows: pd.DataFrame) -> None:
    """Refuse a mammogram that is there twice: a breast's logit would mix networks."""
    twice = int(rows["image_id"].duplicated().sum())
    if twice:
        raise ScoresInvalid(
            f"{twice:,} of {len(rows):,} rows repeat a mammogram (image_id): name one part "
            "(--part untouched or out_of_fold), or keep one row a mammogram"
        )


def _require_both_classes(units: Mapping[str, pd.DataFrame], part: str | None) -> None:
    if units["exam"].empty:
        raise TooFewLabels("no mammogram has a known outcome: wait for outcomes, or add labels")
    where = f" of part {part}" if part else ""
    for name in LEVELS:
        require_classes(units[name]["label"].to_numpy(bool), what=f"{plural(name)}{where}")


def plural(level: str) -> str:
    """Return images, breasts, exams or patients."""
    return f"{level}s"


def to_rows(units: pd.DataFrame) -> Rows:
    """Return the columns of a level that metrics are made of."""
    return Rows(
        units["label"].to_numpy(bool),
        units["score"].to_numpy(float),
        units["probability"].to_numpy(float),
        units["recalled"].to_numpy(bool),
        units["patient_id"].to_numpy(str),
    )


def _evaluate_level(
    level: str, rows: Rows, draws: PatientDraws, weights: np.ndarray | None, *, curves: bool
) -> LevelEvaluation:
    found = measure(rows, draws)
    moved = {} if weights is None else measure_at(rows, draws, weights)
    metrics = {name: Metric(name, one, moved.get(name)) for name, one in found.items()}
    y, r = rows.labels, rows.recalled
    cells = {"tp": y & r, "fp": ~y & r, "fn": y & ~r, "tn": ~y & ~r}
    confusion = {name: int(cell.sum()) for name, cell in cells.items()}
    if not curves:
        return LevelEvaluation(level, rows, confusion, metrics)
    return LevelEvaluation(
        level,
        rows,
        confusion,
        metrics,
        roc_curve(rows, draws),
        precision_recall_curve(rows, draws, weights if "average_precision" in moved else None),
        calibration_bins(rows, draws),
        () if weights is None else calibration_bins(rows, draws, weights),
    )


def _plain(interval: Interval) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value
        for name, value in interval.to_dict().items()
    }
