"""One gray channel through a stem that was learnt on three colours, without a change.

A gray image x in [0, 1] fed as three equal channels is normalised per channel,
(x - m_c) / s_c, so that the first convolution sees three images that span only
two dimensions: x and a constant. With z = (x - m) / s,

    sum_c W_c * (x - m_c) / s_c = (sum_c W_c s / s_c) * z + (sum_c W_c (m - m_c) / s_c) * 1

where * is the convolution. The second term is a bias, except where the kernel
hangs over a zero-padded border: there it meets fewer ones. Hence:

- means equal in all channels (tf_efficientnet_lite0, inception_v3): the term is
  zero, one channel does;
- no padding (ConvNeXt's patches): the term goes into the bias, one channel does;
- else (resnet50, efficientnet_b0): a second channel of ones carries it, which is
  padded with zeros as the three were.

So features, and all that follows, are those of the three-channel network up to
float32's rounding, inside and at the borders (tests/models/test_gray_stem.py).
timm's own ``in_chans=1`` sums the weights over the colours: exact where mean and
standard deviation are equal in all of them, else off, since it knows neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConstantChannel(nn.Module):
    """Append a channel of ones: (N, 1, H, W) -> (N, 2, H, W)."""

    def forward(self, image: Tensor) -> Tensor:
        """Return image and ones."""
        return torch.cat([image, torch.ones_like(image)], dim=1)


class ThreeChannels(nn.Module):
    """The gray image as three normalised channels, (N, 1, H, W) -> (N, 3, H, W).

    For first layers that cannot be converted (weights normalised on the fly):
    exact by itself, at the price of the wider layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the three channels."""
        return (image - self.mean) / self.std


def gray_stem(conv: nn.Conv2d, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """Return the convolution, changed in place, for one channel normalised with the averages.

    ``conv`` takes three channels normalised with ``mean`` and ``std``; what is
    returned takes (N, 1, H, W) normalised with `average` of each and gives the
    same maps (see the head of this module).
    """
    weight = conv.weight.detach()  # (O, 3, kh, kw)
    means, stds = weight.new_tensor(mean).view(-1, 1, 1), weight.new_tensor(std).view(-1, 1, 1)
    image = (weight * (average(std) / stds)).sum(dim=1, keepdim=True)
    if len(set(mean)) == 1:
        return _with_weight(conv, image)
    constant = (weight * ((average(mean) - means) / stds)).sum(dim=1, keepdim=True)
    if not _pads(conv):
        offset = constant.sum(dim=(1, 2, 3))
        before = 0.0 if conv.bias is None else conv.bias.detach()
        conv.bias = nn.Parameter(before + offset)
        return _with_weight(conv, image)
    return nn.Sequential(ConstantChannel(), _with_weight(conv, torch.cat([image, constant], dim=1)))


def average(values: Sequence[float]) -> float:
    """Return the mean over the channels; exactly the value where all are equal."""
    return values[0] if len(set(values)) == 1 else sum(values) / len(values)


def _pads(conv: nn.Conv2d) -> bool:
    """True where zeros are added around; timm's Conv2dSame does so as it runs."""
    return type(conv) is not nn.Conv2d or conv.padding not in ((0, 0), "valid")


def _with_weight(conv: nn.Conv2d, weight: Tensor) -> nn.Conv2d:
    conv.weight = nn.Parameter(weight.contiguous())
    conv.in_channels = weight.shape[1]
    return conv
