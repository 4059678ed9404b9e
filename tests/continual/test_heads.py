"""A release with a multi-view head: the same breast in training, evaluation and service."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mammo.breast_logits import aggregate_logits, head_feed, pad_views
from mammo.continual.derive import derive_release
from mammo.continual.fit import TrainedRelease, train_release
from mammo.continual.score import score_exams, score_views
from mammo.continual.scores import SCORES
from mammo.data.index import read_index
from mammo.errors import DigestMismatch
from mammo.export.head import export_head
from mammo.models.exam_head import ExamHead
from mammo.release import HEAD, Release
from mammo.screening import Screener
from mammo.settings import Settings

SEVERAL = ["aggregation=exam_head", "head_epochs=20", "watch_fraction=0.3"]


def test_views_become_breasts_by_mean_or_maximum() -> None:
    pairs = [("R", 1.0), ("L", 3.0), ("R", 2.0)]
    assert aggregate_logits(pairs) == {"L": 3.0, "R": 1.5}
    assert aggregate_logits(pairs, "max") == {"L": 3.0, "R": 2.0}


def test_a_head_is_fed_its_breast_the_other_and_what_is_missing() -> None:
    features = np.arange(8, dtype=np.float32).reshape(4, 2)
    sides, feed = head_feed(["R", "L", "R", "U"], features)
    assert sides == ["L", "R", "U"]
    assert feed["own_mask"].tolist() == [[1, 0], [1, 1], [1, 0]]
    assert feed["own"][1].tolist() == [[0, 1], [4, 5]]  # both views of the right breast
    assert feed["other_mask"].tolist() == [[1, 1], [1, 0], [0, 0]]  # nothing opposite to unknown
    assert feed["other"][0].tolist() == feed["own"][1].tolist()
    assert {array.dtype for array in feed.values()} == {np.dtype(np.float32)}
    assert pad_views([features[:0]])[1].tolist() == [[0.0]]


@pytest.mark.parametrize("mode", ["breast", "exam"])
def test_the_exported_head_gives_the_same_logits(tmp_path: Path, mode: str) -> None:
    import onnxruntime

    torch.manual_seed(0)
    head = ExamHead(6, mode)  # type: ignore[arg-type]
    torch.nn.init.normal_(head.judge[-1].weight)  # at the start it would be plain averaging
    export_head(head, tmp_path / HEAD)
    session = onnxruntime.InferenceSession(tmp_path / HEAD, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    for sides in (["L", "L", "R"], ["R"], ["L", "R", "R", "R", "U"]):
        _, feed = head_feed(sides, rng.normal(size=(len(sides), 6)).astype(np.float32))
        with torch.inference_mode():
            expected = head(**{name: torch.from_numpy(one) for name, one in feed.items()})
        found = session.run(["logit"], feed)[0]
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def headed(installation: Settings) -> TrainedRelease:
    """A release whose breasts are scored by a head."""
    return train_release(installation, config="smoke", overrides=SEVERAL)


@pytest.mark.slow
def test_service_and_evaluation_agree_with_a_head(
    installation: Settings, headed: TrainedRelease, exam_files: list[tuple[str, bytes]]
) -> None:
    screener = Screener.load(headed.directory)
    report = screener.score_files(
        exam_files, key=installation.pseudonym_key(), site=installation.site
    )
    index = read_index(installation.index_path)
    views = score_views(
        screener, index[index["exam_id"] == report.exam_id], installation.shards_dir
    )
    exam = score_exams(screener, views, "cancer").iloc[0]
    assert exam["logit"] == pytest.approx(report.logit, abs=1e-5)
    assert bool(exam["recall"]) is report.recall
    of_breast = {breast.laterality: breast.logit for breast in report.breasts}
    for side, logit in zip(views["laterality"], views["breast_logit"], strict=True):
        assert logit == pytest.approx(of_breast[side], abs=1e-5)


@pytest.mark.slow
def test_a_release_with_a_head_states_it_and_checks_it(
    headed: TrainedRelease, tmp_path: Path
) -> None:
    told = headed.metrics["head"]
    assert told["loss_kept"] <= told["loss_averaging"] and told["watched"] > 0
    release = Release.read(headed.directory, verify=True)
    assert release.aggregation == "exam_head" and HEAD in release.files
    scores = pd.read_parquet(headed.directory / SCORES)
    of_breast = scores.groupby(["exam_id", "laterality"])["breast_logit"].nunique()
    assert (of_breast == 1).all()
    child, directory = derive_release(
        headed.directory, tmp_path, operating_points=release.operating_points, metrics={}
    )
    assert child.aggregation == "exam_head"
    assert (directory / HEAD).read_bytes() == (headed.directory / HEAD).read_bytes()
    (directory / HEAD).write_bytes(b"another")
    with pytest.raises(DigestMismatch, match=r"head\.onnx of release"):
        Screener.load(directory)


@pytest.mark.slow
def test_fine_tuning_a_release_with_a_head_gives_it_a_new_one(
    installation: Settings, headed: TrainedRelease
) -> None:
    child = train_release(installation, config="smoke", overrides=SEVERAL, parent=headed.directory)
    assert child.release.aggregation == "exam_head" and child.release.parent == headed.release.id
    assert (child.directory / HEAD).read_bytes() != (headed.directory / HEAD).read_bytes()
    Screener.load(child.directory)
