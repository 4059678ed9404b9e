"""The recipe of configs/mini_mias.yaml on mini-MIAS: 112 patients, out of fold, five shuffles.

python -m benchmarks.mini_mias --data DIR [--home FOLDER]

DIR holds labels.csv and images/. Writes benchmarks/mini_mias.json, then the
tables of docs/mini_mias.md and its picture. Nothing of the images is kept in
them. The unit is the breast, which is one image here.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.report import name_run
from mammo.continual.other_breast import fit_comparison
from mammo.continual.places import fit_places
from mammo.continual.start import start_network
from mammo.continual.trunk import trunk_maps
from mammo.data.dataset import ViewDataset
from mammo.data.index import read_index, target_values
from mammo.data.ingest import ingest
from mammo.data.split import split_patients
from mammo.evaluation.metrics import auc_interval, roc_auc
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig, read_config
from mammo.settings import Settings

RESULTS = Path(__file__).with_name("mini_mias.json")
TARGETS = ("abnormal", "cancer", "dense")
SEEDS = (101, 102, 103, 104, 105)
"""Shuffles of the result; the recipe was chosen on 1 to 5."""
FOLDS = 5
CONTROL_SEED, CONTROL_SHUFFLES = 12, 2
IMAGE_LABELS = "dense"
"""A target without places: its way of solving is what there is without finding places."""
Scores = NDArray[np.float64]
Way = Callable[[ViewNet, Tensor, pd.DataFrame, TrainConfig, Tensor], Scores]


def main() -> None:
    """Measure, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, help="keep the ingested set here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(given.data, given.home or Path(folder))
    results["run"] = name_run("python -m benchmarks.mini_mias --data DIR")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    from benchmarks.mini_mias_report import write

    write(results)


def measure(data: Path, home: Path) -> dict[str, Any]:
    """Return the numbers of every target and way."""
    start = time.perf_counter()
    config = read_config("mini_mias")
    rows, shards = ingested(data, home, config)
    net, origin = start_network(config)
    maps = trunk_maps(net, ViewDataset(rows, shards, config.preprocess, target=config.target))
    maps = maps[:, :1].float()  # once, not in each of some hundred fits; without the mirror images
    net.eval()
    seconds = {"ingest_and_trunk": time.perf_counter() - start}
    targets = {}
    for target in TARGETS:
        began = time.perf_counter()
        targets[target] = of_target(net, maps, rows, replace(config, target=target))
        seconds[target] = time.perf_counter() - began
    return {
        "images": len(rows), "patients": int(rows["patient_id"].nunique()), "weights": origin,
        "seeds": list(SEEDS), "folds": FOLDS, "targets": targets,
        "seconds": seconds, "threads": torch.get_num_threads(),
    }  # fmt: skip


def ingested(data: Path, home: Path, config: TrainConfig) -> tuple[pd.DataFrame, Path]:
    """Return the rows of the set and its shards.

    In the order of the files' digests, since pseudonyms differ from one
    installation to the next and the folds with them.
    """
    settings = Settings(home=home, _env_file=None)
    ingest("mini-mias", data, settings, config.preprocess)
    rows = read_index(settings.index_path)
    first = rows.groupby("patient_id")["sha256"].transform("min")
    order = rows.assign(first=first).sort_values(["first", "sha256"])
    order["patient_id"] = "P-" + order["first"].str[:16]
    order["exam_id"] = "E-" + order["first"].str[:16]
    return order.drop(columns="first").reset_index(drop=True), settings.shards_dir


def of_target(
    net: ViewNet, maps: Tensor, rows: pd.DataFrame, config: TrainConfig
) -> dict[str, Any]:
    """Return AUCs of the recipe, of its parts alone, and of labels that were dealt anew."""
    ways: dict[str, Way] = {"recipe": compared, "view_alone": view_alone}
    if config.target != IMAGE_LABELS:
        ways["image_labels"] = image_labels
    told = {name: summary(*out_of_fold(way, net, maps, rows, config)) for name, way in ways.items()}
    dealt = deal_labels(rows, CONTROL_SEED)
    seeds = SEEDS[:CONTROL_SHUFFLES]
    told["dealt_labels"] = summary(*out_of_fold(compared, net, maps, dealt, config, seeds))
    return told


