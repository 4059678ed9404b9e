"""``scores.parquet`` of a release: what its network says of mammograms it was not trained on.

One row a mammogram and part. The logits are raw, of the view: evaluation
aggregates and calibrates them as the service does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammo.data.index import target_values
from mammo.preferred import suitable_rows

SCORES = "scores.parquet"
OUT_OF_FOLD = "out_of_fold"
BREAST = ["exam_id", "laterality"]
FACTS = (
    "image_id", "exam_id", "patient_id", "laterality", "view", "scanner", "software_version",
    "site", "acquired_on", "age_years", "density", "implant", "birads", "findings", "source",
)  # fmt: skip
SCORE_COLUMNS = (*FACTS, "part", "label", "pooled", "logit", "breast_logit")
"""``part`` is ``holdout``, ``golden`` or ``out_of_fold`` (scored by a fold's network that was
trained without this patient); ``label`` is of the breast, 0 or 1; ``pooled`` is False where a
preferred view stands for this one (`mammo.preferred`); ``logit`` is of the view, and
``breast_logit`` of its breast by the release's own aggregation, the same for all its views."""


def view_scores(views: pd.DataFrame, part: str | pd.Series, target: str) -> pd.DataFrame:
    """Return the rows of `SCORE_COLUMNS` for views scored by `mammo.continual.score`."""
    rows = views.assign(part=part, label=target_values(views, target))
    rows["logit"] = rows["logit"].astype(np.float64)
    return rows[list(SCORE_COLUMNS)].reset_index(drop=True)


def pooled_views(rows: pd.DataFrame, logits: np.ndarray, aggregation: str) -> pd.DataFrame:
    """Return rows of the index with ``logit``, ``pooled`` and ``breast_logit``.

    For logits (N,) of networks that are no release; a head, which they do not
    have, is stood in for by the mean.
    """
    views = rows.assign(logit=logits)
    views["pooled"] = suitable_rows(views.to_dict("records"))
    groups = views[views["pooled"]].groupby(BREAST)["logit"]
    breasts = (groups.max() if aggregation == "max" else groups.mean()).rename("breast_logit")
    return views.join(breasts, on=BREAST)


def write_scores(draft: Path, frames: list[pd.DataFrame]) -> None:
    """Write ``scores.parquet``, ordered by part and image."""
    rows = pd.concat(frames, ignore_index=True)
    rows = rows.sort_values(["part", "image_id"], kind="stable", ignore_index=True)
    rows.to_parquet(draft / SCORES, index=False)
