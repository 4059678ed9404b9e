"""What each strategy of retraining keeps and costs, one scanner after another: docs/strategies.md.

    python -m benchmarks.strategies [--folder DIR] [--seeds 2] [--write]

Phantoms of four invented scanners come one after another, as in domain-incremental
learning (van de Ven et al. 2022, doi:10.1038/s42256-022-00568-3). A first network is
trained on the first scanner with the demo's configuration, all its stages frozen
(``--frozen``); each strategy then takes it to the second, third and fourth. After
every step the test exams of the scanners met so far are scored. The lessons, anchors
and fits are those of `mammo`; only the frozen part's maps are computed once for all.
What is in the folder already is not made again. ``--write`` writes `strategies.json`,
the tables and the picture.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.report import name_run
from benchmarks.strategies_figures import Chain, figures
from benchmarks.strategies_page import write_page
from mammo.continual.lesson import Lesson, plan_lesson
from mammo.continual.network import fit_network
from mammo.continual.start import start_network
from mammo.continual.strategy import hold_elastic
from mammo.continual.trunk import TRUNK_BATCH, trunk_maps
from mammo.data.dataset import ViewDataset
from mammo.data.index import read_index, target_values
from mammo.data.ingest import ingest
from mammo.dicom.phantom import write_phantoms
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig, read_config
from mammo.settings import Settings

RESULTS = Path(__file__).with_name("strategies.json")
DOMAINS = ("aurora", "borealis", "cygnus", "draco")
EXAMS, CANCER_RATE, PHANTOM_SEED = 480, 0.4, 41
TRAIN_EXAMS = 40
"""Of each scanner; all others test."""
FROZEN_STAGES = 9
"""Of nine; the demo freezes six. More to learn takes more than minutes of one core."""
FIRST_SEED = 101
STRATEGIES: dict[str, dict[str, Any]] = {
    "scratch": {"retraining": "scratch"},
    "fine_tune": {"retraining": "fine_tune"},
    "replay": {"retraining": "replay"},
    "distill": {"retraining": "distill"},
    "ewc": {"retraining": "ewc"},
}
SIZES = (16, 64, 256)
"""Bounded replays, beside none (fine_tune) and all (replay)."""


@dataclass(frozen=True, eq=False)
class Material:
    """The exam index with ``domain`` and ``train``, and the trunk's map of each row."""

    rows: pd.DataFrame
    shards_dir: Path
    config: TrainConfig
    maps: Tensor
    trunk_cpu_s: float

    def train(self, steps: int) -> pd.DataFrame:
        """Return the training rows of the first ``steps`` scanners."""
        return self.rows[self.rows["train"] & self.rows["domain"].isin(DOMAINS[:steps])]

    @property
    def test(self) -> pd.DataFrame:
        """The rows of all test exams."""
        return self.rows[~self.rows["train"]]


def make_material(folder: Path, frozen: int = FROZEN_STAGES) -> Material:
    """Draw and prepare the phantoms, run the trunk; what is there is not made again."""
    settings = Settings(home=folder / "home", mlflow_port=9, service_port=9, _env_file=None)
    config = replace(read_config("demo"), frozen_stages=frozen)
    if not settings.index_path.is_file():
        write_phantoms(
            folder / "phantoms", exams=EXAMS, scanner=DOMAINS, seed=PHANTOM_SEED,
            cancer_rate=CANCER_RATE,
        )  # fmt: skip
        settings.home.mkdir(parents=True, exist_ok=True)
        (settings.home / "pseudonym.key").write_bytes(bytes(range(32)))
        ingest("rsna", folder / "phantoms", settings, config.preprocess)
    rows = read_index(settings.index_path).reset_index(drop=True)
    rows["domain"] = rows["scanner"].map(domain_of)
    rows["train"] = rows["exam_id"].isin(_training_exams(rows, config))
    kept = folder / f"maps-{frozen}.pt"
    if not kept.is_file():
        began = time.process_time()
        maps = trunk_maps(start_network(config)[0], _dataset(rows, settings.shards_dir, config))
        torch.save({"maps": maps, "cpu_s": (time.process_time() - began) / len(rows)}, kept)
    held = torch.load(kept, weights_only=True)
    return Material(rows, settings.shards_dir, config, held["maps"], held["cpu_s"])


def domain_of(scanner: str) -> str:
    """Return which of the `DOMAINS` a scanner's key names."""
    return next(name for name in DOMAINS if name in scanner.lower())


def _training_exams(rows: pd.DataFrame, config: TrainConfig) -> set[str]:
    """Draw as many of each scanner, with the set's share of cancers."""
    exams = rows.assign(label=target_values(rows, config.target)).groupby("exam_id")
    table = exams.agg(domain=("domain", "first"), label=("label", "max")).sort_index()
    chosen = []
    for _, one in table.groupby(["domain", "label"]):
        share = len(one) * len(DOMAINS) / len(table)
        chosen += list(one.sample(round(TRAIN_EXAMS * share), random_state=PHANTOM_SEED).index)
    return set(chosen)


def _dataset(rows: pd.DataFrame, shards_dir: Path, config: TrainConfig) -> ViewDataset:
    return ViewDataset(rows, shards_dir, config.preprocess, target=config.target)


