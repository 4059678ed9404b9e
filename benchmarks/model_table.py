"""Every registered model trained on the same phantoms: the table of docs/models.md.

    OMP_NUM_THREADS=1 nice -n 15 python -m benchmarks.model_table

One recipe for all, tuned for none: the same images, the same number of them
drawn, the same optimizer. A model whose ImageNet weights are on this machine starts
from them, the others at random. Models whose row stands in `model_table.json`, made
with the same settings, are not trained again; the page is written anew.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import torch

from benchmarks.model_table_page import write_page
from benchmarks.report import describe_run
from mammo.continual.network import fit_network, view_logits
from mammo.data.index import read_index, target_values
from mammo.data.ingest import ingest
from mammo.data.split import split_patients
from mammo.dicom.phantom import write_phantoms
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.metrics import auc_interval
from mammo.export.onnx import export_onnx
from mammo.models.breast_net import OutputsGraph, ViewNet, build_view_net
from mammo.models.catalogue import weights_at_hand
from mammo.models.config import TrainConfig
from mammo.models.registry import BACKBONES
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

RESULTS = Path(__file__).with_name("model_table.json")
PAGE = Path(__file__).parents[1] / "docs/models.md"
SCANNERS = ("aurora", "borealis")
ELSEWHERE = ("lite0_places",)
"""Solved for, not trained: docs/mini_mias.md."""
MB = 2**20


@dataclass(frozen=True)
class Study:
    """What all models have in common.

    ``draws`` is how many views a fit draws over all of its epochs; ``height``
    and ``width`` are the prepared image's, ``latency_height`` and ``_width``
    those that the graph is timed at, all in pixels.
    """

    exams: int = 160
    cancer_rate: float = 0.5
    conspicuity: float = 1.0
    draws: int = 1200
    batch_size: int = 16
    learning_rate: float = 5e-4
    dropout: float = 0.2
    height: int = 256
    width: int = 128
    latency_height: int = 1024
    latency_width: int = 512
    turns: int = 5
    precision: str = "bf16-mixed"
    seed: int = 11

    @property
    def preprocess(self) -> PreprocessConfig:
        """How the phantoms are prepared."""
        return PreprocessConfig(height=self.height, width=self.width)

    def config(self, name: str, images: int) -> TrainConfig:
        """Return the configuration that a model is trained with, on so many images."""
        return TrainConfig(
            name=f"model_table_{name}",
            architecture=name,
            pretrained=weights_at_hand(name),
            frozen_stages=0,
            epochs=max(1, round(self.draws / images)),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            dropout=self.dropout,
            positive_share=0.5,
            precision=self.precision,
            channels_last=True,
            seed=self.seed,
            preprocess=self.preprocess,
        )


@dataclass(frozen=True, eq=False)
class Phantoms:
    """The phantoms of a study, ingested: patients to train on, and others to judge by."""

    train: pd.DataFrame
    test: pd.DataFrame
    shards_dir: Path


def make_phantoms(folder: Path, study: Study) -> Phantoms:
    """Write and ingest phantoms under ``folder``, where they are not, and split them by patient."""
    settings = Settings(home=folder / "home", _env_file=None)
    if not settings.index_path.is_file():
        write_phantoms(
            folder / "phantoms",
            exams=study.exams,
            scanner=SCANNERS,
            seed=study.seed,
            cancer_rate=study.cancer_rate,
            conspicuity=study.conspicuity,
            processes=1,
        )
        settings.home.mkdir(exist_ok=True)
        # a fixed key: who is on which side follows from the pseudonyms
        (settings.home / "pseudonym.key").write_bytes(bytes(range(32)))
        ingest("rsna", folder / "phantoms", settings, study.preprocess)
    index = read_index(settings.index_path)
    half = split_patients(index, target="cancer", folds=2, seed=study.seed)
    train, test = (index[half == part].reset_index(drop=True) for part in (0, 1))
    return Phantoms(train, test, settings.shards_dir)


def measure_model(name: str, phantoms: Phantoms, study: Study) -> dict[str, Any]:
    """Train a model, judge it on the other patients, and time its graph: a row of the table."""
    config = study.config(name, len(phantoms.train))
    torch.manual_seed(study.seed)
    net, origin = build_view_net(name, pretrained=config.pretrained, dropout=config.dropout)
    started = time.process_time()
    fit_network(net, phantoms.train, phantoms.shards_dir, config)
    fit_s = time.process_time() - started
    auc = exam_auc(phantoms.test, view_logits(net, phantoms.test, phantoms.shards_dir, config))
    seen = exam_auc(phantoms.train, view_logits(net, phantoms.train, phantoms.shards_dir, config))
    return {
        "name": name,
        "weights": origin,
        "parameters": sum(one.numel() for one in net.parameters()),
        "epochs": config.epochs,
        "auc": auc.to_dict(),
        "auc_trained_on": seen.value,
        "fit_cpu_s": round(fit_s, 1),
        **graph_facts(net, study),
        "study": asdict(study),
    }


def exam_auc(index: pd.DataFrame, logits: np.ndarray) -> Interval:
    """Return the AUC of exams: views averaged to breasts, of which the worse one counts."""
    views = index.assign(logit=logits, label=target_values(index, "cancer").astype(int))
    sides = views.groupby(["patient_id", "exam_id", "laterality"], as_index=False)
    breasts = sides.agg(logit=("logit", "mean"), label=("label", "max"))
    exams = breasts.groupby(["patient_id", "exam_id"], as_index=False)[["logit", "label"]].max()
    return auc_interval(exams["label"], exams["logit"], exams["patient_id"])


def graph_facts(net: ViewNet, study: Study) -> dict[str, Any]:
    """Return size in MiB and latency in ms of the ONNX graph with all of a view's outputs.

    The latency is the median CPU time of one view on one thread.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        size = {"height": study.latency_height, "width": study.latency_width}
        export_onnx(OutputsGraph(net.float()), path, **size, output=OutputsGraph.NAMES)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        megabytes = path.stat().st_size / MB
    image = np.random.default_rng(0).random((1, 1, *size.values()), dtype=np.float32)
    session.run(None, {"image": image})
    took = []
    for _ in range(study.turns):
        started = time.process_time()
        session.run(None, {"image": image})
        took.append(1000 * (time.process_time() - started))
    return {"onnx_mib": round(megabytes, 2), "latency_ms": round(float(np.median(took)), 1)}


