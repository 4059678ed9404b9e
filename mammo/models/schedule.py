"""What learns how fast: AdamW, and its rate from warm-up to the end of the cosine."""

from __future__ import annotations

import math

from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig
from mammo.models.unfreeze import frozen_at, parameter_groups


def build_optimizer(net: ViewNet, config: TrainConfig) -> AdamW:
    """Return AdamW (Loshchilov and Hutter 2019) over every parameter that learns in some epoch.

    What is frozen until a later epoch is among them: without a gradient the
    optimizer passes it over.
    """
    last = config.epochs - 1
    groups = parameter_groups(
        net,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
        lowest=frozen_at(last, frozen_stages=net.frozen_stages, every=config.unfreeze_every),
    )
    return AdamW(groups, lr=config.learning_rate)


def warmup_cosine(optimizer: Optimizer, steps: int, warmup_fraction: float) -> LambdaLR:
    """Return a schedule per step: linear up to the full rate, then half a cosine to 0."""
    warm = max(1, round(warmup_fraction * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return LambdaLR(optimizer, factor)
