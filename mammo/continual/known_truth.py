"""The whole training pipeline on images whose best possible reading is known.

    train = write_fields(task, 4000, store / "train", seed=1)
    test = write_fields(task, 2000, store / "test", seed=2)
    scores = train_and_score(config_for(task), train, test, work)
    print(judge(test, scores)["efficiency"])

The images are written as prepared shards with an exam index, every image a
patient of her own, and read, fitted, exported and scored by what every release
goes through. What is true of an image is kept beside the store, by its id, and
never read from it: labels on the wrong images, a wrong row of a shard, another
normalisation, a graph that is not the network or a turned sign all show as a
low efficiency.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd

from mammo.continual.network import fit_network
from mammo.continual.start import start_network
from mammo.data.index import index_from_rows, read_index, write_index
from mammo.data.shards import ShardReader, shard_digest, write_shard
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.known_truth import DrawnFields, LesionTask, efficiency_interval, quantise
from mammo.evaluation.metrics import auc_interval
from mammo.exam import Finding
from mammo.export.onnx import export_onnx
from mammo.models.config import TrainConfig
from mammo.preprocess import PreprocessConfig, to_tensor

SOURCE = "gaussian-field"
SHARD_IMAGES = 2048
SCORE_BATCH = 64
LEAST_EFFICIENCY = 0.5
"""What a sound pipeline passes with a small network and a few thousand images."""
INDEX, TRUTH = "index.parquet", "truth.parquet"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FieldStore:
    """A folder of prepared fields: index and shards, and the truth that lies beside them."""

    directory: Path

    @property
    def index(self) -> pd.DataFrame:
        """The exam index, one row an image, ordered by image."""
        return read_index(self.directory / INDEX)

    @property
    def shards_dir(self) -> Path:
        """Where the shards lie."""
        return self.directory / "shards"

    @property
    def truth(self) -> pd.DataFrame:
        """By ``image_id``: label (0 or 1) and the ideal observer's score, float64."""
        return pd.read_parquet(self.directory / TRUTH)


def write_fields(
    task: LesionTask, count: int, directory: Path, *, seed: int, progress: Progress | None = None
) -> FieldStore:
    """Draw images and write them as a store; one that is there is taken as it is.

    The first images of a larger store are those of a smaller one of the same
    seed, in whole shards of `SHARD_IMAGES`. The truth is written last.
    """
    store = FieldStore(directory)
    if (directory / TRUTH).exists():
        return store
    rows: list[dict[str, Any]] = []
    truth: list[pd.DataFrame] = []
    for number, start in enumerate(range(0, count, SHARD_IMAGES)):
        drawn = task.draw(SHARD_IMAGES, (seed, number)).first(count - start)
        names = [f"{SOURCE}-{seed}-{start + row:07d}" for row in range(len(drawn.labels))]
        rows += _write_images(task, drawn, names, store.shards_dir)
        truth.append(_truth(task, drawn, names))
        if progress is not None:
            progress(min(start + SHARD_IMAGES, count), count)
    write_index(index_from_rows(rows), directory / INDEX)
    pd.concat(truth).to_parquet(directory / TRUTH)
    return store


def config_for(task: LesionTask, **changes: Any) -> TrainConfig:
    """Return the configuration of a fit to these fields; ``changes`` are of `TrainConfig`.

    Half of the draws are positive as in the fields, labels are exact, and the
    mirror images that the pipeline adds are fields of the same kind.
    """
    side = {"height": task.side_px, "width": task.side_px}
    values = {
        "name": "known_truth",
        "architecture": "baseline_cnn",
        "pretrained": False,
        "frozen_stages": 0,
        "batch_size": 32,
        "learning_rate": 2e-3,
        "gradient_clip": 1.0,
        "dropout": 0.2,
        "label_smoothing": 0.0,
        "ema_decay": 0.99,
        "positive_share": 0.5,
        "preprocess": PreprocessConfig(**side).to_dict(),
    }
    return TrainConfig.from_dict(values | changes)


def train_and_score(
    config: TrainConfig,
    train: pd.DataFrame,
    train_shards: Path,
    test: FieldStore,
    work: Path,
    progress: Progress | None = None,
) -> pd.Series:
    """Fit on rows of an index, export, and score the test store from the exported graph.

    Returns logits by image_id, float32. ``work`` receives ``model.onnx``.
    """
    net, _ = start_network(config)
    fit_network(net, train, train_shards, config, progress=progress)
    work.mkdir(parents=True, exist_ok=True)
    size = {"height": config.preprocess.height, "width": config.preprocess.width}
    export_onnx(net, work / "model.onnx", **size, output="logit")
    return score_graph(work / "model.onnx", test.index, test.shards_dir, config.preprocess)


