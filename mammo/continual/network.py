"""Fit a network to rows of the index with Lightning."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException
from torch.utils.data import DataLoader

from mammo.continual.checkpoints import EpochCheckpoints, RunFolder, rescue_weights
from mammo.continual.lesson import Lesson, plan_lesson
from mammo.continual.places import fit_places
from mammo.continual.trainer import History, build_trainer, draws_of, train_loader, watch_loader
from mammo.continual.trunk import TRUNK_BATCH, may_keep_maps, trunk_maps
from mammo.data.augment import build_augment
from mammo.data.dataset import MapDataset, ViewDataset
from mammo.data.draws import EpochDraws
from mammo.errors import SourceInvalid, TrainingDiverged
from mammo.models.anchors import REPLAYED, Anchor
from mammo.models.auxiliary import auxiliary_targets
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig
from mammo.models.module import ViewModule

Progress = Callable[[int, int], None]
SMALL_SET = 8
"""Images up to which an epoch's last batch is used although it is not full."""


def fit_network(
    net: ViewNet,
    index: pd.DataFrame | Lesson,
    shards_dir: Path,
    config: TrainConfig,
    *,
    maps: Tensor | None = None,
    progress: Progress | None = None,
    run: RunFolder | None = None,
) -> list[dict[str, float]]:
    """Train ``net`` in place on the rows of ``index``; returns the metrics of each epoch.

    Parameters
    ----------
    index
        Labelled rows, all to be learnt; or a lesson that a strategy made of them.
    maps
        `trunk_maps` of the same rows, where they were computed before.
    run
        Where checkpoints go. A fit that was killed there is taken up after its
        last whole epoch and ends with the same weights, bit for bit on a CPU;
        one that was finished is not done again.

    Raises
    ------
    TrainingDiverged
        The loss became NaN or infinite. The last good checkpoint stays in the
        run's folder, and its weights as a safetensors file to start from.
    CheckpointForeign
        The folder holds a checkpoint that this run did not write.
    """
    if run is not None and (history := run.finished(net)) is not None:
        net.eval()
        return history
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    lesson = index if isinstance(index, Lesson) else plan_lesson(config, index)
    if may_keep_maps(net, config) and maps is None:
        maps = trunk_maps(net, _dataset(lesson.rows, shards_dir, config))
    kept = maps if may_keep_maps(net, config) else None
    if config.fit == "places":  # solved, not descended to: no epochs
        return _solve(net, kept, lesson.rows, config, run)
    anchor = lesson.hold(net, shards_dir)
    loaders = _loaders(lesson, kept, shards_dir, config, anchor)
    module = ViewModule(net, config, cached=kept is not None, anchor=anchor)
    if config.channels_last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    history = _fit(module, loaders, config, progress, run)
    net.eval()
    if run is not None:
        run.finish(net, history)
    return history


def _solve(
    net: ViewNet,
    maps: Tensor | None,
    index: pd.DataFrame,
    config: TrainConfig,
    run: RunFolder | None,
) -> list[dict[str, float]]:
    if maps is None:
        raise SourceInvalid("fit is 'places', which needs augment: false and unfreeze_every: 0")
    history = fit_places(net, maps, index, config)
    net.eval()
    if run is not None:
        run.finish(net, history)
    return history


def _fit(
    module: ViewModule,
    loaders: tuple[DataLoader[Any], DataLoader[Any] | None],
    config: TrainConfig,
    progress: Progress | None,
    run: RunFolder | None,
) -> list[dict[str, float]]:
    """Let Lightning train, from the run's newest checkpoint where there is one."""
    checkpoint = None if run is None else run.checkpoint()
    if run is not None and checkpoint is not None:
        draws_of(loaders[0]).set_epoch(run.epochs_done(checkpoint))
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "history.json"
        history = History(progress, told)
        callbacks = [history, *([EpochCheckpoints(run)] if run is not None else [])]
        trainer = build_trainer(config, callbacks)
        try:
            trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
        except (TrainingDiverged, ProcessRaisedException) as error:
            if (message := _divergence(error)) is None:
                raise
            raise TrainingDiverged(f"{message}. {_kept(run)}") from error
        # another process may have trained, and kept its history to itself
        return history.epochs or list(json.loads(told.read_text()))


