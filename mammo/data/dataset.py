"""Prepared images and labels for PyTorch: the training side of the one preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mammo.data.draws import Draw
from mammo.data.index import target_values
from mammo.data.shards import ShardReader
from mammo.preprocess import PreprocessConfig, to_tensor

Augment = Callable[..., np.ndarray]
Item = tuple[Any, ...]
"""Input, label () float32 and, where there are auxiliary labels, a mapping of them."""


class ViewDataset(Dataset[Item]):
    """One item a mammogram: image (1, H, W) float32 in [0, 1], label of its breast ().

    ``index`` has the rows to use, all labelled for ``target``. ``augment`` takes
    and returns (1, H, W) float32; without it an item is bit for bit what the
    service feeds the model. ``auxiliary`` are further labels of each row by
    name, (N, ...) float32 with NaN where unknown.
    """

    def __init__(
        self,
        index: pd.DataFrame,
        shards_dir: Path,
        config: PreprocessConfig,
        *,
        target: str,
        augment: Augment | None = None,
        auxiliary: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.labels = target_values(index, target).to_numpy(dtype=np.float32)
        self.auxiliary = dict(auxiliary or {})
        self.places = list(zip(index["shard"], index["shard_row"].astype(int), strict=True))
        self.reader = ShardReader(shards_dir)
        self.config = config
        self.augment = augment

    def __len__(self) -> int:
        return len(self.places)

    def image(self, item: int) -> np.ndarray:
        """Return the tensor of an item, (1, H, W) float32, never augmented."""
        return to_tensor(self.reader.row(*self.places[item]), self.config)

    def __getitem__(self, item: int | Draw) -> Item:
        place, seed = (item.item, item.seed) if isinstance(item, Draw) else (item, None)
        image = self.image(place)
        if self.augment is not None:
            image = self.augment(image) if seed is None else self.augment(image, seed)
        return labelled(torch.from_numpy(image), place, self.labels, self.auxiliary)


class MapDataset(Dataset[Item]):
    """One item a mammogram: the frozen trunk's map of it, or of its mirror image, and its label.

    ``maps`` is (N, 2, ...) float16: of the image and of its mirror image; a
    `Draw` takes one of the two by its seed, a plain number the image itself.
    """

    def __init__(
        self, maps: Tensor, labels: np.ndarray, auxiliary: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self.maps, self.labels = maps, labels
        self.auxiliary = dict(auxiliary or {})

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, item: int | Draw) -> Item:
        place, form = (item.item, item.seed & 1) if isinstance(item, Draw) else (item, 0)
        return labelled(self.maps[place, form].float(), place, self.labels, self.auxiliary)


def labelled(
    values: Tensor, place: int, labels: np.ndarray, auxiliary: Mapping[str, np.ndarray]
) -> Item:
    """Return an item: input, label and, where there are any, the auxiliary labels."""
    label = torch.tensor(labels[place])
    if not auxiliary:
        return values, label
    return values, label, {name: torch.as_tensor(one[place]) for name, one in auxiliary.items()}
