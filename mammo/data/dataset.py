"""Prepared images and labels for PyTorch: the training side of the one preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mammo.data.index import target_values
from mammo.data.shards import ShardReader
from mammo.preprocess import PreprocessConfig, to_tensor

Augment = Callable[[np.ndarray], np.ndarray]


class ViewDataset(Dataset[tuple[Tensor, Tensor]]):
    """One item a mammogram: image (1, H, W) float32 in [0, 1], label of its breast ().

    ``index`` has the rows to use, all labelled for ``target``. ``augment`` takes
    and returns (1, H, W) float32; without it an item is bit for bit what the
    service feeds the model.
    """

    def __init__(
        self,
        index: pd.DataFrame,
        shards_dir: Path,
        config: PreprocessConfig,
        *,
        target: str,
        augment: Augment | None = None,
    ) -> None:
        self.labels = target_values(index, target).to_numpy(dtype=np.float32)
        self.places = list(zip(index["shard"], index["shard_row"].astype(int), strict=True))
        self.reader = ShardReader(shards_dir)
        self.config = config
        self.augment = augment

    def __len__(self) -> int:
        return len(self.places)

    def image(self, item: int) -> np.ndarray:
        """Return the tensor of an item, (1, H, W) float32, never augmented."""
        return to_tensor(self.reader.row(*self.places[item]), self.config)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        image = self.image(item)
        if self.augment is not None:
            image = self.augment(image)
        return torch.from_numpy(image), torch.tensor(self.labels[item])
