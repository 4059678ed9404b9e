"""Which views count: for the breast's label, the out-of-fold estimate and what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo.continual.measure import out_of_fold_auc
from mammo.continual.score import score_breast_logits
from mammo.continual.scores import pooled_views
from mammo.screening import ViewScore, exam_quality


def views(patients: int, **changes: Any) -> pd.DataFrame:
    """Rows of the index, two views of one breast a patient; every third has a cancer."""
    rows = [
        {
            "exam_id": f"E-{patient}", "patient_id": f"P-{patient}", "laterality": "L",
            "view": view, "quality": "", "acquired_on": None, "rows": 10, "columns": 10,
            "image_id": f"I-{patient}-{view}", "scanner": "A", "cancer": int(patient % 3 == 0),
            "logit": patient % 3 - 1.0,
        }
        | changes
        for patient in range(patients)
        for view in ("CC", "MLO")
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"cancer": "Int8"})


def test_the_out_of_fold_estimate_pools_as_the_service_does() -> None:
    index = views(30).drop(columns="logit")
    spot = index.assign(quality="SPOT_COMPRESSION", image_id=index["image_id"] + "-spot")
    rows = pd.concat([index, spot], ignore_index=True)
    cancer = rows["cancer"].to_numpy(float)
    # the spot views would turn every breast's score round
    logits = np.where(rows["quality"] == "", 1.0, -9.0) * (2 * cancer - 1)
    views_of = pooled_views(rows, logits, "mean")
    assert out_of_fold_auc(views_of, "cancer")["breast"]["value"] == 1.0


def test_a_label_counts_where_it_was_given_to_a_view_that_is_not_pooled() -> None:
    frame = views(1, cancer=0).assign(pooled=[True, False], cancer=pd.array([0, 1], "Int8"))
    assert score_breast_logits(frame, "cancer")["label"].tolist() == [1]


@pytest.mark.parametrize(
    ("quality", "pooled", "missing"),
    [((), True, False), (("SPOT_COMPRESSION",), False, True), (("SPOT_COMPRESSION",), True, True)],
)
def test_a_view_of_a_part_does_not_complete_an_exam(
    quality: tuple[str, ...], pooled: bool, missing: bool
) -> None:
    others = [("L", "MLO"), ("R", "CC"), ("R", "MLO")]
    scores = [ViewScore("I", side, view, 0.0, ()) for side, view in others]
    scores.append(ViewScore("I-4", "L", "CC", 0.0, quality, pooled))
    assert ("MISSING_VIEW" in exam_quality(scores, True, False)) is missing
