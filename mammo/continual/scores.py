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
FACTS = (
    "image_id", "exam_id", "patient_id", "laterality", "view", "scanner", "software_version",
    "site", "acquired_on", "age_years", "density", "implant", "birads", "findings", "source",
)  # fmt: skip
SCORE_COLUMNS = (*FACTS, "part", "label", "pooled", "logit")
"""``part`` is ``holdout``, ``golden`` or ``out_of_fold`` (scored by a fold's network that was
trained without this patient); ``label`` is of the breast, 0 or 1; ``pooled`` is False where a
preferred view stands for this one (`mammo.preferred`); ``logit`` is of the view."""


def view_scores(views: pd.DataFrame, part: str | pd.Series, target: str) -> pd.DataFrame:
    """Return the rows of `SCORE_COLUMNS` for scored views of the index.

    ``views`` has the index's columns, ``logit`` and, where it was found before,
    ``pooled``.
    """
    rows = views.assign(part=part, label=target_values(views, target))
    if "pooled" not in rows:
        rows["pooled"] = suitable_rows(rows.to_dict("records"))
    rows["logit"] = rows["logit"].astype(np.float64)
    return rows[list(SCORE_COLUMNS)].reset_index(drop=True)


def write_scores(draft: Path, frames: list[pd.DataFrame]) -> None:
    """Write ``scores.parquet``, ordered by part and image."""
    rows = pd.concat(frames, ignore_index=True)
    rows = rows.sort_values(["part", "image_id"], kind="stable", ignore_index=True)
    rows.to_parquet(draft / SCORES, index=False)
