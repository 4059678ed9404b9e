"""From a feature map to features, and back: which place brought which share of them.

Each pooling says what every place (h, w) contributed to each feature, such that
the shares of a feature add up to it. With a linear head that makes the logit a
sum over places (`mammo.models.breast_net.ViewNet.outputs`): the class-activation
map of Zhou et al. (2016, arXiv:1512.04150), for other poolings than the mean, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammo.errors import SourceInvalid

GEM_EXPONENT = 3.0
GEM_FLOOR = 1e-4


class Pool(nn.Module):
    """(N, C, h, w) -> (N, ``multiple`` * C), and what each place brought."""

    multiple = 1

    def heat(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Return (N, h, w), summing to ``forward(maps) @ weight``; one weight a feature."""
        raise NotImplementedError


class MeanPool(Pool):
    """The mean over places: density is everywhere. (N, C, h, w) -> (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the mean of each channel."""
        return maps.mean(dim=(2, 3))

    def heat(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Return (N, h, w), summing to ``forward(maps) @ weight``; ``weight`` is (C,)."""
        return _weigh(maps, weight) / (maps.shape[2] * maps.shape[3])


class MaxPool(Pool):
    """The maximum over places: a finding is small. (N, C, h, w) -> (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maximum of each channel."""
        return maps.amax(dim=(2, 3))

    def heat(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Return (N, h, w): each channel at the places of its maximum, which share it."""
        most = maps.amax(dim=(2, 3), keepdim=True)
        at_most = (maps == most).to(maps.dtype)
        return _weigh(at_most * (most / at_most.sum(dim=(2, 3), keepdim=True)), weight)


class MeanMaxPool(Pool):
    """Mean and maximum side by side. (N, C, h, w) -> (N, 2C)."""

    multiple = 2

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.max = MeanPool(), MaxPool()

    def forward(self, maps: Tensor) -> Tensor:
        """Return the mean of each channel, then the maximum of each."""
        return torch.cat([self.mean(maps), self.max(maps)], dim=1)

    def heat(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Return (N, h, w), summing to ``forward(maps) @ weight``; ``weight`` is (2C,)."""
        of_mean, of_max = weight.chunk(2)
        return self.mean.heat(maps, of_mean) + self.max.heat(maps, of_max)


class GemPool(Pool):
    """Generalised mean, (mean of x^p)^(1/p), p learnt. (N, C, h, w) -> (N, C).

    p = 1 is the mean, p to infinity the maximum; values below 1e-4 count as that
    (Radenovic, Tolias and Chum 2018, arXiv:1711.02512).
    """

    def __init__(self, exponent: float = GEM_EXPONENT) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(exponent))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the generalised mean of each channel."""
        powers = self._powers(maps)
        return powers.mean(dim=(2, 3)).pow(1.0 / self.exponent)

    def heat(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Return (N, h, w): each place has its share of the sum of powers."""
        powers = self._powers(maps)
        total = powers.sum(dim=(2, 3), keepdim=True)
        area = maps.shape[2] * maps.shape[3]
        return _weigh(powers * ((total / area).pow(1.0 / self.exponent) / total), weight)

    def _powers(self, maps: Tensor) -> Tensor:
        return maps.clamp(min=GEM_FLOOR).pow(self.exponent)


POOLINGS: dict[str, type[Pool]] = {
    "mean_max": MeanMaxPool,
    "mean": MeanPool,
    "max": MaxPool,
    "gem": GemPool,
}
"""Name in a configuration -> pooling."""


def build_pooling(name: str) -> Pool:
    """Return a pooling by name; SourceInvalid names those there are."""
    if name not in POOLINGS:
        raise SourceInvalid(f"pooling is {name!r}; allowed are {', '.join(POOLINGS)}")
    return POOLINGS[name]()


def _weigh(maps: Tensor, weight: Tensor) -> Tensor:
    """(N, C, h, w) and (C,) -> (N, h, w): a 1x1 convolution, which every runtime does well."""
    return functional.conv2d(maps, weight.view(1, -1, 1, 1)).squeeze(1)
