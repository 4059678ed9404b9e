"""The run folder: what a training that was killed needs to end as if it had not been.

    runs/KEY/              KEY follows from configuration, data and start
        run.json           what the key stands for
        fit/epoch-0003.ckpt    all that epoch 4 begins with; the newest alone is kept
        fold-0-2/fit.safetensors   the network of a fit that is finished

Draws, dropout and augmentation of an epoch follow from the seed and its number
(`mammo.data.draws`, `ViewModule.on_train_batch_start`), so an epoch that is done
again is the same. Checkpoints are read with ``weights_only``: no file in the
folder can run code. The folder goes when the release is sealed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pickle
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Checkpoint
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mammo.errors import CheckpointForeign, TrainingRunning
from mammo.release import write_json

FINISHED = "fit.safetensors"
HISTORY = "history.json"
GOING = ".over."
"""Begin of the name of a run's folder that is being removed."""
OWNER = "mammo_run"
"""Entry of a checkpoint that says which run wrote it."""
MOST_TIME = 0.05
"""Share of a training's time that goes into its checkpoints at most."""
History = list[dict[str, float]]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training, or of one fit in it."""

    path: Path
    key: str

    def part(self, name: str) -> RunFolder:
        """Return the folder of one fit of this training."""
        return RunFolder(self.path / name, f"{self.key}/{name}")

    def checkpoint(self) -> Path | None:
        """Return the newest checkpoint, or None."""
        return max(self.path.glob("epoch-*.ckpt"), default=None)

    def epochs_done(self, checkpoint: Path) -> int:
        """Return how many epochs a checkpoint has behind it.

        Raises
        ------
        CheckpointForeign
            Another run wrote it, or it is no checkpoint that can be read safely.
        """
        return int(read_checkpoint(checkpoint, self.key)["epoch"]) + 1

    def finished(self, net: nn.Module) -> History | None:
        """Put a finished fit's weights into ``net`` and return its history; None without both."""
        if not all((self.path / name).is_file() for name in (FINISHED, HISTORY)):
            return None
        net.load_state_dict(load_file(self.path / FINISHED))
        history: History = json.loads((self.path / HISTORY).read_text())
        return history

    def finish(self, net: nn.Module, history: History) -> None:
        """Keep a finished fit until the whole training is, and drop its checkpoints."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / HISTORY, history)
        write_weights(self.path / FINISHED, net.state_dict())
        for path in self.path.glob("epoch-*"):
            path.unlink(missing_ok=True)  # of several processes another may have done it


class EpochCheckpoints(Checkpoint):
    """Writes a checkpoint after an epoch, in one step, and drops the one before.

    Not after the last epoch, whose outcome is the finished fit itself, nor where
    epochs are so short that writing would take more than `MOST_TIME` of them.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.cost_s, self.ended_s = 0.0, 0.0

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Write the checkpoint where it is due; every device's process takes part."""
        if trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs:
            return
        started = time.monotonic()
        due = started - self.ended_s >= self.cost_s / MOST_TIME
        if trainer.strategy.broadcast(due):
            self._write(trainer)
            self.ended_s = time.monotonic()
            self.cost_s = self.ended_s - started

    def _write(self, trainer: lightning.Trainer) -> None:
        folder = self.folder.path
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / ".draft.ckpt"
        trainer.save_checkpoint(draft)
        if trainer.is_global_zero:
            before = self.folder.checkpoint()
            _settle(draft, folder / f"epoch-{trainer.current_epoch + 1:04d}.ckpt")
            if before is not None:
                before.unlink()

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Sign the checkpoint with the run's key."""
        checkpoint[OWNER] = self.folder.key


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """Read a checkpoint of the run with this key; CheckpointForeign for any other file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise CheckpointForeign(_foreign(path, "cannot be read as numbers and text")) from error
    if not isinstance(state, dict) or state.get(OWNER) != key:
        raise CheckpointForeign(_foreign(path, "was not written by this run"))
    return state


def _foreign(path: Path, what: str) -> str:
    return (
        f"checkpoint {path.parent.name}/{path.name} {what}, and is not used. "
        f"Remove the folder {path.parent} to begin this fit anew"
    )


def rescue_weights(folder: RunFolder) -> Path | None:
    """Write the last good checkpoint's averaged weights as safetensors, to start from.

    None where there is no checkpoint. ``weights`` of a configuration takes the file.
    """
    checkpoint = folder.checkpoint()
    if checkpoint is None:
        return None
    state = read_checkpoint(checkpoint, folder.key)
    own = {k.removeprefix("net."): v for k, v in state["state_dict"].items() if "net." in k[:4]}
    path = checkpoint.with_suffix(".safetensors")
    write_weights(path, own | state["average"]["kept"])
    return path


def write_weights(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({name: value.contiguous() for name, value in tensors.items()}, draft)
    _settle(draft, path)


def _settle(draft: Path, path: Path) -> None:
    """Give a written file its name once its bytes are on the disk."""
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(path)


def run_key(*facts: object) -> str:
    """Return 16 hex digits that stand for everything that a training's outcome follows from."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def open_run(
    runs_dir: Path, key: str, facts: dict[str, Any], *, first: bool = True
) -> Iterator[RunFolder]:
    """Hold the folder of a run; it stays after an error or a kill and goes after success.

    Of several processes that train together the ``first`` holds it for all.
    Raises TrainingRunning when another training holds it.
    """
    folder = RunFolder(runs_dir / key, key)
    folder.path.mkdir(parents=True, exist_ok=True)
    if not first:
        yield folder
        return
    with (folder.path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingRunning(
                f"another process trains the same configuration on the same data (run {key}): "
                "wait for it, or change the seed"
            ) from error
        _sweep(runs_dir)
        write_json(folder.path / "run.json", facts)
        yield folder
        # out of the way in one step: killed while it goes, no half of it is taken up
        folder.path.rename(runs_dir / f"{GOING}{key}.{os.getpid()}")
        _sweep(runs_dir)


def _sweep(runs_dir: Path) -> None:
    """Remove the folders of runs that are over, those too that a kill has left half."""
    for path in runs_dir.glob(f"{GOING}*"):
        shutil.rmtree(path, ignore_errors=True)  # another process may be at it; else next time
