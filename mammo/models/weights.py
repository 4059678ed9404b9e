"""Weights from a file: read without running anything in it, loaded or refused by name.

safetensors holds numbers alone. A PyTorch checkpoint is a pickle, which can run
any code when it is read; it is read with ``weights_only=True``, and one that
needs more than tensors and plain containers is refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mammo.errors import WeightsInvalid, WeightsUnsafe

RELEASE_WEIGHTS = "weights.safetensors"
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin")
INSIDE = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where training programs keep the weights in their checkpoints; the averaged ones first."""
PREFIXES = ("module.", "net.", "model.")
"""What DistributedDataParallel, `mammo.models.module` and others put before each name."""
NOT_OURS = ("fc.", "classifier.", "head.fc.", "head.", "AuxLogits.", "last_linear.", "auxiliary.")
"""Classifiers of the tasks that the weights were learnt on: left out."""
TOLD = 4


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from a safetensors file, a release's folder or a checkpoint.

    Raises
    ------
    WeightsInvalid
        There is no such file, or it cannot be read as what its name says.
    WeightsUnsafe
        A checkpoint that holds more than tensors.
    """
    file = path / RELEASE_WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise WeightsInvalid(
            f"No weights at {path.name!r}: give a .safetensors file, or the folder of a release "
            f"with its {RELEASE_WEIGHTS}."
        )
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    if file.suffix in CHECKPOINTS:
        return _plain_names(_tensors_inside(_read_checkpoint(file), file.name))
    raise WeightsInvalid(
        f"{file.name} is no file of weights: allowed are .safetensors, "
        f"or {', '.join(CHECKPOINTS)} that hold tensors alone."
    )


def is_own(tensors: Mapping[str, Tensor]) -> bool:
    """True where the names are those of a `ViewNet`, not of timm."""
    return "head.weight" in tensors and any(name.startswith("stages.0.") for name in tensors)


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load ``tensors`` into all of ``module``; classifiers of other tasks are left out.

    ``name`` is the model's, for the message. Raises WeightsInvalid that names
    the first tensors that differ, lack or are too many.
    """
    wanted = module.state_dict()
    extra = [one for one in tensors if one not in wanted and not one.startswith(NOT_OURS)]
    lacking = [one for one in wanted if one not in tensors and not _counts(one)]
    differ = [
        f"{one} {tuple(tensors[one].shape)}, expected {tuple(wanted[one].shape)}"
        for one in wanted
        if one in tensors and tensors[one].shape != wanted[one].shape
    ]
    told = [
        *_told("of another shape", differ),
        *_told("missing", lacking),
        *_told("not part of the model", extra),
    ]
    if told:
        raise WeightsInvalid(
            f"These weights do not fit {name}: {'; '.join(told)}. "
            "Choose the architecture that they were learnt with."
        )
    kept = {one: tensors[one] for one in wanted if one in tensors}
    module.load_state_dict(kept, strict=False)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _counts(name: str) -> bool:
    """True for the counter of batches: of no use after training, and often left out."""
    return name.endswith("num_batches_tracked")


def _told(what: str, names: list[str]) -> list[str]:
    """Return "N tensors are WHAT (the first of them)", or nothing."""
    if not names:
        return []
    more = f", and {len(names) - TOLD} more" * (len(names) > TOLD)
    verb = "tensor is" if len(names) == 1 else "tensors are"
    return [f"{len(names)} {verb} {what}: {', '.join(names[:TOLD])}{more}"]


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise WeightsInvalid(f"{file.name} is no safetensors file, or damaged: {error}") from error


def _read_checkpoint(file: Path) -> Any:
    """Unpickle tensors and plain containers, nothing else."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsUnsafe(
            f"{file.name} holds more than tensors, or is damaged: to read it as it is would run "
            "code of whoever wrote it. Ask for a safetensors file."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsInvalid(f"{file.name} cannot be read as a checkpoint of PyTorch.") from error


def _tensors_inside(loaded: Any, name: str) -> dict[str, Tensor]:
    for key in INSIDE:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    tensors = {k: v for k, v in loaded.items() if isinstance(v, Tensor)} if _named(loaded) else {}
    if not tensors:
        raise WeightsInvalid(f"{name} holds no tensors by name: a state_dict is expected.")
    return tensors


def _named(loaded: Any) -> bool:
    return isinstance(loaded, Mapping) and all(isinstance(key, str) for key in loaded)


def _plain_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off a prefix that all names share."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
