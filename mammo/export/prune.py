"""Structured pruning: take whole channels out of a network, so that it becomes faster.

    plan = prune_network(net, share=0.3)    # in place; then fine-tune

Only channels inside a block are taken, between one convolution and the next: the
sums of residual branches and the features that the head weighs keep their size.
A channel counts by what the next convolution can see of it, the scale that batch
normalisation gives it times the norm of the weights that read it (Liu et al.
2017, arXiv:1708.06519; Li et al. 2017, arXiv:1608.08710). Those that remain are a
multiple of 16 where they can be: vector units work on 16 at once, and a few
channels fewer would gain nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mammo.errors import SourceInvalid
from mammo.models.breast_net import ViewNet

BLOCK = 16
"""Channels that vector units work on at once."""
STATISTICS_BATCH = 8


@dataclass(frozen=True)
class Chain:
    """A convolution, what works on each of its channels alone, and the next convolution.

    ``between`` holds normalisations and depthwise convolutions, in order;
    ``gate`` a squeeze-excitation, which reads and weighs the channels.
    """

    producer: nn.Conv2d
    between: tuple[nn.Module, ...]
    consumer: nn.Conv2d
    gate: Any = None


@dataclass(frozen=True)
class PrunePlan:
    """What was taken: channels before and after, and parameters before and after."""

    share: float
    channels: tuple[tuple[int, int], ...]
    parameters: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return sums as JSON-able data."""
        before, after = (sum(one) for one in zip(*self.channels, strict=True))
        return {
            "share": self.share,
            "inner_channels": [before, after],
            "parameters": list(self.parameters),
        }


def prune_network(net: ViewNet, share: float) -> PrunePlan:
    """Take about ``share`` of the inner channels out of ``net``, in place; all of it trains after.

    Raises SourceInvalid where the architecture has no block that is known here.
    """
    chains = list(find_chains(net.stages))
    if not chains:
        raise SourceInvalid(
            "This architecture cannot be pruned: known are ResNet, EfficientNet, baseline_cnn "
            "and small_cnn. Leave pruning out of its export."
        )
    before = _parameters(net)
    channels = []
    for chain in chains:
        kept = _most_important(chain, share)
        channels.append((chain.producer.out_channels, len(kept)))
        _keep(chain, kept)
    net.freeze(0)
    return PrunePlan(share, tuple(channels), (before, _parameters(net)))


def find_chains(stages: nn.Module) -> Iterator[Chain]:
    """Yield the chains of every block whose kind is known, and of plain sequences."""
    for module in stages.modules():
        for kind, chains in BLOCKS.items():
            if type(module).__name__ == kind:
                yield from (one for one in chains(module) if _is_prunable(one))
    yield from (one for one in _plain_sequence(stages) if _is_prunable(one))


def _bottleneck(block: Any) -> list[Chain]:
    """ResNet's 1x1, 3x3, 1x1."""
    return [
        Chain(block.conv1, (block.bn1,), block.conv2),
        Chain(block.conv2, (block.bn2,), block.conv3),
    ]


def _basic(block: Any) -> list[Chain]:
    return [Chain(block.conv1, (block.bn1,), block.conv2)]


def _inverted(block: Any) -> list[Chain]:
    """EfficientNet's 1x1 that widens, depthwise, 1x1 that narrows."""
    gate = None if isinstance(block.se, nn.Identity) else block.se
    between = (block.bn1, block.conv_dw, block.bn2)
    return [Chain(block.conv_pw, between, block.conv_pwl, gate)]


def _residual(block: Any) -> list[Chain]:
    """The block of `mammo.models.baseline`."""
    return [Chain(block.first, (), block.second)]


BLOCKS: dict[str, Callable[[Any], list[Chain]]] = {
    "Bottleneck": _bottleneck,
    "BasicBlock": _basic,
    "InvertedResidual": _inverted,
    "ResidualBlock": _residual,
}
"""Name of a block's class -> its chains."""


