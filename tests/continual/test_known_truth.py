"""A sound pipeline comes near the ideal observer, one with a planted fault does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mammo.continual.known_truth as known_truth
from mammo.continual.known_truth import (
    FieldStore,
    config_for,
    is_sound,
    judge,
    score_graph,
    train_and_score,
    write_fields,
)
from mammo.data.index import INDEX_SCHEMA
from mammo.data.shards import ShardReader
from mammo.evaluation.known_truth import LesionTask, efficiency
from mammo.export.onnx import export_onnx
from mammo.models.breast_net import build_view_net
from mammo.preprocess import to_tensor

TASK = LesionTask(side_px=32, margin_px=6, detectability=5.0)
CONFIG = config_for(
    TASK, epochs=4, batch_size=32, precision="bf16-mixed", channels_last=True, seed=7
)
Stores = tuple[FieldStore, FieldStore]
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="session")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """Stores to train on and to test on."""
    home = tmp_path_factory.mktemp("fields")
    return (
        write_fields(TASK, 1280, home / "train", seed=1),
        write_fields(TASK, 1000, home / "test", seed=2),
    )


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def scores(fields: Stores, work: Path) -> pd.Series:
    """Logits of the test store from a graph that was trained soundly."""
    train, test = fields
    return train_and_score(CONFIG, train.index, train.shards_dir, test, work)


def judged(test: FieldStore, scores: pd.Series) -> dict[str, Any]:
    return judge(test, scores, resamples=300)


@pytest.mark.slow
def test_a_sound_pipeline_comes_near_the_ideal_observer(fields: Stores, scores: pd.Series) -> None:
    found = judged(fields[1], scores)
    assert is_sound(found), f"efficiency {found['efficiency']}"
    # by more than chance none is better than the best there is
    assert found["auc"].value < found["ideal_auc"].value
    assert found["efficiency"].n_patients == 1000


@pytest.mark.slow
def test_a_seed_repeats_a_fit_with_its_first_weights(fields: Stores, tmp_path: Path) -> None:
    train, test = fields
    few = replace(CONFIG, epochs=1)
    first, again, other = (
        train_and_score(config, train.index.head(64), train.shards_dir, test, tmp_path)
        for config in (few, few, replace(few, seed=8))
    )
    assert first.equals(again) and not first.equals(other)


def labels_permuted(index: pd.DataFrame) -> pd.DataFrame:
    mixed = np.random.default_rng(0).permutation(index["cancer"].to_numpy())
    return index.assign(cancer=pd.array(mixed, "Int8"))


def rows_shifted(index: pd.DataFrame) -> pd.DataFrame:
    """One off within each shard, as by a miscounted header."""
    size = index.groupby("shard")["shard"].transform("size")
    return index.assign(shard_row=(index["shard_row"] + 1) % size)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [labels_permuted, rows_shifted])
def test_a_fault_in_what_is_trained_on_is_found(fields: Stores, tmp_path: Path, fault: Any) -> None:
    train, test = fields
    broken = train_and_score(CONFIG, fault(train.index), train.shards_dir, test, tmp_path)
    found = judged(test, broken)
    assert not is_sound(found)
    assert found["efficiency"].high < 0.2


def inverted(pixels: np.ndarray, config: Any) -> np.ndarray:
    return 1 - to_tensor(pixels, config)


def of_twelve_bits(pixels: np.ndarray, config: Any) -> np.ndarray:
    return to_tensor(pixels >> 4, config)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [inverted, of_twelve_bits])
def test_another_tensor_in_service_is_found(
    fields: Stores, scores: pd.Series, work: Path, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_truth, "to_tensor", fault)
    test = fields[1]
    served = score_graph(work / "model.onnx", test.index, test.shards_dir, CONFIG.preprocess)
    assert not is_sound(judged(test, served))


@pytest.mark.slow
def test_a_turned_sign_shifted_rows_and_another_graph_are_found(
    fields: Stores, scores: pd.Series, work: Path, tmp_path: Path
) -> None:
    test = fields[1]
    assert judged(test, -scores)["efficiency"].high < 0
    of_next = score_graph(
        work / "model.onnx", rows_shifted(test.index), test.shards_dir, CONFIG.preprocess
    )
    assert not is_sound(judged(test, of_next))
    net, _ = build_view_net("baseline_cnn", pretrained=False)
    export_onnx(net, tmp_path / "model.onnx", height=32, width=32, output="logit")
    other = score_graph(tmp_path / "model.onnx", test.index, test.shards_dir, CONFIG.preprocess)
    assert not is_sound(judged(test, other))


def test_the_store_is_one_of_prepared_mammograms(fields: Stores) -> None:
    train, test = fields
    index, truth = train.index, train.truth
    assert list(index.columns) == INDEX_SCHEMA.names
    assert index["patient_id"].is_unique
    assert not set(index["patient_id"]) & set(test.index["patient_id"])
    assert truth.loc[index["image_id"], "label"].tolist() == index["cancer"].tolist()
    assert 0.45 < index["cancer"].iloc[:200].mean() < 0.55  # the first ones are a fair share
    assert (index["findings"] != "[]").tolist() == (index["cancer"] == 1).tolist()
    place = index.iloc[7]
    pixels = ShardReader(train.shards_dir).row(place["shard"], place["shard_row"])
    drawn = TASK.draw(known_truth.SHARD_IMAGES, (1, 0)).images[7]
    assert np.abs(pixels / 65535 - drawn).max() < 1 / 65535


def test_a_smaller_store_is_the_beginning_of_a_larger(fields: Stores, tmp_path: Path) -> None:
    small = write_fields(TASK, 30, tmp_path, seed=1)
    columns = ["image_id", "sha256", "cancer", "findings"]
    larger = fields[0].index[columns].head(30)
    pd.testing.assert_frame_equal(small.index[columns], larger)
    assert write_fields(TASK, 999, tmp_path, seed=5).truth.equals(small.truth)  # there already


def test_scores_of_other_images_are_refused(fields: Stores) -> None:
    with pytest.raises(ValueError, match="2 scores are not those of 1000 images"):
        judge(fields[1], pd.Series([0.1, 0.2], index=["a", "b"]))


def test_the_truth_read_from_the_store_is_that_of_the_drawing(fields: Stores) -> None:
    truth = fields[1].truth
    found = judged(fields[1], truth["ideal"].sample(frac=1, random_state=0))
    assert found["efficiency"].value == efficiency(0.9, 0.9) == 1.0
