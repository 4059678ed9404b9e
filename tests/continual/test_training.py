"""What a training does with its settings: seeds, devices, early stopping, and what it refuses."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mammo.continual.enough import require_enough
from mammo.continual.fit import settle_config, train_release
from mammo.continual.folds import cross_validate, fold_assignments
from mammo.continual.network import fit_network, view_logits
from mammo.continual.spent import read_spent
from mammo.continual.split import Parts
from mammo.continual.start import start_network
from mammo.data.version import current_version
from mammo.errors import MammoError, SourceInvalid, TooFewLabels, VersionUnknown
from mammo.settings import Settings
from tests.continual.killed_fit import train_in_process
from tests.continual.synthetic import config, write_store

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    folder = tmp_path_factory.mktemp("store")
    return write_store(folder), folder


def fit(store: tuple[pd.DataFrame, Path], **changes: Any) -> tuple[Weights, list[dict[str, float]]]:
    settled = config(**changes)
    net, _ = start_network(settled)
    history = fit_network(net, *store, settled)
    return {name: value.clone() for name, value in net.state_dict().items()}, history


def same(one: Weights, other: Weights, tolerance: float = 0.0) -> bool:
    return all(torch.allclose(one[name], other[name], rtol=0, atol=tolerance) for name in one)


@pytest.mark.slow
def test_a_seed_repeats_whatever_the_number_of_workers(store: tuple[pd.DataFrame, Path]) -> None:
    first, _ = fit(store, augment="light", epochs=2)
    assert same(first, fit(store, augment="light", epochs=2, workers=2)[0])
    assert not same(first, fit(store, augment="light", epochs=2, seed=8)[0])


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(store: tuple[pd.DataFrame, Path]) -> None:
    """Two processes with 4 images each step as one with 8: their gradients are averaged."""
    exact = {"dropout": 0.0, "ema_decay": 0.0, "augment": "light", "pretrained": False,
             "architecture": "baseline_cnn", "epochs": 1}  # fmt: skip
    one, before = fit(store, batch_size=8, **exact)
    two, after = fit(store, batch_size=4, devices=2, strategy="ddp_spawn", **exact)
    start = start_network(config(**exact))[0].state_dict()
    moved = max(float((one[name] - start[name]).abs().max()) for name in one)
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert moved > 1e-3 and apart < 0.01 * moved
    assert len(before) == len(after) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16-mixed", "channels_last": True, "gradient_clip": 1.0},
        {"accumulate": 2, "loss": "focal"},
        {"sampler": "per_batch", "positive_share": 0.125, "loss": "pf1"},
        {"auxiliary": {"density": 0.1, "difficult": 0.1}, "loss": "weighted_bce"},
        {"frozen_stages": 4, "unfreeze_every": 1, "layer_decay": 0.7, "augment": "light"},
        {"pooling": "gem", "monitor": "watch_auc", "watch_fraction": 0.3},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_way_of_training_learns(
    store: tuple[pd.DataFrame, Path], changes: dict[str, Any]
) -> None:
    from sklearn.metrics import roc_auc_score

    # the baseline: bf16 on a CPU reads beyond maps of a few pixels, which small_cnn ends with
    settled = config(architecture="baseline_cnn", epochs=4, learning_rate=1e-3, **changes)
    net, _ = start_network(settled)
    history = fit_network(net, *store, settled)
    index, folder = store
    found = roc_auc_score(index["cancer"].astype(int), view_logits(net, index, folder, settled))
    assert np.isfinite([value for epoch in history for value in epoch.values()]).all()
    assert found > 0.9  # a third of the image is brighter: anything that learns sees it


@pytest.mark.slow
def test_it_ends_when_the_watched_patients_gain_no_more(store: tuple[pd.DataFrame, Path]) -> None:
    changes: dict[str, Any] = {"monitor": "watch_loss", "watch_fraction": 0.3, "patience": 2}
    _, history = fit(store, epochs=30, learning_rate=0.0, **changes)
    assert len(history) == 3  # the first is the best; two more without gain
    assert {"train_loss", "watch_loss", "watch_auc"} <= set(history[0])


@pytest.mark.slow
def test_every_patient_is_scored_by_a_network_without_it(
    store: tuple[pd.DataFrame, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mammo.continual import folds

    index, folder = store
    trained: list[set[str]] = []

    def spy(net: Any, rows: pd.DataFrame, *rest: Any, **more: Any) -> None:
        trained.append(set(rows["patient_id"]))

    monkeypatch.setattr(folds, "fit_network", spy)
    parts = Parts(index.iloc[:24], index.iloc[24:], index.iloc[:0], pd.Series(0, index=index.index))
    settled = config(folds=4, shuffles=2)
    found = cross_validate(settled, parts, folder)
    assert found is not None and found.logits.shape == (2, len(index))
    assert np.isfinite(found.logits).all()
    assigned = list(fold_assignments(parts, settled))
    assert len(assigned) == 2 and not np.array_equal(*assigned)
    held = [set(index["patient_id"][one == fold]) for one in assigned for fold in range(4)]
    assert all(
        not a & b and a | b == set(index["patient_id"]) for a, b in zip(trained, held, strict=True)
    )


def _parts(train: list[int], holdout: list[int]) -> Parts:
    def rows(labels: list[int], name: str) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "patient_id": [f"P-{name}-{i}" for i in range(len(labels))],
                "exam_id": [f"E-{name}-{i}" for i in range(len(labels))],
                "cancer": pd.array(labels, "Int8"),
            }
        )

    return Parts(rows(train, "t"), rows(holdout, "h"), rows([], "g"), pd.Series(dtype=int))


@pytest.mark.parametrize(
    ("train", "holdout", "told"),
    [
        ([0] * 9, [0, 1] * 6, "the training part has 0 positive and 9 negative patients"),
        ([1] * 9, [0, 1] * 6, "the training part has 9 positive and 0 negative"),
        ([0, 1] * 6, [0] * 12, "the holdout has 0 positive and 12 negative"),
        ([0, 1] * 6, [0, 1] * 3, "the holdout has 6 exams, 6 of the kind.*at least 10 are needed"),
    ],
)
def test_too_few_is_said_before_anything_is_trained(
    train: list[int], holdout: list[int], told: str
) -> None:
    with pytest.raises(TooFewLabels, match=told):
        require_enough(_parts(train, holdout), config(), folds=False)


def test_a_fold_without_positives_is_refused_with_its_name(
    store: tuple[pd.DataFrame, Path],
) -> None:
    index, _ = store
    holdout = index.iloc[20:].assign(exam_id=lambda rows: rows["image_id"])
    folds = (index["cancer"] == 1).map({True: 0, False: 1})  # all positives in the first
    parts = Parts(index.iloc[:20], holdout, index.iloc[:0], folds.astype(int))
    with pytest.raises(
        TooFewLabels, match=r"training part of fold 1 of 2 has 0 positive and 8 neg"
    ):
        require_enough(parts, config(folds=2), folds=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gate": {"margin_aoc": 0.1}}, r"of gate margin_aoc \(did you mean margin_auc\?\)"),
        ({"gate": {"margin_auc": "wide"}}, "gate.margin_auc is 'wide'; allowed is float"),
        ({"gate": {"resamples": 3}}, "gate: resamples must be at least 200"),
        ({"gate": {"preset": "dmo"}}, "gate.preset is 'dmo'; allowed are demo, production"),
        ({"strategy": "ddp"}, "torchrun --no-python --nproc-per-node 1 mammo train"),
    ],
)
def test_what_a_later_step_would_refuse_is_refused_first(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(SourceInvalid, match=told):
        settle_config(Settings(home=tmp_path, _env_file=None), config(**changes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"data_version": "deadbeef"}, VersionUnknown, "'deadbeef' is unknown here; the newest"),
        ({"overrides": ["target=abnormal"]}, TooFewLabels, "target 'abnormal' has 0 positive"),
        ({"overrides": ["holdout_fraction=0.02"]}, TooFewLabels, "positive and|the holdout has"),
        ({"overrides": ["epoch=3"]}, SourceInvalid, r"epoch \(did you mean epochs\?\)"),
    ],
)
def test_nothing_is_left_of_a_training_that_is_refused(
    installation: Settings, asked: dict[str, Any], error: type[MammoError], told: str
) -> None:
    with pytest.raises(error, match=told):
        train_release(installation, config="smoke", **asked)
    assert not list((installation.home / "runs").glob("*"))


@pytest.mark.slow
def test_a_killed_training_makes_the_release_of_one_that_was_not(installation: Settings) -> None:
    asked = {"config": "smoke", "overrides": ["epochs=3"], "seed": 3}
    assert train_in_process(installation, die_at=(2, 1), **asked) == -signal.SIGKILL
    assert [path.name for path in (installation.home / "runs").glob("*/fit/epoch-*")] == [
        "epoch-0002.ckpt"
    ]
    version = current_version(installation)[:6]
    made = [train_release(installation, **asked, data_version=version) for _ in range(2)]
    weights = [(one.directory / "weights.safetensors").read_bytes() for one in made]
    assert weights[0] == weights[1]  # the first went on from epoch 2, the second began anew
    assert made[0].release.metrics == made[1].release.metrics
    assert [len(one.history) for one in made] == [3, 3]
    spent = [read_spent(one.directory) for one in made]
    assert [one is not None and one.resumed for one in spent] == [True, False]
    assert all(one is not None and one.processor_s > 0 for one in spent)
    assert not list((installation.home / "runs").glob("*"))  # finished: its checkpoints are gone
