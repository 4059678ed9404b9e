"""Score rows of the index with a release, through the service's own path.

The views come from shards (prepared once by `mammo.preprocess.prepare`), the
logits from `Screener.infer_views`, the breasts from `Screener.breast_logits`, of
the views that the service would pool (`mammo.preferred`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.data.index import FEATURE_COLUMNS, target_values
from mammo.data.shards import ShardReader
from mammo.exam_features import HEADER_NAMES, header_features
from mammo.exam_scores import require_finite
from mammo.geometry import Geometry
from mammo.networks import stack_views
from mammo.prediction_log import exam_frame
from mammo.preferred import suitable_rows
from mammo.preprocess import to_tensor
from mammo.screening import (
    EMBEDDING_SIZE,
    Screener,
    ViewInference,
    ViewScore,
    decide_breasts,
    exam_quality,
)

BATCH = 8
EMBEDDING_COLUMNS = [f"e_{i:02d}" for i in range(EMBEDDING_SIZE)]
Progress = Callable[[int, int], None]


def score_views(
    screener: Screener, index: pd.DataFrame, shards_dir: Path, progress: Progress | None = None
) -> pd.DataFrame:
    """Return ``index`` with what the release says of each row, one row a mammogram.

    Added are logit, pooled, breast_logit (of its breast, the same for all views
    of it) and e_00..e_31. ``index`` holds whole exams: which views are pooled,
    and what a breast scores, depends on the others.
    """
    found = infer_rows(screener, index, shards_dir, progress)
    scored = index.reset_index(drop=True)
    scored["logit"] = screener.view_logits(found)
    scored["pooled"] = suitable_rows(scored.to_dict("records"))
    scored["breast_logit"] = _breast_logits(screener, scored, found)
    return pd.concat([scored, pd.DataFrame(found.embeddings, columns=EMBEDDING_COLUMNS)], axis=1)


def infer_rows(
    screener: Screener,
    index: pd.DataFrame,
    shards_dir: Path,
    progress: Progress | None = None,
    *,
    features: bool = False,
    heat: bool = False,
) -> ViewInference:
    """Run the release over the prepared images of the rows, in their order.

    Raises ScoreNotFinite where its detector gives NaN or infinity: told as marks, they
    would be places without a finding.
    """
    reader = ShardReader(shards_dir)
    parts = []
    for start in range(0, len(index), BATCH):
        rows = index.iloc[start : start + BATCH]
        places = zip(rows["shard"], rows["shard_row"].astype(int), strict=True)
        pixels = np.stack([reader.row(shard, row) for shard, row in places])
        tensors = to_tensor(pixels, screener.release.preprocess)
        parts.append(screener.infer_views(tensors, features=features, heat=heat))
        if progress is not None:
            progress(min(start + BATCH, len(index)), len(index))
    if not parts:
        return ViewInference(np.empty(0, np.float32), np.empty((0, EMBEDDING_SIZE)), None)
    found = stack_views(parts)
    require_finite(screener.release.id, marks=found.marks)
    return found


def row_geometries(rows: pd.DataFrame) -> list[Geometry]:
    """Return where the prepared images of rows of the index lie in their originals."""
    return [Geometry.from_dict(json.loads(text)) for text in rows["geometry"]]


def _breast_logits(screener: Screener, scored: pd.DataFrame, found: ViewInference) -> np.ndarray:
    """Return the logit of each row's breast, (N,) float64."""
    result = np.full(len(scored), np.nan)
    sides = scored["laterality"].to_numpy(dtype=object)
    pooled = scored["pooled"].to_numpy(dtype=bool)
    for places in scored.groupby("exam_id", sort=False).indices.values():
        rows = np.asarray(places)
        of_exam = rows[pooled[rows]]
        logits = screener.breast_logits(list(sides[of_exam]), *found.of_breasts(of_exam))
        result[rows] = [logits.get(side, np.nan) for side in sides[rows]]
    return result


def score_exams(screener: Screener, views: pd.DataFrame, target: str) -> pd.DataFrame:
    """Aggregate `score_views` to exams: the schema of `exam_frame`, plus ``label``.

    ``label`` (Int8, nullable) is the exam's: positive when a breast is.
    """
    labels = target_values(views, target)
    rows = [_exam_row(screener, exam, labels) for _, exam in views.groupby("exam_id", sort=True)]
    frame = exam_frame(rows)
    frame["label"] = pd.array([row["label"] for row in rows], dtype="Int8")
    return frame


def score_breast_logits(views: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return one row a breast: exam_id, laterality, patient_id, logit, label.

    The logit is ``breast_logit`` where `score_views` gave it, else the mean over
    the pooled views.
    """
    labelled = views.assign(label=target_values(views, target))
    given = "breast_logit" in views
    breast = ["exam_id", "laterality"]
    # the label is the breast's, also where it was given to a view that is not pooled
    labelled["label"] = labelled.groupby(breast)["label"].transform("max")
    groups = labelled[labelled["pooled"]].groupby(breast, sort=True)
    return groups.agg(
        patient_id=("patient_id", "first"),
        scanner=("scanner", "first"),
        logit=("breast_logit", "first") if given else ("logit", "mean"),
        label=("label", "max"),
    ).reset_index()


def _exam_row(screener: Screener, exam: pd.DataFrame, labels: pd.Series) -> dict[str, Any]:
    first = exam.iloc[0]
    point = screener.release.operating_point(first["scanner"])
    pooled = exam[exam["pooled"]]
    logits = pooled.groupby("laterality")["breast_logit"].first()
    breasts = decide_breasts({str(side): float(one) for side, one in logits.items()}, point)
    worst = max(breasts, key=lambda breast: breast.logit)
    label = labels.loc[exam.index].max()
    embedding = pooled[EMBEDDING_COLUMNS].to_numpy(np.float32).mean(axis=0)
    return {
        **{name: first[name] for name in ("exam_id", "patient_id", "scanner", "site")},
        "software_version": first["software_version"],
        "acquired_on": first["acquired_on"],
        "logit": worst.logit,
        "probability": worst.probability,
        "recall": any(breast.recall for breast in breasts),
        "quality": "|".join(_quality(screener, exam)),
        "embedding": embedding.tobytes(),
        "features": {c[2:]: float(pooled[c].mean()) for c in FEATURE_COLUMNS}
        | header_features(pooled.filter(items=HEADER_NAMES).to_dict("records")),
        "label": None if pd.isna(label) else int(label),
    }


def _quality(screener: Screener, exam: pd.DataFrame) -> tuple[str, ...]:
    """Return the codes that the service would give to this exam."""
    columns = ("image_id", "laterality", "view", "logit", "quality", "pooled")
    views = [
        ViewScore(str(image), str(side), str(view), float(logit), _codes(quality), bool(pooled))
        for image, side, view, logit, quality, pooled in exam[list(columns)].to_numpy(dtype=object)
    ]
    return exam_quality(views, screener.release.knows(exam["scanner"].iloc[0]), False)


def _codes(text: str | None) -> tuple[str, ...]:
    return tuple(code for code in (text or "").split("|") if code)
