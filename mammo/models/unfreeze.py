"""Stage by stage: what learns from which epoch on, and how fast.

    unfreeze(net, epoch, frozen_stages=5, every=2)      # at the start of each epoch
    groups = parameter_groups(net, learning_rate=3e-4, weight_decay=0.02, layer_decay=0.7)

Howard and Ruder (2018, arXiv:1801.06146): the head first, then one stage after
another downwards, and lower stages more slowly than higher ones.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from mammo.models.breast_net import ViewNet


def frozen_at(epoch: int, *, frozen_stages: int, every: int) -> int:
    """Return how many stages are still frozen in an epoch (the first one is 0).

    With ``every`` > 0, one more stage learns after each ``every`` epochs, from
    the highest frozen one downwards; with 0, the first ones stay frozen.
    """
    return max(0, frozen_stages - epoch // every) if every > 0 else frozen_stages


def unfreeze(net: ViewNet, epoch: int, *, frozen_stages: int, every: int) -> bool:
    """Set what learns in ``epoch``; True where that has changed.

    The optimizer may hold all parameters from the start: one that is frozen has
    no gradient and is passed over.
    """
    wanted = min(frozen_at(epoch, frozen_stages=frozen_stages, every=every), len(net.stages))
    if wanted == net.frozen_stages:
        return False
    net.freeze(wanted)
    return True


def rate_factors(stages: int, layer_decay: float) -> list[float]:
    """Return the factor of each stage's learning rate, stem first.

    The head has 1, the last stage ``layer_decay``, each one below that times
    as much (Clark et al. 2020, arXiv:2003.10555; used for ConvNeXt).
    """
    return [layer_decay ** (stages - place) for place in range(stages)]


def parameter_groups(
    net: ViewNet,
    *,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    lowest: int | None = None,
) -> list[dict[str, Any]]:
    """Return the optimizer's groups: ``params``, ``lr``, ``weight_decay`` and ``name``.

    Biases, norms and other single numbers are not decayed (He et al. 2019,
    arXiv:1812.01187). ``lowest`` is the first stage that will ever learn: those
    below are left out; by default ``net.frozen_stages``. Give 0 with `unfreeze`.
    """
    first = net.frozen_stages if lowest is None else lowest
    factors = rate_factors(len(net.stages), layer_decay)
    parts: list[tuple[str, nn.Module, float]] = [
        (f"stage {place}", net.stages[place], factors[place])
        for place in range(first, len(net.stages))
    ]
    if first < len(net.stages):
        parts.append(("pooling", net.pooling, 1.0))
    parts += [("head", net.head, 1.0), ("auxiliary", net.auxiliary, 1.0)]
    groups = []
    for name, module, factor in parts:
        for decays in (True, False):
            chosen = [p for p in module.parameters() if (p.ndim > 1) == decays]
            if chosen:
                decay = weight_decay if decays else 0.0
                rate = learning_rate * factor
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay, "name": name})
    return groups
