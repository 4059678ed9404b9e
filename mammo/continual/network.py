"""Fit a network to rows of the index with Lightning."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from mammo.data.augment import build_augment
from mammo.data.dataset import ViewDataset
from mammo.data.replay import sampling_weights
from mammo.export.onnx import export_onnx
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig
from mammo.models.module import ViewModule
from mammo.preprocess import PreprocessConfig

Progress = Callable[[int, int], None]
TRUNK_BATCH = 16


@dataclass
class History(lightning.Callback):
    """What each epoch logged, and a progress call per epoch."""

    progress: Progress | None = None
    epochs: list[dict[str, float]] = field(default_factory=list)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Keep the epoch's metrics."""
        self.epochs.append({k: float(v) for k, v in trainer.callback_metrics.items()})
        if self.progress is not None:
            self.progress(len(self.epochs), trainer.max_epochs)


def trunk_maps(net: ViewNet, data: ViewDataset, progress: Progress | None = None) -> Tensor:
    """Run the frozen trunk once over every image and its mirror image.

    Returns (N, 2, ...) float16: maps of the image and of its horizontal flip. The
    trunk runs in ONNX Runtime, three times as fast on a CPU as eager PyTorch.
    """
    kept: list[Tensor] = []
    session = _trunk_session(net, data.config)
    for start in range(0, len(data), TRUNK_BATCH):
        items = range(start, min(start + TRUNK_BATCH, len(data)))
        images = np.stack([data.image(item) for item in items])
        pair = [
            session.run(["maps"], {"image": np.ascontiguousarray(one)})[0]
            for one in (images, images[..., ::-1])
        ]
        # half precision: a training input, never a score
        kept.append(torch.from_numpy(np.stack(pair, axis=1)).half())
        if progress is not None:
            progress(items.stop, len(data))
    return torch.cat(kept)


class _Trunk(nn.Module):
    """The frozen part of a network as a module of its own, to be exported."""

    def __init__(self, net: ViewNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        return self.net.trunk(image)


def _trunk_session(net: ViewNet, config: PreprocessConfig) -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.onnx"
        size = {"height": config.height, "width": config.width}
        export_onnx(_Trunk(net), path, **size, output="maps")
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def fit_network(
    net: ViewNet,
    index: pd.DataFrame,
    shards_dir: Path,
    config: TrainConfig,
    *,
    focus: str | None = None,
    maps: Tensor | None = None,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train ``net`` in place on the rows of ``index``; returns the metrics of each epoch.

    ``maps`` are `trunk_maps` of the same rows, where they were computed before.
    ``focus`` is the scanner that must be learnt, all others are replay.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    augment = build_augment(config.seed, config.augment)
    data = ViewDataset(index, shards_dir, config.preprocess, target=config.target, augment=augment)
    weights = sampling_weights(
        data.labels,
        index["scanner"].to_numpy(),
        positive_share=config.positive_share,
        focus=focus,
        replay_share=config.replay_share,
    )
    cached = augment is None
    if cached:
        maps = trunk_maps(net, data) if maps is None else maps
    loader = _loader(data, maps if cached else None, weights, config)
    module = ViewModule(net, config, steps=len(loader) * config.epochs, cached=cached)
    history = History(progress)
    _trainer(config, history).fit(module, loader)
    net.eval()
    return history.epochs


def _loader(
    data: ViewDataset, maps: Tensor | None, weights: np.ndarray, config: TrainConfig
) -> DataLoader[Any]:
    count = len(data) if maps is None else 2 * len(data)
    generator = torch.Generator().manual_seed(config.seed)
    if maps is None:
        sampler = WeightedRandomSampler(weights.tolist(), len(data), generator=generator)
        return DataLoader(data, batch_size=config.batch_size, sampler=sampler, drop_last=count > 8)
    labels = torch.from_numpy(data.labels).repeat_interleave(2)
    pairs = TensorDataset(maps.flatten(0, 1), labels)
    doubled = np.repeat(weights, 2) / 2
    # an epoch draws as many views as there are images: each in one of its two forms
    sampler = WeightedRandomSampler(doubled.tolist(), len(data), generator=generator)
    return DataLoader(
        pairs, batch_size=config.batch_size, sampler=sampler, collate_fn=_collate_half
    )


def _collate_half(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    maps, labels = zip(*items, strict=True)
    return torch.stack(maps).float(), torch.stack(labels)


def _trainer(config: TrainConfig, history: History) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    return lightning.Trainer(
        max_epochs=config.epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[history],
        deterministic="warn",
    )


def view_logits(
    net: ViewNet, index: pd.DataFrame, shards_dir: Path, config: TrainConfig
) -> np.ndarray:
    """Return the raw logit of each row, (N,) float64, without augmentation."""
    data = ViewDataset(index, shards_dir, config.preprocess, target=config.target)
    net.eval()
    loader: DataLoader[Any] = DataLoader(data, batch_size=TRUNK_BATCH)
    with torch.inference_mode():
        parts = [net(images) for images, _ in loader]
    return np.asarray(torch.cat(parts).double().cpu().numpy())
