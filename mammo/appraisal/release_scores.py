"""What a release says of patients it was not trained on: kept with it, or scored anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from mammo.appraisal.scores import check_scores, read_scores
from mammo.continual.score import score_views
from mammo.continual.scores import SCORES, view_scores
from mammo.continual.split import known_parts, trained_patients
from mammo.data.index import join_outcomes, read_index
from mammo.errors import TooFewLabels
from mammo.prediction_log import PredictionLog
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings

NEW = "new"
"""The part of patients that a release has not met: they came after it."""


def read_release_scores(
    directory: Path,
    release: Release,
    settings: Settings,
    progress: Callable[[str, int, int], None] | None = None,
) -> pd.DataFrame:
    """Return checked scores: ``scores.parquet`` of the release, else `score_anew`."""
    kept = directory / SCORES
    if kept.is_file():
        return read_scores(kept)
    return score_anew(directory, release, settings, progress)


def score_anew(
    directory: Path,
    release: Release,
    settings: Settings,
    progress: Callable[[str, int, int], None] | None = None,
) -> pd.DataFrame:
    """Score every exam of the index whose patient the release was not trained on.

    Raises
    ------
    IndexMissing
        Nothing has been ingested here.
    TooFewLabels
        The release was trained on every patient of the index.
    """
    index = read_index(settings.index_path)
    outcomes = PredictionLog(settings.log_url).create().outcomes()
    rows = join_outcomes(index, outcomes)
    unseen = ~rows["patient_id"].isin(trained_patients(directory)) & (rows["shard_row"] >= 0)
    rows = rows[unseen].reset_index(drop=True)
    if rows.empty:
        raise TooFewLabels(
            f"release {release.id} was trained on every patient of the index: "
            "ingest exams of others, or name a file of scores (--scores)"
        )
    screener = Screener.load(directory, verify=False)
    advance = progress or (lambda stage, done, total: None)
    views = score_views(
        screener, rows, settings.shards_dir, lambda done, total: advance("scoring", done, total)
    )
    part = rows["patient_id"].map(known_parts(directory)).fillna(NEW)
    return check_scores(view_scores(views, part, release.target))
