"""A fit in a process of its own, which kills itself with SIGKILL where it is told to.

A fork server imports what a fit needs once; each fit is a fork of it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from mammo.continual import checkpoints
from mammo.continual.checkpoints import RunFolder
from mammo.continual.fit import train_release
from mammo.continual.lesson import plan_lesson
from mammo.continual.network import fit_network
from mammo.continual.start import start_network
from mammo.models.module import ViewModule
from mammo.settings import Settings
from tests.continual.synthetic import config, write_store

EPOCHS = 4
EVERY_EPOCH = 1e9
"""`checkpoints.MOST_TIME` with which even the shortest epochs write one."""


def fit_in_process(
    folder: Path, run: str, *, die_at: tuple[int, int] | None = None, **changes: Any
) -> int:
    """Fit in another process and return its exit status; -9 when it was killed.

    ``die_at`` is the epoch and the batch, from 0, in which it kills itself. One
    that ends writes ``RUN.safetensors`` and ``RUN.epochs`` into ``folder``.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_fit, args=(folder, run, die_at, changes))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _fit(folder: Path, run: str, die_at: tuple[int, int] | None, changes: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    checkpoints.MOST_TIME = EVERY_EPOCH
    index = write_store(folder / "store")
    _die_at(die_at)
    settled = config(epochs=EPOCHS, **changes)
    net, _ = start_network(settled)
    held = RunFolder(folder / run, "key")
    lesson = plan_lesson(settled, index, parent=folder, focus="b")
    history = fit_network(net, lesson, folder / "store", settled, run=held)
    save_file(dict(net.state_dict()), folder / f"{run}.safetensors")
    (folder / f"{run}.epochs").write_text(str(len(history)))


def train_in_process(settings: Settings, *, die_at: tuple[int, int], **asked: Any) -> int:
    """Train a release in another process that kills itself; return its exit status."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_train, args=(settings.home, die_at, asked))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _train(home: Path, die_at: tuple[int, int], asked: dict[str, Any]) -> None:
    checkpoints.MOST_TIME = EVERY_EPOCH
    _die_at(die_at)
    settings = Settings(home=home, mlflow_port=9, service_port=9, _env_file=None)
    train_release(settings, **asked)


def _die_at(place: tuple[int, int] | None) -> None:
    """Let the process kill itself before a step of its training, given by epoch and batch."""
    step = ViewModule.training_step

    def training_step(self: ViewModule, values: Any, batch_index: int) -> torch.Tensor:
        if (self.current_epoch, batch_index) == place:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, values, batch_index)

    ViewModule.training_step = training_step  # type: ignore[method-assign]
