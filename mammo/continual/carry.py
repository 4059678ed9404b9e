"""Which graph a release carries as model.onnx, and the record of what else was tried.

By default it is the float32 graph and nothing else is made. Where a configuration
has ``export``, each of its candidates is held against the network on the holdout
patients; the sealed golden ones stay for the gate, which judges the release as it
judges any other.
"""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.breast_logits import HEADS
from mammo.continual.network import fit_network
from mammo.continual.split import Parts
from mammo.data.dataset import ViewDataset
from mammo.data.index import target_values
from mammo.errors import SourceInvalid
from mammo.export.candidates import export_candidates
from mammo.export.settings import FP32, ExportConfig
from mammo.export.verdict import Judged
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig
from mammo.preferred import suitable_rows
from mammo.release import EXPORT, write_json

MODEL = "model.onnx"
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
"""Instructions that decide how fast a graph is, as /proc/cpuinfo names them."""
FINE_TUNE_RATE = 0.3
"""Of the training's learning rate: a pruned network starts from what it knows."""


def export_config(config: TrainConfig) -> ExportConfig | None:
    """Return a configuration's ``export``; None where it has none."""
    return ExportConfig.from_dict(config.export) if config.export else None


def carry_best(
    draft: Path,
    net: ViewNet,
    config: TrainConfig,
    export: ExportConfig,
    parts: Parts,
    shards_dir: Path,
) -> dict[str, Any]:
    """Make and judge the candidates, put the chosen one into ``draft`` as model.onnx.

    Writes ``export.json`` and returns what it says. Raises ParityError when no
    candidate passes, and SourceInvalid for one that cannot be.
    """
    _require_possible(config, export)
    with tempfile.TemporaryDirectory(dir=draft) as folder:
        table = export_candidates(
            net,
            _judged(parts.holdout, shards_dir, config),
            export,
            Path(folder),
            calibration=calibration_images(parts.train, shards_dir, config, export),
            fine_tune=partial(
                fit_network, index=parts.train, shards_dir=shards_dir,
                config=pruning_config(config, export),
            ),
        )  # fmt: skip
        shutil.copy2(Path(folder) / f"{table.chosen}.onnx", draft / MODEL)
    record = table.to_dict() | {
        "config": export.to_dict(),
        "judged_on": {
            "part": "holdout",
            "patients": int(parts.holdout["patient_id"].nunique()),
            "images": len(parts.holdout),
            "source": ", ".join(sorted(parts.holdout["source"].unique())),
        },
        "machine": machine(),
    }
    write_json(draft / EXPORT, record)
    return record


def carried_graph(directory: Path) -> str:
    """Return which candidate a release carries; the float32 graph where nothing is written."""
    path = directory / EXPORT
    return str(json.loads(path.read_text())["chosen"]) if path.is_file() else FP32


def pruning_config(config: TrainConfig, export: ExportConfig) -> TrainConfig:
    """Return how a pruned network is fine-tuned: every stage, gently, for a few epochs."""
    return replace(
        config,
        frozen_stages=0,
        unfreeze_every=0,
        monitor="none",
        epochs=export.prune_epochs,
        learning_rate=config.learning_rate * FINE_TUNE_RATE,
    )


def calibration_images(
    train: pd.DataFrame, shards_dir: Path, config: TrainConfig, export: ExportConfig
) -> list[np.ndarray]:
    """Return images of training patients, (1, H, W) float32, drawn by lot with the run's seed."""
    count = min(export.quantize.images, len(train))
    rows = train.sample(count, random_state=config.seed).sort_values("image_id")
    data = ViewDataset(rows, shards_dir, config.preprocess, target=config.target)
    return [data.image(item) for item in range(len(data))]


def machine() -> dict[str, Any]:
    """Return what the latencies and the int8 kernels belong to."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    told = {line.split(":", 1)[0].strip(): line.split(":", 1)[1] for line in lines if ":" in line}
    flags = set(told.get("flags", "").split())
    return {
        "processor": told.get("model name", platform.processor() or platform.machine()).strip(),
        "instructions": [name for name in FLAGS if name in flags],
        "onnxruntime": version("onnxruntime"),
        "torch": version("torch"),
    }


def _judged(holdout: pd.DataFrame, shards_dir: Path, config: TrainConfig) -> Judged:
    rows = holdout.reset_index(drop=True)
    views = rows[["exam_id", "laterality", "patient_id"]].copy()
    views["label"] = target_values(rows, config.target)
    views["label"] = views.groupby(["exam_id", "laterality"])["label"].transform("max")
    views["pooled"] = suitable_rows(rows.to_dict("records"))
    data = ViewDataset(rows, shards_dir, config.preprocess, target=config.target)
    return Judged(data, views)


def _require_possible(config: TrainConfig, export: ExportConfig) -> None:
    if config.aggregation in HEADS and any(one.startswith("pruned") for one in export.candidates):
        raise SourceInvalid(
            f"export: a pruned network has other features than aggregation: {config.aggregation} "
            "was trained on. Leave the pruned candidates out, or set aggregation: mean."
        )
