"""What the strategies do to a network: held ones stay near their parent; a release keeps how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mammo.continual.again import train_again
from mammo.continual.derive import derive_release
from mammo.continual.fit import TrainedRelease, train_release
from mammo.continual.lesson import plan_lesson
from mammo.continual.network import fit_network, view_logits
from mammo.continual.selection import SELECTION, read_selection
from mammo.continual.start import start_network
from mammo.continual.strategy import hold_elastic
from mammo.data.dataset import ViewDataset
from mammo.settings import Settings
from tests.continual.synthetic import config, write_store

pytestmark = pytest.mark.slow


def moved(folder: Path, index: pd.DataFrame, **changes: Any) -> tuple[float, float]:
    """Return how far weights that matter, and logits of the old images, went from their start."""
    settled = config(epochs=2, **changes)
    net, _ = start_network(settled)
    old = index[index["scanner"] == "a"]
    images = [image for image, _ in ViewDataset(old, folder, settled.preprocess, target="cancer")]
    elastic = hold_elastic(net, images, replace(settled, elastic_weight=1.0))
    before = view_logits(net, old, folder, settled)
    lesson = plan_lesson(settled, index, parent=folder, focus="b")
    history = fit_network(net, lesson, folder, settled)
    held = settled.retraining in ("distill", "ewc")
    assert all(("train_anchor_loss" in epoch) == held for epoch in history)
    gone = elastic.loss(net, (), torch.zeros(0), cached=False).item()
    return gone, float(abs(view_logits(net, old, folder, settled) - before).mean())


def test_anchors_hold(tmp_path: Path) -> None:
    index = write_store(tmp_path)
    weights, logits = {}, {}
    for name in ("fine_tune", "ewc", "replay", "distill"):
        weights[name], logits[name] = moved(
            tmp_path, index, retraining=name, elastic_weight=1e6,
            distill_weight=20.0,
        )  # fmt: skip
    assert weights["ewc"] < 0.5 * weights["fine_tune"]
    assert logits["distill"] < 0.5 * logits["replay"]


@pytest.fixture(scope="module")
def distilled(installation: Settings, trained: TrainedRelease) -> TrainedRelease:
    """A child that replays a few images under the eye of its parent."""
    return train_release(
        installation, config="smoke", parent=trained.directory, focus="Phantom Borealis/Senta 500",
        overrides=["retraining=distill", "replay_images=12"],
    )  # fmt: skip


def test_a_release_keeps_what_was_selected(
    distilled: TrainedRelease, trained: TrainedRelease
) -> None:
    table = read_selection(distilled.directory)
    assert SELECTION in distilled.release.files
    assert table["part"].value_counts()["replay"] == 12
    images = pd.read_parquet(distilled.directory / "images.parquet")
    train = set(images.loc[images["part"] == "train", "sha256"])
    assert set(table["sha256"]) < train
    assert "retrained by distill with 12 of the images replayed" in distilled.release.trained_on
    assert set(read_selection(trained.directory)["part"]) == {"focus"}


def test_a_release_is_made_again(installation: Settings, distilled: TrainedRelease) -> None:
    """Also by way of a recalibrated child, whose weights are its parent's."""
    points = distilled.release.operating_points
    _, child = derive_release(
        distilled.directory, installation.releases_dir, operating_points=points, metrics={}
    )
    again = train_again(installation, child)
    assert again.release.parent == distilled.release.parent
    assert again.release.id != distilled.release.id
    name = "weights.safetensors"
    assert again.release.files[name] == distilled.release.files[name]
    assert again.release.files[SELECTION] == distilled.release.files[SELECTION]


def test_from_scratch_keeps_the_parts_and_forgets_the_weights(
    installation: Settings, trained: TrainedRelease
) -> None:
    made = train_release(
        installation, config="smoke", parent=trained.directory, overrides=["retraining=scratch"]
    )
    assert (made.release.kind, made.release.parent) == ("trained", None)
    patients = "patients.parquet"
    assert made.release.files[patients] == trained.release.files[patients]
