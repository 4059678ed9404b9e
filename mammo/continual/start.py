"""What a training starts from: a fresh network, or that of an earlier release."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as lightning

from mammo.models.breast_net import ViewNet, build_view_net, load_view_net
from mammo.models.config import TrainConfig
from mammo.release import Release


def start_network(config: TrainConfig, parent: Path | None = None) -> tuple[ViewNet, str]:
    """Return the network to train and where its weights come from.

    What is random in it follows from ``config.seed``. With ``parent``, the
    folder of a release, all of its weights are taken over; ``config.weights``
    gives the stages only.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    net, origin = build_view_net(
        config.architecture,
        frozen_stages=config.frozen_stages,
        pretrained=config.pretrained and parent is None,
        pooling=config.pooling,
        dropout=config.dropout,
        drop_path=config.drop_path,
        auxiliary=tuple(config.auxiliary),
        weights=config.weights if parent is None else None,
    )
    if parent is not None:
        load_view_net(net, parent)
        origin = f"release {Release.read(parent).id}"
    return net, origin
