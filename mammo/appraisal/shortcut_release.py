"""The shortcut study of a release, on images of patients that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.appraisal.explain_check import relevant_findings
from mammo.appraisal.shortcut_readings import Views, find_breasts
from mammo.appraisal.shortcuts import Score, ShortcutStudy, study_shortcuts
from mammo.geometry import Geometry
from mammo.preprocess import to_tensor
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings

BATCH = 8
MAX_IMAGES = 800
"""Images studied at most, whole patients drawn by a fixed seed: each is scored nine times."""


def check_release_shortcuts(
    settings: Settings,
    directory: Path,
    *,
    max_images: int = MAX_IMAGES,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> tuple[Release, ShortcutStudy]:
    """Study a release on labelled images of the index, none of a patient it was trained on.

    Raises TooFewLabels, IndexMissing, ReleaseNotFound, DigestMismatch.
    """
    screener = Screener.load(directory)
    release = screener.release
    rows = draw_patients(untrained_rows(settings, directory, release.target), max_images, seed)
    views = read_views(rows, settings.shards_dir, release.target)
    score = release_score(screener)
    return release, study_shortcuts(views, score, seed=seed, progress=progress)


def untrained_rows(settings: Settings, directory: Path, target: str) -> pd.DataFrame:
    """Return labelled rows of the index of patients that the release was not trained on."""
    from mammo.continual.fit import labelled_index
    from mammo.continual.split import trained_patients
    from mammo.data.index import target_values

    index = labelled_index(settings)
    known = target_values(index, target).notna()
    unseen = ~index["patient_id"].isin(trained_patients(directory))
    return index[known & unseen].sort_values("image_id", ignore_index=True)


def draw_patients(rows: pd.DataFrame, max_images: int, seed: int) -> pd.DataFrame:
    """Return at most about ``max_images`` rows: whole patients, drawn by the seed."""
    if len(rows) <= max_images:
        return rows
    patients = rows["patient_id"].unique()
    order = np.random.default_rng(seed).permutation(np.sort(patients))
    images = rows["patient_id"].value_counts().reindex(order).cumsum()
    return rows[rows["patient_id"].isin(images.index[images <= max_images])].reset_index(drop=True)


def read_views(rows: pd.DataFrame, shards_dir: Path, target: str) -> Views:
    """Return the prepared images of labelled rows, with the lesions' boxes in their pixels."""
    from mammo.data.index import target_values
    from mammo.data.shards import ShardReader

    reader = ShardReader(shards_dir)
    places = zip(rows["shard"], rows["shard_row"].astype(int), strict=True)
    pixels = np.stack([reader.row(shard, row) for shard, row in places])
    labels = target_values(rows, target).astype(int).to_numpy().astype(bool)
    boxes = [
        prepared_boxes(geometry, findings, target) if positive else []
        for geometry, findings, positive in zip(
            rows["geometry"], rows["findings"], labels, strict=True
        )
    ]
    shares = rows["f_breast_fraction"].to_numpy(dtype=float, na_value=np.nan)
    breast = find_breasts(pixels, shares)
    return Views(pixels, breast, rows.reset_index(drop=True), labels, boxes)


def prepared_boxes(
    geometry: str, findings: str | None, target: str
) -> list[tuple[float, float, float, float]]:
    """Return the boxes of the findings behind the target, in prepared pixels."""
    place = Geometry.from_dict(json.loads(geometry))
    return [
        (*place.to_prepared(one.x_min, one.y_min), *place.to_prepared(one.x_max, one.y_max))
        for one in relevant_findings(findings, target)
    ]


def release_score(screener: Screener) -> Score:
    """Return the release's logits of prepared pixels, as the service would give them.

    Those of a breast of each view alone, a detector in the score included.
    """
    config = screener.release.preprocess

    def score(pixels: NDArray[np.uint16]) -> NDArray[np.float64]:
        parts: list[NDArray[Any]] = []
        for start in range(0, len(pixels), BATCH):
            found = screener.infer_views(to_tensor(pixels[start : start + BATCH], config))
            parts.append(screener.view_logits(found))
        return np.concatenate(parts).astype(np.float64)

    return score
