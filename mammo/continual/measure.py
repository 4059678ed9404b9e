"""The numbers of a release, at exam level, with intervals that resample patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mammo.continual.score import score_breast_logits
from mammo.continual.split import Parts
from mammo.evaluation.calibration import brier, expected_calibration_error
from mammo.evaluation.metrics import (
    auc_interval,
    recall_rate_interval,
    sensitivity_interval,
    specificity_interval,
)
from mammo.preferred import suitable_rows


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


def out_of_fold_auc(parts: Parts, logits: np.ndarray, target: str) -> dict[str, Any]:
    """Return the AUC of the development patients, each scored by a fold that left it out."""
    views = parts.development.reset_index(drop=True).assign(logit=logits)
    views["pooled"] = suitable_rows(views.to_dict("records"))
    breasts = score_breast_logits(views, target)
    exams = breasts.groupby("exam_id").agg(
        patient_id=("patient_id", "first"), logit=("logit", "max"), label=("label", "max")
    )
    by_breast = auc_interval(breasts["label"].astype(int), breasts["logit"], breasts["patient_id"])
    by_exam = auc_interval(exams["label"].astype(int), exams["logit"], exams["patient_id"])
    return {"breast": by_breast.to_dict(), "exam": by_exam.to_dict()}
