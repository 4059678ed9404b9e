"""Lightning's trainer and its data loaders, as a configuration asks for them."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint, EarlyStopping
from torch.utils.data import DataLoader

from mammo.data.dataset import MapDataset, ViewDataset
from mammo.data.draws import EpochDraws
from mammo.errors import SourceInvalid
from mammo.models.config import TrainConfig

Progress = Callable[[int, int], None]
LAUNCHERS = ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS")
"""Variables by which a launcher of several processes is known."""


@dataclass
class History(Callback):
    """What each epoch logged, and a progress call per epoch.

    ``path`` is where it is written, for a process that lets others train.
    """

    progress: Progress | None = None
    path: Path | None = None
    epochs: list[dict[str, float]] = field(default_factory=list)

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Tell the loader which epoch it draws next."""
        draws_of(trainer.train_dataloader).set_epoch(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Keep the epoch's metrics."""
        self.epochs.append({k: float(v) for k, v in trainer.callback_metrics.items()})
        if self.progress is not None:
            self.progress(len(self.epochs), trainer.max_epochs or len(self.epochs))

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Write what was kept."""
        if self.path is not None and trainer.is_global_zero:
            self.path.write_text(json.dumps(self.epochs))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up from a checkpoint."""
        self.epochs = list(state["epochs"])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"progress": None}  # another process cannot call it

    def __hash__(self) -> int:
        return id(self)


def build_trainer(config: TrainConfig, callbacks: list[Callback]) -> lightning.Trainer:
    """Return the trainer: devices, precision, accumulation, early stopping.

    Raises SourceInvalid for ``strategy: ddp`` without a launcher of processes.
    """
    for name in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    if config.monitor != "none":
        callbacks = [*callbacks, _early_stopping(config)]
    return lightning.Trainer(
        max_epochs=config.epochs,
        accelerator="auto",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=_strategy(config),
        precision=config.precision,  # type: ignore[arg-type]  # checked by the configuration
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.gradient_clip or None,
        use_distributed_sampler=False,  # `EpochDraws` gives each process its batches
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=any(isinstance(one, Checkpoint) for one in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        deterministic="warn",
    )


def _early_stopping(config: TrainConfig) -> EarlyStopping:
    mode = "min" if config.monitor.endswith("loss") else "max"
    return EarlyStopping(config.monitor, patience=config.patience, mode=mode)


def require_launcher(config: TrainConfig) -> None:
    """Raise SourceInvalid for ``strategy: ddp`` without a launcher of processes."""
    if config.strategy == "ddp" and not any(name in os.environ for name in LAUNCHERS):
        raise SourceInvalid(
            "strategy: ddp takes the processes that a launcher started: "
            f"torchrun --no-python --nproc-per-node {config.devices} mammo train ...; "
            "or set strategy: ddp_spawn on one machine"
        )


def _strategy(config: TrainConfig) -> str:
    require_launcher(config)
    if config.strategy == "auto" and config.devices > 1:
        return "ddp_spawn"
    return config.strategy


def is_first_process() -> bool:
    """True in the process that writes: the only one, or the first that a launcher started."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0


def train_loader(
    data: ViewDataset | MapDataset, draws: EpochDraws, workers: int
) -> DataLoader[Any]:
    """Return the loader of batches that an epoch draws."""
    return DataLoader(data, batch_sampler=draws, **_options(workers))


def watch_loader(data: ViewDataset | MapDataset, batch_size: int, workers: int) -> DataLoader[Any]:
    """Return the loader of the watched patients' images, in order, never augmented."""
    return DataLoader(data, batch_size=batch_size, **_options(workers))


def _options(workers: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": torch.cuda.is_available(),
        "worker_init_fn": _one_thread if workers else None,
    }


def _one_thread(worker: int) -> None:
    """Let OpenCV use one thread in a worker: there are as many workers as cores to use."""
    import cv2

    cv2.setNumThreads(0)


def draws_of(loader: Any) -> EpochDraws:
    """Return what draws the batches of a loader made here."""
    draws = loader.batch_sampler
    assert isinstance(draws, EpochDraws)
    return draws