def score_graph(
    model: Path, index: pd.DataFrame, shards_dir: Path, config: PreprocessConfig
) -> pd.Series:
    """Score rows of an index with an exported graph as the service does; logits by image_id."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    parts = [
        session.run(["logit"], {"image": to_tensor(pixels, config)})[0]
        for pixels in _batches(index, ShardReader(shards_dir))
    ]
    return pd.Series(np.concatenate(parts), index=pd.Index(index["image_id"], name="image_id"))


def judge(store: FieldStore, scores: pd.Series, *, resamples: int = 2000) -> dict[str, Interval]:
    """Return the AUC of the scores, that of the ideal observer, and the efficiency.

    ``scores`` are by image_id, in any order; ValueError unless they are of the
    images of the store. The intervals resample images, each a patient.
    """
    truth = store.truth
    if not scores.index.is_unique or set(scores.index) != set(truth.index):
        raise ValueError(f"{len(scores)} scores are not those of {len(truth)} images of the store")
    labels, ideal = truth["label"].to_numpy(), truth["ideal"].to_numpy()
    model, patients = scores.loc[truth.index].to_numpy(float), truth.index.to_numpy()
    same: dict[str, Any] = {"patients": patients, "resamples": resamples}
    return {
        "auc": auc_interval(labels, model, **same),
        "ideal_auc": auc_interval(labels, ideal, **same),
        "efficiency": efficiency_interval(labels, model, ideal, **same),
    }


def is_sound(judged: dict[str, Interval], least: float = LEAST_EFFICIENCY) -> bool:
    """True when even the lower bound of the efficiency is above ``least``."""
    return judged["efficiency"].low > least


def _batches(index: pd.DataFrame, reader: ShardReader) -> Iterator[np.ndarray]:
    places = list(zip(index["shard"], index["shard_row"].astype(int), strict=True))
    for start in range(0, len(places), SCORE_BATCH):
        yield np.stack([reader.row(*place) for place in places[start : start + SCORE_BATCH]])


def _write_images(
    task: LesionTask, drawn: DrawnFields, names: Sequence[str], shards_dir: Path
) -> list[dict[str, Any]]:
    pixels, _ = quantise(drawn.images)
    shard = shard_digest(list(pixels), names)
    shards_dir.mkdir(parents=True, exist_ok=True)
    write_shard(shards_dir, shard, list(pixels))
    return [
        _row(task, name, image, int(label), place) | {"shard": shard, "shard_row": row}
        for row, (name, image, label, place) in enumerate(
            zip(names, pixels, drawn.labels, drawn.places, strict=True)
        )
    ]


def _row(
    task: LesionTask, name: str, image: np.ndarray, label: int, place: np.ndarray
) -> dict[str, Any]:
    box = [asdict(_finding(task, place))] if label else []
    return {
        "image_id": name,
        "exam_id": name,
        "patient_id": name,
        "laterality": "L",
        "view": "CC",
        "scanner": SOURCE,
        "site": SOURCE,
        "source": SOURCE,
        "cancer": label,
        "sha256": hashlib.sha256(image.tobytes()).hexdigest(),
        "rows": task.side_px,
        "columns": task.side_px,
        "spacing_mm": task.spacing_mm,
        "quality": "",
        "findings": json.dumps(box),
    }


def _finding(task: LesionTask, place: np.ndarray) -> Finding:
    """Return the box about the lesion's width at half of its height."""
    half = task.lesion_fwhm_mm / task.spacing_mm / 2
    y, x = (float(value) + 0.5 for value in place)
    return Finding(x - half, y - half, x + half, y + half, kind="mass", malignant=True)


def _truth(task: LesionTask, drawn: DrawnFields, names: Sequence[str]) -> pd.DataFrame:
    """Return what is true of drawn images; from the draw, not from what was stored of it."""
    ids = pd.Index(names, name="image_id")
    ideal = task.log_likelihood_ratio(drawn.images)
    return pd.DataFrame({"label": drawn.labels, "ideal": ideal}, index=ids)
