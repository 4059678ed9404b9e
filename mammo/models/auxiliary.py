"""What a network can learn beside its target: density, view, BI-RADS, a difficult case.

    targets = auxiliary_targets(index, ("density", "view"))     # name -> (N, T), NaN: not known
    losses = auxiliary_losses(net.auxiliary_logits(features), targets)  # name -> ()

The labels are columns of the exam index. What is not known is NaN and left out
of the loss: unlabelled is never negative. A batch without one label of a task
gives a loss of zero for it, with a gradient of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from mammo.errors import SourceInvalid

UNKNOWN = float("nan")
DENSITY_STEPS: dict[str, tuple[float, float, float]] = {
    "A": (0, 0, 0),
    "B": (1, 0, 0),
    "C": (1, 1, 0),
    "D": (1, 1, 1),
    "F": (0, 0, 0),
    "G": (1, UNKNOWN, 0),
}
"""Density letter -> is it above A, above B, above C.

mini-MIAS tells three classes: fatty, fatty-glandular (G: B or C) and
dense-glandular, whose D is not that of ACR: see `MIAS_DENSE`.
"""
MIAS_DENSE = (1, 1, UNKNOWN)
"""mini-MIAS' dense-glandular is ACR C or D."""
MIAS = "mini-mias"
BIRADS_CLASSES = 7
VIEWS = {"CC": 0.0, "MLO": 1.0}


@dataclass(frozen=True)
class AuxiliaryTask:
    """One task: the outputs of its head, its targets from an index, and its loss.

    ``targets`` returns (N, T) float32 with NaN where not known. ``classes``:
    the head's outputs are classes of one softmax and T is 1 (the class's number);
    otherwise each output is a yes or no of its own and T is ``outputs``.
    """

    outputs: int
    targets: Callable[[pd.DataFrame], np.ndarray]
    classes: bool = False

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy over what is known, ()."""
        known = ~torch.isnan(targets)
        if self.classes:
            wanted = torch.where(known, targets, torch.zeros_like(targets)).long().squeeze(1)
            each = functional.cross_entropy(logits, wanted, reduction="none").unsqueeze(1)
        else:
            wanted = torch.where(known, targets, torch.zeros_like(targets))
            each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        # not indexed by the mask: shapes that do not depend on labels compile and shard
        return (each * known).sum() / known.sum().clamp(min=1)


def _density(index: pd.DataFrame) -> np.ndarray:
    """Ordered classes as three questions (Frank and Hall 2001): above A, above B, above C."""
    mias = index["source"].eq(MIAS) if "source" in index else pd.Series(False, index=index.index)
    rows = [
        MIAS_DENSE if letter == "D" and of_mias else DENSITY_STEPS.get(letter, (UNKNOWN,) * 3)
        for letter, of_mias in zip(index["density"], mias, strict=True)
    ]
    return np.asarray(rows, dtype=np.float32).reshape(-1, 3)


def _view(index: pd.DataFrame) -> np.ndarray:
    return _column(index["view"].map(VIEWS))


def _birads(index: pd.DataFrame) -> np.ndarray:
    return _column(index["birads"])


def _difficult(index: pd.DataFrame) -> np.ndarray:
    return _column(index["difficult"])


def _column(values: pd.Series) -> np.ndarray:
    return values.astype("Float32").to_numpy(dtype=np.float32, na_value=np.nan).reshape(-1, 1)


TASKS: dict[str, AuxiliaryTask] = {
    "density": AuxiliaryTask(3, _density),
    "view": AuxiliaryTask(1, _view),
    "birads": AuxiliaryTask(BIRADS_CLASSES, _birads, classes=True),
    "difficult": AuxiliaryTask(1, _difficult),
}
"""Name in a configuration -> task."""


def auxiliary_task(name: str) -> AuxiliaryTask:
    """Return a task by name; SourceInvalid names those there are."""
    if name not in TASKS:
        raise SourceInvalid(f"No auxiliary label {name!r}; allowed are {', '.join(TASKS)}.")
    return TASKS[name]


def auxiliary_targets(index: pd.DataFrame, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the targets of each row of the index: name -> (N, T) float32, NaN: not known."""
    return {name: torch.from_numpy(auxiliary_task(name).targets(index)) for name in names}


def auxiliary_losses(
    logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the loss of each task, (), over the rows whose label is known.

    ``logits`` are `ViewNet.auxiliary_logits`, name -> (N, outputs).
    """
    return {name: TASKS[name].loss(value, targets[name]) for name, value in logits.items()}
