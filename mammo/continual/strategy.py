"""How a release is made from the one in service: five strategies behind one interface.

    scratch      all rows, from fresh weights
    fine_tune    the new rows alone
    replay       the new rows, and old ones again
    distill      as replay; the parent's logits of the old images are asked for, too
    ewc          the new rows alone; weights that the old ones hang on are held

`TrainConfig.retraining` names one. (``strategy`` is taken there: it is Lightning's
word for how processes train together.) `mammo.continual.lesson` turns it into rows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from mammo.data.dataset import ViewDataset
from mammo.models.anchors import Anchor, Distillation, ElasticWeights, fisher_information
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig

Hold = Callable[[ViewNet, Path], Anchor | None]
"""Makes an anchor of the network as it starts; the folder is that of the shards."""


def hold_nothing(net: ViewNet, shards_dir: Path) -> None:
    """Let the network go where its rows lead it."""


def _held_by_nothing(config: TrainConfig, old: pd.DataFrame) -> Hold:
    return hold_nothing


def _distilled(config: TrainConfig, old: pd.DataFrame) -> Hold:
    def hold(net: ViewNet, shards_dir: Path) -> Anchor:
        return Distillation(
            copy.deepcopy(net), weight=config.distill_weight, temperature=config.distill_temperature
        )

    return hold


def _elastic(config: TrainConfig, old: pd.DataFrame) -> Hold:
    def hold(net: ViewNet, shards_dir: Path) -> Anchor:
        data = ViewDataset(old, shards_dir, config.preprocess, target=config.target)
        images = (torch.from_numpy(data.image(item)) for item in range(len(data)))
        return hold_elastic(net, images, config)

    return hold


def hold_elastic(
    net: ViewNet, inputs: Iterable[Tensor], config: TrainConfig, *, cached: bool = False
) -> ElasticWeights:
    """Return the elastic weights of ``net``, measured on images or, ``cached``, trunk maps.

    With ``unfreeze_every`` the frozen stages are measured as well: they will learn.
    """
    frozen = net.frozen_stages
    if config.unfreeze_every:
        net.freeze(0)
    net.to("cuda" if torch.cuda.is_available() else "cpu")
    fisher = fisher_information(net, inputs, cached=cached)
    net.cpu().freeze(frozen)
    return ElasticWeights(net, fisher, weight=config.elastic_weight)


@dataclass(frozen=True)
class Strategy:
    """Whether the weights are the parent's, whether old rows are drawn again, what holds.

    ``hold`` takes old rows to measure on, as many as ``elastic_images`` says.
    """

    name: str
    from_parent: bool
    replays: bool
    hold: Callable[[TrainConfig, pd.DataFrame], Hold] = _held_by_nothing


STRATEGIES: dict[str, Strategy] = {
    one.name: one
    for one in (
        Strategy("scratch", from_parent=False, replays=True),
        Strategy("fine_tune", from_parent=True, replays=False),
        Strategy("replay", from_parent=True, replays=True),
        Strategy("distill", from_parent=True, replays=True, hold=_distilled),
        Strategy("ewc", from_parent=True, replays=False, hold=_elastic),
    )
}
"""By the name in a configuration."""


def starts_from_parent(config: TrainConfig) -> bool:
    """True when the configured retraining takes the parent's weights over."""
    return STRATEGIES[config.retraining].from_parent
