"""The network: one view in, one logit out; and the encoder that never trains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mammo.models.auxiliary import auxiliary_task
from mammo.models.backbone import Backbone
from mammo.models.pooling import build_pooling
from mammo.models.registry import build_backbone
from mammo.models.weights import is_own, load_tensors, part, read_weights

EMBEDDING_SIZE = 32
ENCODER_SEED = 20250101
ENCODER_STAGES = 4  # the stem and three blocks of lite0: 40 channels at 1/8
ENCODER_CHANNELS = 40
HEAD_SPREAD = 0.01


class ViewOutputs(NamedTuple):
    """What a network says of N views.

    ``logit`` (N,); ``features`` (N, F), what the head weighs; ``heat`` (N, h, w),
    what each place of the last feature map brought: with the network in
    evaluation mode, ``heat.sum((1, 2)) + head.bias`` is ``logit``.
    """

    logit: Tensor
    features: Tensor
    heat: Tensor


class ViewNet(nn.Module):
    """Logit of one view; views are put together to a breast outside the network.

    Image (N, 1, H, W) float32 in [0, 1] -> logit (N,). The first
    ``frozen_stages`` of the backbone are the trunk, which does not train and
    whose output may therefore be kept.

    Parameters
    ----------
    pooling
        How the map becomes features: `mammo.models.pooling.POOLINGS`.
    dropout
        Of the features, in training, in [0, 1).
    auxiliary
        Names of further heads, `mammo.models.auxiliary.TASKS`.

    Notes
    -----
    Networks that start at random learn batch statistics (``learn_statistics``):
    an average of their weights has to be one of these buffers, too.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        pooling: str = "mean_max",
        frozen_stages: int = 0,
        dropout: float = 0.2,
        auxiliary: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.mean, self.std = backbone.mean, backbone.std
        self.learn_statistics = backbone.learn_statistics
        self.smallest_side = backbone.smallest_side
        self.stages, self.channels = backbone.stages, backbone.channels
        self.pooling = build_pooling(pooling)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.channels * self.pooling.multiple, 1)
        nn.init.normal_(self.head.weight, std=HEAD_SPREAD)
        nn.init.zeros_(self.head.bias)
        self.auxiliary = nn.ModuleDict(
            {name: nn.Linear(self.features, auxiliary_task(name).outputs) for name in auxiliary}
        )
        self.freeze(frozen_stages)

    @property
    def features(self) -> int:
        """F: how many features the head weighs."""
        return self.head.in_features

    def freeze(self, stages: int) -> None:
        """Let the first ``stages`` be the trunk, which does not train; the rest does."""
        self.frozen_stages = min(stages, len(self.stages))
        for place, stage in enumerate(self.stages):
            stage.requires_grad_(place >= self.frozen_stages)
        # an exponent that is learnt pools in the trunk when every stage is frozen
        self.pooling.requires_grad_(self.frozen_stages < len(self.stages))
        self.train(self.training)

    def train(self, mode: bool = True) -> ViewNet:
        """Set training mode; the trunk stays in evaluation mode.

        So do batch statistics that were learnt on ImageNet: batches on a CPU are
        too small to estimate them, and the exported graph uses the running ones.
        """
        super().train(mode)
        self.stages[: self.frozen_stages].eval()
        if not self.learn_statistics:
            for module in self.stages.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def trunk(self, image: Tensor) -> Tensor:
        """Return the frozen stages' maps; pooled to (N, F) when every stage is frozen."""
        maps = self.stages[: self.frozen_stages]((image - self.mean) / self.std)
        return self.pooling(maps) if self.frozen_stages == len(self.stages) else maps

    def pooled(self, maps: Tensor) -> Tensor:
        """Return features (N, F) from `trunk`'s output."""
        if self.frozen_stages == len(self.stages):
            return maps
        return self.pooling(self.stages[self.frozen_stages :](maps))

    def logits(self, features: Tensor) -> Tensor:
        """Return logits (N,) of features (N, F)."""
        return self.head(self.dropout(features)).squeeze(1)

    def auxiliary_logits(self, features: Tensor) -> dict[str, Tensor]:
        """Return the logits of each further head, name -> (N, outputs), of features (N, F)."""
        dropped = self.dropout(features)
        return {name: head(dropped) for name, head in self.auxiliary.items()}

    def top(self, maps: Tensor) -> Tensor:
        """Return logits (N,) from `trunk`'s output."""
        return self.logits(self.pooled(maps))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N,)."""
        return self.top(self.trunk(image))

    def outputs(self, image: Tensor) -> ViewOutputs:
        """Return logit, features and the heat map that adds up to the logit."""
        maps = self.stages((image - self.mean) / self.std)
        features = self.pooling(maps)
        heat = self.pooling.heat(maps, self.head.weight[0])
        return ViewOutputs(self.logits(features), features, heat)


class OutputsGraph(nn.Module):
    """A `ViewNet` that returns all its outputs: what is exported.

    Image (N, 1, H, W) -> logit (N,), features (N, F), heat (N, h, w).
    """

    NAMES = ViewOutputs._fields

    def __init__(self, net: ViewNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> ViewOutputs:
        """Return `ViewNet.outputs`."""
        return self.net.outputs(image)


class FrozenEncoder(nn.Module):
    """A task-independent description of an image, for the drift monitor only.

    The stem and first stages of ImageNet's lite0 at half resolution; mean and
    standard deviation of each channel, projected to 32 numbers by a fixed random
    matrix. It is the same in every release, so that a change in its output is a
    change of the images. Image (N, 1, H, W) -> embedding (N, 32) float32.
    """

    projection: Tensor

    def __init__(self) -> None:
        super().__init__()
        backbone = build_backbone("tf_efficientnet_lite0")
        self.mean, self.std = backbone.mean, backbone.std
        self.stages = backbone.stages[:ENCODER_STAGES]
        generator = torch.Generator().manual_seed(ENCODER_SEED)
        shape = (2 * ENCODER_CHANNELS, EMBEDDING_SIZE)
        projection = torch.randn(shape, generator=generator) / shape[0] ** 0.5
        self.register_buffer("projection", projection)
        self.requires_grad_(False)
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Return embeddings (N, 32)."""
        small = nn.functional.avg_pool2d(image, 2)
        maps = self.stages((small - self.mean) / self.std)  # (N, 40, H/16, W/16)
        centre = maps.mean(dim=(2, 3), keepdim=True)
        spread = (maps - centre).square().mean(dim=(2, 3)).sqrt()
        return torch.cat([centre.flatten(1), spread], dim=1) @ self.projection


