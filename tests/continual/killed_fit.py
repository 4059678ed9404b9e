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

from mammo.continual.checkpoints import RunFolder
from mammo.continual.network import fit_network
from mammo.continual.start import start_network
from mammo.models.module import ViewModule
from tests.continual.synthetic import config, write_store

EPOCHS = 4


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
    index = write_store(folder / "store")
    step = ViewModule.training_step

    def training_step(self: ViewModule, values: Any, batch_index: int) -> torch.Tensor:
        if (self.current_epoch, batch_index) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, values, batch_index)

    ViewModule.training_step = training_step  # type: ignore[method-assign]
    settled = config(epochs=EPOCHS, **changes)
    net, _ = start_network(settled)
    held = RunFolder(folder / run, "key")
    history = fit_network(net, index, folder / "store", settled, run=held)
    save_file(dict(net.state_dict()), folder / f"{run}.safetensors")
    (folder / f"{run}.epochs").write_text(str(len(history)))
