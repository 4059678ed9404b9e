"""What a release keeps of the mammograms that it was not trained on."""

from __future__ import annotations

import pandas as pd
import pytest

from mammo.continual.fit import TrainedRelease
from mammo.continual.scores import SCORE_COLUMNS, SCORES
from mammo.continual.split import known_parts
from mammo.data.index import read_index
from mammo.settings import Settings

pytestmark = pytest.mark.slow


def test_scores_are_of_every_mammogram_that_was_not_trained_on(
    installation: Settings, trained: TrainedRelease
) -> None:
    scores = pd.read_parquet(trained.directory / SCORES)
    parts = known_parts(trained.directory)
    index = read_index(installation.index_path)
    untouched = index[index["patient_id"].map(parts).isin(["holdout", "golden"])]
    assert tuple(scores.columns) == SCORE_COLUMNS
    assert set(scores["image_id"]) == set(untouched["image_id"]) and scores["image_id"].is_unique
    assert (scores["part"] == scores["patient_id"].map(parts)).all()
    told = index.set_index("image_id").loc[scores["image_id"], "cancer"]
    assert scores["label"].tolist() == told.tolist()


def test_the_reference_follows_from_the_scores(trained: TrainedRelease) -> None:
    """Mean over the pooled views of a breast, maximum over the breasts of an exam."""
    scores = pd.read_parquet(trained.directory / SCORES)
    pooled = scores[scores["pooled"]]
    exams = pooled.groupby(["exam_id", "laterality"])["logit"].mean().groupby("exam_id").max()
    reference = pd.read_parquet(trained.directory / "reference.parquet").set_index("exam_id")
    pd.testing.assert_series_equal(
        exams, reference["logit"].sort_index(), check_names=False, check_exact=False, atol=1e-6
    )
