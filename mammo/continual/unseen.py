"""What a joint score may be fitted on: training patients that neither source has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.continual.detector_patients import learnt_patients
from mammo.continual.fit_detector import placed_index
from mammo.continual.score import row_geometries
from mammo.continual.scores import OUT_OF_FOLD, SCORES
from mammo.continual.split import Parts
from mammo.detection.boxes import findings_of
from mammo.detection.carried import LEAST_SCORE, Marks, best_scores
from mammo.detection.detector import DetectorManifest
from mammo.detection.matching import CENTRE, ImageDetections, match_images
from mammo.errors import TooFewLabels
from mammo.exam import parse_findings
from mammo.preferred import suitable_rows
from mammo.settings import Settings

FALSE_MARKS = 0.5
"""False marks an image that the findings may have, on the patients that set the score."""
LEAST_PATIENTS = 5
"""With and without a cancer, each, below which no weights are fitted."""


@dataclass(frozen=True, eq=False)
class Unseen:
    """Rows of the index of training patients whose marks are by a detector that had not seen them.

    ``breasts`` are their labelled breasts: exam_id, laterality, patient_id, label, and
    ``breast_logit`` as the classifier's folds said it out of fold.
    """

    rows: pd.DataFrame
    breasts: pd.DataFrame


def find_unseen(parent: Path, parts: Parts, facts: DetectorManifest, folds: int) -> Unseen:
    """Return what the joint score may be fitted on; raises TooFewLabels."""
    learnt = set() if folds else learnt_patients(facts, parts.train)
    rows = parts.train[~parts.train["patient_id"].isin(learnt)].reset_index(drop=True)
    path = parent / SCORES
    scores = pd.read_parquet(path) if path.is_file() else pd.DataFrame({"part": []})
    scores = scores[scores["part"] == OUT_OF_FOLD]
    if scores.empty:
        raise TooFewLabels(
            f"release {parent.name} has no out-of-fold scores to fit a joint score on: join the "
            "detector to one that was trained from the start with folds of at least 2"
        )
    scores = scores[scores["pooled"] & scores["image_id"].isin(rows["image_id"])]
    breasts = scores.groupby(["exam_id", "laterality"], as_index=False, sort=True).agg(
        patient_id=("patient_id", "first"),
        label=("label", "max"),
        breast_logit=("breast_logit", "first"),
    )
    breasts = breasts.dropna(subset=["label", "breast_logit"])
    ill = breasts.groupby("patient_id")["label"].max()
    if min(int(ill.eq(1).sum()), int(ill.eq(0).sum())) < LEAST_PATIENTS:
        raise TooFewLabels(
            f"{len(ill)} training patients of release {parent.name} were not trained on by the "
            f"detector, {int(ill.eq(1).sum())} of them with the target; {LEAST_PATIENTS} with and "
            "as many without are needed to fit a joint score: `--folds 2` marks them all, each by "
            "a detector trained without her"
        )
    return Unseen(rows, breasts)


def best_of_breasts(unseen: Unseen, marks: Marks) -> np.ndarray:
    """Return the best score of each breast's pooled views, (B,), in the order of ``breasts``."""
    rows = unseen.rows[["exam_id", "laterality"]].assign(best=best_scores(marks))
    pooled = np.asarray(suitable_rows(unseen.rows.to_dict("records")), dtype=bool)
    best = rows[pooled].groupby(["exam_id", "laterality"])["best"].max()
    keys = list(zip(unseen.breasts["exam_id"], unseen.breasts["laterality"], strict=True))
    return best.loc[keys].to_numpy(np.float64)


def least_score(settings: Settings, rows: pd.DataFrame, marks: Marks) -> float:
    """Return the lowest score at which an image has at most `FALSE_MARKS` false marks."""
    placed = rows["image_id"].isin(placed_index(settings)["image_id"]).to_numpy()
    images = _detections(rows[placed], marks[placed])
    matches = match_images(images, CENTRE)
    false = matches.score[~matches.hit & ~matches.again]
    allowed = int(FALSE_MARKS * len(images))
    if allowed >= len(false):
        return LEAST_SCORE
    return float(np.nextafter(np.float32(false[allowed]), np.float32(1)))


def _detections(rows: pd.DataFrame, marks: Marks) -> Sequence[ImageDetections]:
    return [
        ImageDetections(
            str(image), str(patient), parse_findings(text),
            findings_of(one[one[:, 4] > 0], geometry),
        )
        for image, patient, text, geometry, one in zip(
            rows["image_id"], rows["patient_id"], rows["findings"], row_geometries(rows), marks,
            strict=True,
        )
    ]  # fmt: skip
