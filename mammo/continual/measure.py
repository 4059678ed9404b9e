"""The numbers of a release, at exam level, with intervals that resample patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mammo.continual.folds import OutOfFold
from mammo.continual.score import score_breast_logits
from mammo.continual.scores import pooled_views
from mammo.evaluation.calibration import brier, expected_calibration_error
from mammo.evaluation.metrics import (
    auc_interval,
    recall_rate_interval,
    sensitivity_interval,
    specificity_interval,
)
from mammo.models.config import TrainConfig


def exam_metrics(exams: pd.DataFrame) -> dict[str, Any]:
    """Return AUC by part with patient-bootstrap intervals, rates and calibration.

    Exam level, on patients that were not trained on; a part with one class only
    is left out.
    """
    metrics: dict[str, Any] = {}
    for part, rows in [*exams.groupby("part"), ("untouched", exams)]:
        if rows["label"].nunique() < 2:
            continue
        label = rows["label"].astype(int).to_numpy()
        patients, recalled = rows["patient_id"].to_numpy(), rows["recall"].to_numpy()
        auc = auc_interval(label, rows["logit"].to_numpy(), patients)
        metrics[f"{part}_auc"] = auc.to_dict()
        metrics[f"{part}_recall_rate"] = recall_rate_interval(recalled, patients).to_dict()
        metrics[f"{part}_sensitivity"] = sensitivity_interval(label, recalled, patients).to_dict()
        metrics[f"{part}_specificity"] = specificity_interval(label, recalled, patients).to_dict()
        metrics[f"{part}_ece"] = expected_calibration_error(label, rows["probability"])
        metrics[f"{part}_brier"] = brier(label, rows["probability"])
    return metrics


def out_of_fold_auc(views: pd.DataFrame, target: str) -> dict[str, Any]:
    """Return AUC by breast and exam of rows as `scores.pooled_views` gives them."""
    breasts = score_breast_logits(views, target)
    exams = breasts.groupby("exam_id").agg(
        patient_id=("patient_id", "first"), logit=("logit", "max"), label=("label", "max")
    )
    by_breast = auc_interval(breasts["label"].astype(int), breasts["logit"], breasts["patient_id"])
    by_exam = auc_interval(exams["label"].astype(int), exams["logit"], exams["patient_id"])
    return {"breast": by_breast.to_dict(), "exam": by_exam.to_dict()}


def out_of_fold_metrics(estimate: OutOfFold, config: TrainConfig) -> dict[str, Any]:
    """Return the out-of-fold AUCs: with intervals of the first shuffle, and over all of them.

    ``shuffles`` holds each one's AUC by exam, their mean and standard deviation:
    how much hangs on who fell into which fold, which the intervals do not show.
    """
    each = []
    for logits in estimate.logits:
        views = pooled_views(estimate.rows, logits, config.aggregation)
        each.append(out_of_fold_auc(views, config.target))
    metrics: dict[str, Any] = {"out_of_fold_auc": each[0]}
    if len(each) > 1:
        values = [one["exam"]["value"] for one in each]
        metrics["out_of_fold_shuffles"] = {
            "exam_auc_mean": float(np.mean(values)),
            "exam_auc_sd": float(np.std(values, ddof=1)),
            "exam_auc": {str(number): value for number, value in enumerate(values)},
        }
    return metrics