def _plain_sequence(stages: nn.Module) -> Iterator[Chain]:
    """Yield the chains between stages that are each convolution, normalisation, activation."""
    kinds = [[type(layer) for layer in stage.children()][:2] for stage in stages.children()]
    if not kinds or any(kind != [nn.Conv2d, nn.BatchNorm2d] for kind in kinds):
        return
    for stage, following in itertools.pairwise(stages.children()):
        convolution, norm = list(stage.children())[:2]
        consumer = next(following.children())
        assert isinstance(convolution, nn.Conv2d) and isinstance(consumer, nn.Conv2d)
        yield Chain(convolution, (norm,), consumer)


def _is_prunable(chain: Chain) -> bool:
    return chain.producer.groups == 1 and chain.consumer.groups == 1


def _most_important(chain: Chain, share: float) -> Tensor:
    """Return the channels to keep, in order: (kept,) int64."""
    total = chain.producer.out_channels
    kept = round(total * (1 - share))
    block = BLOCK if total >= 2 * BLOCK else 1
    kept = min(total, max(block, block * round(kept / block)))
    return channel_importance(chain).topk(kept).indices.sort().values


def channel_importance(chain: Chain) -> Tensor:
    """Return what the next convolution can see of each channel, (channels,) >= 0."""
    seen = chain.consumer.weight.detach().flatten(2).norm(dim=(0, 2))  # (channels,)
    norms = [one for one in chain.between if isinstance(one, nn.BatchNorm2d)]
    if norms:
        return seen * norms[-1].weight.detach().abs()
    return seen * chain.producer.weight.detach().flatten(1).norm(dim=1)


def _keep(chain: Chain, kept: Tensor) -> None:
    """Shrink every tensor of the chain to the channels ``kept``."""
    _keep_outputs(chain.producer, kept)
    for module in chain.between:
        if isinstance(module, nn.Conv2d):  # depthwise
            _keep_outputs(module, kept)
            module.groups = module.in_channels = len(kept)
        else:
            _keep_norm(module, kept)
    if chain.gate is not None:
        _keep_inputs(chain.gate.conv_reduce, kept)
        _keep_outputs(chain.gate.conv_expand, kept)
    _keep_inputs(chain.consumer, kept)


def _keep_outputs(convolution: nn.Conv2d, kept: Tensor) -> None:
    convolution.weight = nn.Parameter(convolution.weight.detach()[kept].clone())
    if convolution.bias is not None:
        convolution.bias = nn.Parameter(convolution.bias.detach()[kept].clone())
    convolution.out_channels = len(kept)


def _keep_inputs(convolution: nn.Conv2d, kept: Tensor) -> None:
    convolution.weight = nn.Parameter(convolution.weight.detach()[:, kept].clone())
    convolution.in_channels = len(kept)


def _keep_norm(norm: Any, kept: Tensor) -> None:
    norm.weight = nn.Parameter(norm.weight.detach()[kept].clone())
    norm.bias = nn.Parameter(norm.bias.detach()[kept].clone())
    norm.running_mean = norm.running_mean[kept].clone()
    norm.running_var = norm.running_var[kept].clone()
    norm.num_features = len(kept)


def renew_statistics(net: ViewNet, images: Sequence[np.ndarray]) -> None:
    """Take the statistics of batch normalisation anew, in place, from images (1, H, W).

    What is left of a pruned network has other means and spreads than the whole
    had, and training keeps those of ImageNet where it starts from them.
    """
    norms = [one for one in net.stages.modules() if isinstance(one, _BatchNorm)]
    if not norms:
        return
    net.eval()
    momenta = [one.momentum for one in norms]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # the plain mean over batches
        one.train()
    with torch.no_grad():
        for start in range(0, len(images), STATISTICS_BATCH):
            batch = np.stack(images[start : start + STATISTICS_BATCH])
            net.stages((torch.from_numpy(batch) - net.mean) / net.std)
    for one, momentum in zip(norms, momenta, strict=True):
        one.momentum = momentum
    net.eval()


def _parameters(net: nn.Module) -> int:
    return sum(value.numel() for value in net.parameters())