def run_chain(material: Material, first: ViewNet, config: TrainConfig, name: str) -> Chain:
    """Take a network through scanners two to four by one strategy; score after each step."""
    net, scores, costs = copy.deepcopy(first), [exam_scores(material, first, 1)], []
    for step in range(1, len(DOMAINS)):
        rows = material.train(step + 1)
        began = time.process_time()
        if config.retraining == "scratch":
            net, _ = start_network(config)
            settled, lesson = config, plan_lesson(config, rows)
        else:
            settled = replace(config, epochs=config.fine_tune_epochs)
            lesson = _lesson(settled, material, step)
        fit_network(net, lesson, material.shards_dir, settled, maps=_maps(material, lesson.rows))
        costs.append(_cost(material, settled, lesson, time.process_time() - began))
        scores.append(exam_scores(material, net, step + 1))
    return Chain(name, config.seed, np.stack(scores), costs)


def _lesson(config: TrainConfig, material: Material, step: int) -> Lesson:
    """Let the strategy choose, as from a release that was trained on the scanners before."""
    rows, known = material.train(step + 1), material.train(step)
    scanner = rows.loc[rows["domain"] == DOMAINS[step], "scanner"].iloc[0]
    with tempfile.TemporaryDirectory() as parent:
        images = known[["image_id", "sha256"]].assign(part="train")
        images.to_parquet(Path(parent) / "images.parquet")
        lesson = plan_lesson(config, rows, parent=Path(parent), focus=scanner)
    if config.retraining != "ewc":
        return lesson
    maps = _maps(material, lesson.known)[:, 0]
    return replace(lesson, hold=lambda net, _: hold_elastic(net, maps, config, cached=True))


def _maps(material: Material, rows: pd.DataFrame) -> Tensor:
    return material.maps[torch.from_numpy(rows.index.to_numpy())]


def _cost(
    material: Material, config: TrainConfig, lesson: Lesson, cpu_s: float
) -> dict[str, float]:
    """Return CPU seconds with the trunk's, as a training without kept maps would need them.

    The trunk sees an image and its mirror image; what is measured on, only the image.
    """
    measured = len(lesson.known) / 2 if config.retraining == "ewc" else 0
    return {
        "cpu_s": cpu_s + material.trunk_cpu_s * (len(lesson.rows) + measured),
        "images": len(lesson.rows),
        "replayed": lesson.counts()["replay"],
        "drawn": len(lesson.rows) * config.epochs,
    }


def exam_scores(material: Material, net: ViewNet, steps: int) -> np.ndarray:
    """Return the score of each test exam, (exams,) in the order of `tested_exams`.

    The mean logit of a breast's views, of which the higher breast is the exam's. NaN for
    exams of scanners that come after the first ``steps``.
    """
    rows, net = material.test, net.eval()
    every = rows["exam_id"].drop_duplicates().sort_values()
    rows = rows[rows["domain"].isin(DOMAINS[:steps])]
    with torch.inference_mode():
        maps = _maps(material, rows)[:, 0]
        logits = torch.cat([net.top(part.float()) for part in maps.split(TRUNK_BATCH)])
    breasts = rows[["exam_id", "laterality"]].assign(logit=logits.double().numpy())
    return (
        breasts.groupby(["exam_id", "laterality"])["logit"].mean().groupby("exam_id").max()
        .reindex(every).to_numpy()
    )  # fmt: skip


def tested_exams(material: Material) -> pd.DataFrame:
    """Return exam_id, patient_id, domain and label of the test exams, by exam_id."""
    rows = material.test
    labelled = rows.assign(label=target_values(rows, material.config.target).astype(int))
    told = labelled.groupby("exam_id").agg(
        patient_id=("patient_id", "first"), domain=("domain", "first"), label=("label", "max")
    )
    return told.sort_index().reset_index()


def all_chains(material: Material, folder: Path, seeds: int) -> Iterator[Chain]:
    """Run, or read, each strategy and each size of replay with each seed."""
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        config = replace(material.config, seed=seed)
        first: ViewNet | None = None
        for name, changes in (STRATEGIES | _bounded()).items():
            kept = folder / f"chains-{material.config.frozen_stages}" / f"{name}-{seed}.npz"
            if not kept.is_file():
                first = first or train_first(material, config)
                chain = run_chain(material, first, replace(config, **changes), name)
                chain.write(kept)
                print(f"{name}, seed {seed}: {sum(one['cpu_s'] for one in chain.costs):.0f} s")
            yield Chain.read(kept)


def _bounded() -> dict[str, dict[str, Any]]:
    return {f"replay_{size}": {"retraining": "replay", "replay_images": size} for size in SIZES}


def train_first(material: Material, config: TrainConfig) -> ViewNet:
    """Return the network of the first release: the first scanner, from ImageNet."""
    net, _ = start_network(config)
    rows = material.train(1)
    fit_network(net, rows, material.shards_dir, config, maps=_maps(material, rows))
    return net


def main() -> None:
    """Measure, and with ``--write`` write numbers, page and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where phantoms and chains are kept")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each strategy")
    parser.add_argument(
        "--frozen", type=int, default=FROZEN_STAGES, help="stages that keep their weights, of 9"
    )
    parser.add_argument("--write", action="store_true", help="write the page and the picture")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        material = make_material(folder, given.frozen)
        chains = list(all_chains(material, folder, given.seeds))
        result = figures(chains, tested_exams(material), DOMAINS)
    result["train_exams"], result["trunk_cpu_s"] = TRAIN_EXAMS, material.trunk_cpu_s
    result["frozen_stages"] = given.frozen
    print(json.dumps(result["strategies"], indent=1))
    if given.write:
        result["run"] = name_run("python -m benchmarks.strategies --write")
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
        write_page(result)


if __name__ == "__main__":
    main()
