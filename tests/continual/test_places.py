"""The rule for each place, and the comparison with the other breast, on made-up feature maps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from mammo.continual.other_breast import fit_comparison, linear_head
from mammo.continual.places import COVERED, finding_cover, fit_places
from mammo.errors import SourceInvalid, TooFewLabels
from mammo.evaluation.metrics import roc_auc
from mammo.models.breast_net import ViewNet, build_view_net
from mammo.models.breast_places import CHANNELS
from mammo.models.config import TrainConfig
from mammo.models.exam_head import ExamHead

PATIENTS, HEIGHT, WIDTH = 30, 8, 4
SIZE = 16 * HEIGHT, 16 * WIDTH
GEOMETRY = {"x0": 0, "y0": 0, "x1": 64, "y1": 128, "scale": 1.0, "pad_x": 0, "pad_y": 0}
CONFIG = TrainConfig.from_dict(
    {
        "target": "abnormal", "architecture": "lite0_places", "pretrained": False,
        "frozen_stages": 1, "pooling": "mean", "fit": "places", "aggregation": "exam_head",
        "preprocess": {"height": SIZE[0], "width": SIZE[1]},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def net() -> ViewNet:
    """The network with random weights: only what follows the trunk is used here."""
    return build_view_net("lite0_places", frozen_stages=1, pretrained=False, pooling="mean")[
        0
    ].eval()


def made_up(strength: float = 4.0) -> tuple[pd.DataFrame, Tensor]:
    """Return rows and trunk maps: noise, of which the findings' places differ in one channel.

    Each patient's two breasts share a nuisance of the same channel, and half of
    the patients have tissue that differs in many.
    """
    rng = np.random.default_rng(3)
    count = 2 * PATIENTS
    contrast = rng.normal(size=(count, CHANNELS, HEIGHT, WIDTH))
    tissue = rng.normal(size=(count, CHANNELS, HEIGHT, WIDTH)) + 0.1
    nuisance, dense = rng.normal(size=PATIENTS), np.arange(PATIENTS) % 2
    contrast[:, 0, 0, 0] += 3 * np.repeat(nuisance, 2)
    tissue[:, :30] += np.repeat(dense, 2)[:, None, None, None]
    abnormal = np.arange(count) % 4 == 0
    contrast[abnormal, 0, 2:4, 1:3] += strength
    box = {"x_min": 16, "x_max": 48, "y_min": 32, "y_max": 64}
    patients = [f"P-{i // 2}" for i in range(count)]
    rows = pd.DataFrame(
        {
            "patient_id": patients, "exam_id": patients,
            "image_id": [f"I-{i}" for i in range(count)],
            "laterality": ["L", "R"] * PATIENTS, "view": "MLO", "quality": "",
            "acquired_on": None, "rows": 128, "columns": 64,
            "abnormal": pd.array(abnormal.astype(int), "Int8"),
            "cancer": pd.array([0] * count, "Int8"),
            "density": np.repeat(np.where(dense == 1, "D", "F"), 2),
            "findings": [json.dumps([box] if one else []) for one in abnormal],
            "geometry": json.dumps(GEOMETRY),
        }
    )  # fmt: skip
    maps = torch.from_numpy(np.concatenate([contrast, tissue], axis=1)).float()
    return rows, torch.stack([maps, maps.flip(3)], dim=1).half()


def split(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to learn from, and rows of other patients."""
    half = len(rows) // 2
    return np.arange(half), np.arange(half, len(rows))


@pytest.mark.parametrize(("target", "least"), [("abnormal", 0.85), ("dense", 0.95)])
def test_solved_network_scores_patients_it_was_not_solved_from(
    target: str, least: float, net: ViewNet
) -> None:
    rows, maps = made_up()
    train, held = split(rows)
    config = replace(CONFIG, target=target)
    fit_places(net, maps[train], rows.iloc[train], config)
    with torch.inference_mode():
        logits = net.top(maps[held, 0].float()).numpy()
    wanted = rows["abnormal"] if target == "abnormal" else rows["density"].eq("D")
    assert roc_auc(wanted.iloc[held].astype(int), logits) > least


def test_rule_finds_the_channel_of_the_findings(net: ViewNet) -> None:
    rows, maps = made_up()
    (told,) = fit_places(net, maps, rows, CONFIG)
    rule = net.stages[-1].rule.detach().numpy()
    assert np.argmax(np.abs(rule)) == 0
    assert told["findings_images"] == rows["abnormal"].sum()