def build_view_net(
    architecture: str,
    *,
    frozen_stages: int = 0,
    pretrained: bool = True,
    pooling: str = "mean_max",
    dropout: float = 0.2,
    drop_path: float = 0.0,
    auxiliary: Iterable[str] = (),
    weights: str | Path | None = None,
) -> tuple[ViewNet, str]:
    """Build a `ViewNet` by a model's name; returns it with where its weights come from.

    ``weights`` takes the place of ImageNet's: a safetensors file under timm's
    names or ours, or the folder of a release. The stages are taken over; the
    head starts anew, since it answers another question. `load_view_net` goes on
    with a release's whole network. For errors see
    `mammo.models.registry.build_backbone` and `mammo.models.weights`.
    """
    tensors = None if weights is None else read_weights(Path(weights))
    own = tensors is not None and is_own(tensors)
    backbone = build_backbone(
        architecture,
        pretrained=pretrained and tensors is None,
        drop_path=drop_path,
        tensors=None if own else tensors,
    )
    if own and tensors is not None:
        load_tensors(backbone.stages, part(tensors, "stages."), architecture)
    origin = backbone.weights if weights is None else f"file {Path(weights).name}"
    if weights is not None:
        backbone = replace(backbone, learn_statistics=False)
    net = ViewNet(
        backbone,
        pooling=pooling,
        frozen_stages=frozen_stages,
        dropout=dropout,
        auxiliary=auxiliary,
    )
    return net, origin


def load_view_net(net: ViewNet, weights: Path) -> None:
    """Load a release's whole network, in place: stages, pooling, head.

    ``weights`` is its folder or file. Further heads that it lacks keep their
    own weights. Raises WeightsInvalid that names the first tensors that differ.
    """
    fresh = {f"auxiliary.{name}": value for name, value in net.auxiliary.state_dict().items()}
    load_tensors(net, fresh | read_weights(weights), "this network")
    net.learn_statistics = False
    net.train(net.training)