def _divergence(error: Exception) -> str | None:
    """Return the message of a TrainingDiverged, also of another process; None for other errors."""
    if isinstance(error, TrainingDiverged):
        return error.message
    _, found, message = str(error).rpartition(f"{TrainingDiverged.__name__}: ")
    return message.strip() if found else None


def _kept(run: RunFolder | None) -> str:
    """Return a sentence on what is left of a training that diverged."""
    rescued = None if run is None else rescue_weights(run)
    if run is None or rescued is None:
        return "No epoch was finished, so no checkpoint was kept"
    return (
        f"The last good checkpoint stays: {run.checkpoint()}; to start from its weights, "
        f"set weights: {rescued}"
    )


def _dataset(index: pd.DataFrame, shards_dir: Path, config: TrainConfig, **more: Any) -> Any:
    return ViewDataset(index, shards_dir, config.preprocess, target=config.target, **more)


def _loaders(
    lesson: Lesson,
    maps: Tensor | None,
    shards_dir: Path,
    config: TrainConfig,
    anchor: Anchor | None,
) -> tuple[DataLoader[Any], DataLoader[Any] | None]:
    """Return the loader of the rows to train on, and that of the watched ones."""
    watched = lesson.watched
    rows, kept = lesson.rows[~watched], None if maps is None else maps[torch.from_numpy(~watched)]
    augment = build_augment(config.seed, config.augment)
    more = {"augment": augment, "auxiliary": _further_labels(lesson, config, anchor)}
    images = _dataset(rows, shards_dir, config, **more)
    data = images if kept is None else MapDataset(kept, images.labels, images.auxiliary)
    draws = _draws(lesson.weights[~watched], images.labels, config, cached=kept is not None)
    train = train_loader(data, draws, config.workers if kept is None else 0)
    if not watched.any():
        return train, None
    seen = _dataset(lesson.rows[watched], shards_dir, config)
    if maps is not None:
        seen = MapDataset(maps[torch.from_numpy(watched)], seen.labels)
    return train, watch_loader(seen, config.batch_size, 0 if maps is not None else config.workers)


def _further_labels(
    lesson: Lesson, config: TrainConfig, anchor: Anchor | None
) -> dict[str, np.ndarray]:
    """Return the auxiliary labels of the rows to train on and, for an anchor, which are old."""
    drawn = ~lesson.watched
    targets = auxiliary_targets(lesson.rows[drawn], config.auxiliary)
    labels = {name: values.numpy() for name, values in targets.items()}
    if anchor is not None:
        labels[REPLAYED] = lesson.replayed[drawn].astype(np.float32)
    return labels


def _draws(
    weights: np.ndarray, labels: np.ndarray, config: TrainConfig, *, cached: bool
) -> EpochDraws:
    return EpochDraws(
        weights,
        labels,
        batch_size=config.batch_size,
        seed=config.seed,
        positive_share=config.positive_share if config.sampler == "per_batch" else None,
        drop_last=not cached and len(labels) > SMALL_SET,
    )


def view_logits(
    net: ViewNet, index: pd.DataFrame, shards_dir: Path, config: TrainConfig
) -> np.ndarray:
    """Return the raw logit of each row, (N,) float64, without augmentation."""
    return view_outputs(net, index, shards_dir, config)[0]


def view_outputs(
    net: ViewNet, index: pd.DataFrame, shards_dir: Path, config: TrainConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's logit (N,) float64 and features (N, F) float32, not augmented."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = _dataset(index, shards_dir, config)
    net.eval().to(device)
    logits, features = [], []
    with torch.inference_mode():
        for images, _ in DataLoader(data, batch_size=TRUNK_BATCH):
            found = net.pooled(net.trunk(images.to(device)))
            features.append(found.cpu())
            logits.append(net.logits(found).double().cpu())
    net.cpu()
    return torch.cat(logits).numpy(), torch.cat(features).numpy()