def test_without_signal_nothing_is_found(net: ViewNet) -> None:
    rows, maps = made_up(strength=0.0)
    train, held = split(rows)
    fit_places(net, maps[train], rows.iloc[train], CONFIG)
    with torch.inference_mode():
        logits = net.top(maps[held, 0].float()).numpy()
    assert 0.2 < roc_auc(rows["abnormal"].iloc[held].astype(int), logits) < 0.8


def test_comparison_takes_away_what_both_breasts_share(net: ViewNet) -> None:
    rows, maps = made_up()
    fit_places(net, maps, rows, CONFIG)
    _, told = fit_comparison(net, maps, rows, CONFIG)
    assert told["difference"] > 0
    assert told["loss_compared"] < told["loss_alone"]


def test_tissue_is_averaged_over_both_breasts(net: ViewNet) -> None:
    rows, maps = made_up()
    config = replace(CONFIG, target="dense")
    fit_places(net, maps, rows, config)
    _, told = fit_comparison(net, maps, rows, config)
    assert told["difference"] < 0 < told["own"]


@pytest.mark.parametrize("with_other", [True, False])
def test_linear_head_is_the_sum_it_says(with_other: bool, net: ViewNet) -> None:
    own, other = torch.randn(3, 2, net.features), torch.randn(3, 1, net.features)
    masks = torch.ones(3, 2), torch.full((3, 1), float(with_other))
    average = ExamHead.from_view_head(net, "exam").average
    a, b = average(own).mean(dim=(1, 2)), average(other).mean(dim=(1, 2))
    wanted = 0.3 * a + 1.7 * ((a - b) if with_other else 0) - 0.5
    with torch.inference_mode():
        logit = linear_head(net, 0.3, 1.7, -0.5)(own, masks[0], other, masks[1])
    torch.testing.assert_close(logit, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("geometry", "places"),
    [
        (GEOMETRY, {(2, 1), (2, 2), (3, 1), (3, 2)}),
        (GEOMETRY | {"pad_x": 16, "y0": 32}, {(0, 2), (0, 3), (1, 2), (1, 3)}),
        (GEOMETRY | {"scale": 0.5}, {(1, 0), (1, 1)}),
    ],
    ids=["as it is", "cropped and padded", "half the size"],
)
def test_cover_follows_the_geometry(
    geometry: dict[str, float], places: set[tuple[int, int]]
) -> None:
    rows = made_up()[0].head(1).assign(geometry=json.dumps(geometry))
    (cover,) = finding_cover(rows, CONFIG, (HEIGHT, WIDTH))
    assert {tuple(map(int, one)) for one in np.argwhere(cover > COVERED)} == places


def test_target_without_places_of_findings_is_refused(net: ViewNet) -> None:
    rows, maps = made_up()
    with pytest.raises(TooFewLabels, match="no finding of target 'cancer' has a place"):
        fit_places(net, maps, rows, replace(CONFIG, target="cancer"))


def test_other_architecture_is_refused() -> None:
    rows, maps = made_up()
    other, _ = build_view_net("small_cnn", pretrained=False)
    with pytest.raises(SourceInvalid, match="architecture: lite0_places"):
        fit_places(other, maps, rows, CONFIG)


@pytest.mark.slow
def test_real_mammograms_out_of_fold(tmp_path: Path) -> None:
    """One fold of mini-MIAS: above chance, and not above what the set can give."""
    data = Path(__file__).parents[3] / "shared/data/mini-mias"
    if not data.is_dir():
        pytest.skip("../shared/data/mini-mias is not here")
    from benchmarks import mini_mias
    from mammo.continual.start import start_network
    from mammo.continual.trunk import trunk_maps
    from mammo.data.dataset import ViewDataset
    from mammo.models.config import read_config

    config = read_config("mini_mias")
    rows, shards = mini_mias.ingested(data, tmp_path, config)
    net = start_network(config)[0].eval()
    maps = trunk_maps(net, ViewDataset(rows, shards, config.preprocess, target="abnormal"))
    scores, labels = mini_mias.out_of_fold(mini_mias.view_alone, net, maps, rows, config, [1])
    assert 0.62 < roc_auc(labels["label"], scores[0]) < 0.85
