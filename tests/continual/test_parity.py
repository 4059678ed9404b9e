"""Training and service see the same tensor, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mammo.continual.fit import TrainedRelease
from mammo.continual.score import score_exams, score_views
from mammo.data.dataset import ViewDataset
from mammo.data.index import read_index
from mammo.exam_features import HEADER_NAMES
from mammo.screening import Screener, ViewInference
from mammo.settings import Settings

pytestmark = pytest.mark.slow


class Recording(Screener):
    """A screener that keeps the tensors it was asked to infer."""

    seen: np.ndarray

    def infer_views(self, tensors: np.ndarray, **asked: Any) -> ViewInference:
        self.seen = tensors
        return super().infer_views(tensors, **asked)


def test_training_and_service_tensors_are_equal(
    installation: Settings, trained: TrainedRelease, exam_files: list[tuple[str, bytes]]
) -> None:
    screener = Recording.load(trained.directory)
    key = installation.pseudonym_key()
    report = screener.score_files(exam_files, key=key, site=installation.site)

    index = read_index(installation.index_path).set_index("image_id")
    rows = index.loc[[view.image_id for view in report.views]].reset_index()
    config = trained.release.preprocess
    dataset = ViewDataset(rows, installation.shards_dir, config, target="cancer")
    trained_on = np.stack([dataset[item][0].numpy() for item in range(len(dataset))])

    assert trained_on.dtype == screener.seen.dtype == np.float32
    assert np.array_equal(trained_on, screener.seen)


def test_evaluation_and_service_scores_are_equal(
    installation: Settings, trained: TrainedRelease, exam_files: list[tuple[str, bytes]]
) -> None:
    screener = Screener.load(trained.directory)
    key = installation.pseudonym_key()
    report = screener.score_files(exam_files, key=key, site=installation.site)

    index = read_index(installation.index_path)
    rows = index[index["exam_id"] == report.exam_id]
    views = score_views(screener, rows, installation.shards_dir)
    exam = score_exams(screener, views, "cancer").iloc[0]

    assert exam["logit"] == pytest.approx(report.logit, abs=1e-5)
    assert exam["probability"] == pytest.approx(report.probability, abs=1e-6)
    assert bool(exam["recall"]) is report.recall
    assert exam["scanner"] == report.scanner.key
    for name, value in report.features.items():
        assert exam[f"f_{name}"] == pytest.approx(value, rel=1e-3), name  # kept to 4 digits
    for name in HEADER_NAMES:  # ranked among values that tie: equal to the last bit
        assert exam[f"f_{name}"] == report.features[name], name
    embedding = exam[[f"e_{i:02d}" for i in range(32)]].to_numpy(np.float32)
    np.testing.assert_allclose(embedding, report.embedding, rtol=1e-4, atol=1e-4)
