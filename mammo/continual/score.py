"""Score rows of the index with a release, through the service's own path.

The views come from shards (prepared once by `mammo.preprocess.prepare`), the
logits from `Screener.infer`, the aggregation from `screening.score_breasts`, of
the views that the service would pool (`mammo.preferred`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.data.index import FEATURE_COLUMNS, target_values
from mammo.data.shards import ShardReader
from mammo.prediction_log import exam_frame
from mammo.preferred import suitable_rows
from mammo.preprocess import to_tensor
from mammo.screening import EMBEDDING_SIZE, Screener, ViewScore, exam_quality, score_breasts

BATCH = 8
EMBEDDING_COLUMNS = [f"e_{i:02d}" for i in range(EMBEDDING_SIZE)]
Progress = Callable[[int, int], None]


def score_views(
    screener: Screener, index: pd.DataFrame, shards_dir: Path, progress: Progress | None = None
) -> pd.DataFrame:
    """Return ``index`` with the columns logit, pooled and e_00..e_31, one row a mammogram.

    ``index`` holds whole exams: which views are pooled depends on the others.
    """
    reader = ShardReader(shards_dir)
    logits, embeddings = [], []
    for start in range(0, len(index), BATCH):
        rows = index.iloc[start : start + BATCH]
        places = zip(rows["shard"], rows["shard_row"].astype(int), strict=True)
        pixels = np.stack([reader.row(shard, row) for shard, row in places])
        logit, embedding = screener.infer(to_tensor(pixels, screener.release.preprocess))
        logits.append(logit)
        embeddings.append(embedding)
        if progress is not None:
            progress(min(start + BATCH, len(index)), len(index))
    scored = index.reset_index(drop=True)
    scored["logit"] = np.concatenate(logits) if logits else np.empty(0, np.float32)
    scored["pooled"] = suitable_rows(scored.to_dict("records"))
    stacked = np.concatenate(embeddings) if embeddings else np.empty((0, EMBEDDING_SIZE))
    return pd.concat([scored, pd.DataFrame(stacked, columns=EMBEDDING_COLUMNS)], axis=1)


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
    """Return one row a breast: exam_id, laterality, patient_id, logit (mean over views), label."""
    labelled = views.assign(label=target_values(views, target))
    breast = ["exam_id", "laterality"]
    # the label is the breast's, also where it was given to a view that is not pooled
    labelled["label"] = labelled.groupby(breast)["label"].transform("max")
    groups = labelled[labelled["pooled"]].groupby(breast, sort=True)
    return groups.agg(
        patient_id=("patient_id", "first"),
        scanner=("scanner", "first"),
        logit=("logit", "mean"),
        label=("label", "max"),
    ).reset_index()


def _exam_row(screener: Screener, exam: pd.DataFrame, labels: pd.Series) -> dict[str, Any]:
    first = exam.iloc[0]
    point = screener.release.operating_point(first["scanner"])
    pooled = exam[exam["pooled"]]
    breasts = score_breasts(zip(pooled["laterality"], pooled["logit"], strict=True), point)
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
        "features": {c[2:]: float(pooled[c].mean()) for c in FEATURE_COLUMNS},
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