def out_of_fold(
    way: Way,
    net: ViewNet,
    maps: Tensor,
    rows: pd.DataFrame,
    config: TrainConfig,
    seeds: Sequence[int] = SEEDS,
) -> tuple[Scores, pd.DataFrame]:
    """Return scores (shuffles, images), each from a fit without its patient, and the labels."""
    scores = np.full((len(seeds), len(rows)), np.nan)
    for number, seed in enumerate(seeds):
        folds = split_patients(rows, target=config.target, folds=FOLDS, seed=seed).to_numpy()
        for fold in range(FOLDS):
            train, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            known = maps[torch.from_numpy(train)]
            told = way(net, known, rows.iloc[train], config, maps[torch.from_numpy(held), 0])
            scores[number, held] = told[sides(rows, held)] if told.ndim == 2 else told
    labels = rows[["patient_id"]].assign(label=target_values(rows, config.target).astype(int))
    return scores, labels


def sides(rows: pd.DataFrame, held: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for each held image, its own row and that of the other breast among them."""
    patients = rows["patient_id"].to_numpy()[held]
    numbers = np.arange(len(held))
    other = np.array(
        [np.flatnonzero((patients == patients[i]) & (numbers != i))[0] for i in numbers]
    )
    return numbers, other


@torch.inference_mode()
def compared(
    net: ViewNet, maps: Tensor, rows: pd.DataFrame, config: TrainConfig, held: Tensor
) -> Scores:
    """Return the recipe's logit of each held image beside each other one, (n, n)."""
    fit_places(net, maps, rows, config)
    head, _ = fit_comparison(net, maps, rows, config)
    features = net.pooled(held.float())
    count = len(features)
    own = features[:, None].expand(count, count, -1).flatten(0, 1)[:, None]
    other = features[None].expand(count, count, -1).flatten(0, 1)[:, None]
    mask = torch.ones(count * count, 1)
    return head(own, mask, other, mask).view(count, count).double().numpy()


@torch.inference_mode()
def view_alone(
    net: ViewNet, maps: Tensor, rows: pd.DataFrame, config: TrainConfig, held: Tensor
) -> Scores:
    """Return the logit of each image without the other breast, (n,)."""
    fit_places(net, maps, rows, config)
    return net.top(held.float()).double().numpy()


def image_labels(
    net: ViewNet, maps: Tensor, rows: pd.DataFrame, config: TrainConfig, held: Tensor
) -> Scores:
    """Return what the recipe gives where it does not know where the findings lie, (n, n)."""
    letters = target_values(rows, config.target).map({1: "D", 0: "F"})
    return compared(
        net, maps, rows.assign(density=letters), replace(config, target=IMAGE_LABELS), held
    )


def deal_labels(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows with the labels and findings of another patient's same side.

    Whatever is above 0.5 then is a leak.
    """
    patients = rows["patient_id"].unique()
    dealt = dict(zip(patients, np.random.default_rng(seed).permutation(patients), strict=True))
    key = ["patient_id", "laterality"]
    columns = ["cancer", "abnormal", "density", "findings"]
    wanted = pd.MultiIndex.from_arrays([rows["patient_id"].map(dealt), rows["laterality"]])
    return rows.assign(**rows.set_index(key)[columns].reindex(wanted).reset_index(drop=True))


def summary(scores: Scores, labels: pd.DataFrame) -> dict[str, Any]:
    """Return the AUC of each shuffle, and of the averaged scores with its interval and curve."""
    y, patients = labels["label"].to_numpy(), labels["patient_id"].to_numpy()
    each = [roc_auc(y, one) for one in scores]
    ranks = np.mean([pd.Series(one).rank(pct=True) for one in scores], axis=0)
    order = np.argsort(-ranks, kind="stable")
    return {
        "auc": each, "mean": float(np.mean(each)), "sd": float(np.std(each, ddof=1)),
        "averaged": auc_interval(y, ranks, patients).to_dict(),
        "ordered_labels": "".join(str(one) for one in y[order]),
    }  # fmt: skip


if __name__ == "__main__":
    main()
