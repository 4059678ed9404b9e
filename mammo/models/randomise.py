"""Draw a network's weights anew, part by part: what the sanity check of its maps needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from mammo.models.breast_net import ViewNet


def network_parts(net: ViewNet) -> list[tuple[str, nn.Module]]:
    """Return the parts of a network with weights, from its head down to its stem, by name."""
    stages = [(f"stage {place}", stage) for place, stage in enumerate(net.stages)]
    parts: list[tuple[str, nn.Module]] = [("head", net.head), *reversed(stages)]
    return [(name, part) for name, part in parts if any(True for _ in part.parameters())]


def randomised(net: ViewNet, *, cascading: bool, seed: int) -> Iterator[tuple[str, int, ViewNet]]:
    """Yield (part, how many parts down, network) with weights drawn anew; ``net`` is kept.

    Cascading keeps what was drawn and goes on; else each part is drawn alone. The
    network yielded is used before the next is asked for.
    """
    names = [name for name, _ in network_parts(net)]
    changed = copy.deepcopy(net).eval()
    for depth, name in enumerate(names, 1):
        if not cascading:
            changed = copy.deepcopy(net).eval()
        draw_weights(dict(network_parts(changed))[name], seed=seed + 1000 * depth)
        yield name, depth, changed


def draw_weights(part: nn.Module, *, seed: int) -> None:
    """Draw every weight of a part anew, in place, as its layers do when they are made.

    Batch statistics begin anew, too. A parameter whose layer has no such rule
    (ConvNeXt's layer scale) is drawn from a normal of its own mean and spread.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in part.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                spread = parameter.std(correction=0)
                parameter.copy_(parameter.mean() + spread * torch.randn_like(parameter))