def run(
    models: Sequence[str], study: Study, results: Path, page: Path | None, folder: Path
) -> dict[str, Any]:
    """Measure the models that are not in ``results`` yet, write it, and the page.

    ``folder`` keeps the phantoms, of one study alone.
    """
    known = json.loads(results.read_text()) if results.is_file() else {"models": []}
    rows = {one["name"]: one for one in known["models"] if one["study"] == asdict(study)}
    wanted = [name for name in models if name not in rows]
    facts = _run_facts()  # of the code that is loaded, whatever is committed meanwhile
    phantoms = make_phantoms(folder, study) if wanted else None
    for name in wanted:
        assert phantoms is not None
        rows[name] = measure_model(name, phantoms, study) | {"run": facts}
        print(f"{name}: {rows[name]['auc']}", flush=True)
        _write(results, list(rows.values()))
    found = {"models": list(rows.values())}
    if page is not None:
        write_page(page, found["models"])
    return found


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"models": rows}, indent=1, sort_keys=True) + "\n")


def _run_facts() -> dict[str, str]:
    """Return commit, day and machine."""
    found = describe_run("", 0)
    return {name: found[name] for name in ("commit", "date", "machine")}


def main() -> None:
    """Run from the command line; a study of another size does not write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", nargs="+", default=None, metavar="NAME")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path, help="Keep the phantoms there for the next time.")
    for name, value in asdict(Study()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = vars(parser.parse_args())
    models, results, folder = (given.pop(name) for name in ("models", "results", "folder"))
    models = models or sorted(set(BACKBONES) - set(ELSEWHERE))
    torch.set_num_threads(1)
    study = replace(Study(), **given)
    page = PAGE if results == RESULTS else None
    with tempfile.TemporaryDirectory() as passing:
        run(models, study, results, page, folder or Path(passing))


if __name__ == "__main__":
    main()
