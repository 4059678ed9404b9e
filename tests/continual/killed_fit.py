"""A fit in a process of its own, which kills itself with SIGKILL where it is told to.

    python -m tests.continual.killed_fit STORE RUN OUT EPOCH BATCH AUGMENT

EPOCH and BATCH count from 0; EPOCH -1 lets it end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from mammo.continual.checkpoints import RunFolder
from mammo.continual.network import fit_network
from mammo.continual.start import start_network
from mammo.models.module import ViewModule
from tests.continual.synthetic import config, write_store


def main(store: str, run: str, out: str, epoch: str, batch: str, augment: str) -> None:
    """Fit, or die in the middle of it."""
    torch.set_num_threads(1)
    index = write_store(Path(store))
    step = ViewModule.training_step

    def training_step(self: ViewModule, values: tuple, batch_index: int) -> torch.Tensor:
        if (self.current_epoch, batch_index) == (int(epoch), int(batch)):
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, values, batch_index)

    ViewModule.training_step = training_step  # type: ignore[method-assign]
    settled = config(
        epochs=4, augment=augment == "True", monitor="watch_auc", watch_fraction=0.3,
        sampler="per_batch", accumulate=2, patience=9,
    )  # fmt: skip
    net, _ = start_network(settled)
    history = fit_network(net, index, Path(store), settled, run=RunFolder(Path(run), "key"))
    save_file(dict(net.state_dict()), out)
    print(len(history))


if __name__ == "__main__":
    main(*sys.argv[1:])
