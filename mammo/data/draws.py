"""Which images make up each batch of an epoch, from the seed and the epoch's number alone.

Nothing is carried from one epoch to the next, nor between processes: a run that
was killed takes up at an epoch as if it had never stopped, and any number of
loader workers or devices sees the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import distributed
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """One image of a batch: its row, and a number of its own that seeds its augmentation."""

    item: int
    seed: int


class EpochDraws(Sampler[list[Draw]]):
    """Batches of `Draw`; with several devices each takes every n-th batch.

    Parameters
    ----------
    weights
        (N,) probability of each row (`mammo.data.replay.sampling_weights`).
    labels
        (N,) 0 or 1.
    batch_size
        Images of a batch, of one device.
    positive_share
        None draws the images of a batch by the weights alone, so that a batch
        may have no positive. A share guarantees as many positives in every
        batch, at least one; where share x batch size is no whole number,
        batches take turns so that the epoch has the share. Among the positives,
        and among the negatives, the weights decide.
    drop_last
        Leave out a last batch that is not full.
    """

    def __init__(
        self,
        weights: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        positive_share: float | None = None,
        drop_last: bool = False,
    ) -> None:
        self.weights = np.asarray(weights, np.float64)
        self.positive = np.asarray(labels) == 1
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self.positive_share = positive_share
        self.drop_last = drop_last

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch `iter` draws next, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches of an epoch, of one device."""
        return self._batches() // _place()[1]

    def __iter__(self) -> Iterator[list[Draw]]:
        rank, ranks = _place()
        items, seeds = self.draw()
        for number in range(rank, len(self) * ranks, ranks):
            part = slice(number * self.batch_size, (number + 1) * self.batch_size)
            yield [Draw(int(i), int(s)) for i, s in zip(items[part], seeds[part], strict=True)]

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of this epoch in order, (D,) int64, and a seed for each."""
        generator = np.random.default_rng((self.seed, self.epoch))
        count = len(self.weights)
        if self.positive_share is None:
            items = _pick(generator, self.weights, count)
        else:
            items = self._balanced(generator)
        return items, generator.integers(2**32, size=len(items))

    def _batches(self) -> int:
        count = len(self.weights)
        whole, rest = divmod(count, self.batch_size)
        uneven = _place()[1] > 1 or self.positive_share is not None
        if whole and (self.drop_last or uneven):
            return whole
        return whole + bool(rest)

    def _balanced(self, generator: np.random.Generator) -> np.ndarray:
        """Return rows in which each run of ``batch_size`` has its positives, in any order."""
        batches, size = self._batches(), self.batch_size
        assert self.positive_share is not None
        due = np.floor(np.arange(batches + 1) * self.positive_share * size + 0.5)
        wanted = np.clip(np.diff(due).astype(int), 1, max(1, size - 1))
        positives = _pick(generator, self.weights * self.positive, int(wanted.sum()))
        rest = _pick(generator, self.weights * ~self.positive, batches * size - len(positives))
        filled = np.zeros((batches, size), dtype=bool)
        for row, count in zip(filled, wanted, strict=True):
            row[generator.permutation(size)[:count]] = True
        items = np.empty((batches, size), dtype=np.int64)
        items[filled], items[~filled] = positives, rest
        return items.ravel()


def _pick(generator: np.random.Generator, weights: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` rows by their weights, with repetition."""
    return generator.choice(len(weights), size=count, p=weights / weights.sum())


def _place() -> tuple[int, int]:
    """Return the number of this process and how many train together; (0, 1) when alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
