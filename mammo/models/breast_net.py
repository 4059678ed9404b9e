"""The network: one view in, one logit out; and the encoder that never trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mammo.models.registry import Backbone, build_backbone

EMBEDDING_SIZE = 32
ENCODER_SEED = 20250101
ENCODER_STAGES = 4  # the stem and three blocks of lite0: 40 channels at 1/8
ENCODER_CHANNELS = 40


class ViewNet(nn.Module):
    """Logit of one view; views are averaged to a breast outside the network.

    Image (N, 1, H, W) float32 in [0, 1] -> logit (N,). The first
    ``frozen_stages`` of the backbone are the trunk, which never trains and whose
    output may therefore be kept. Mean and maximum pooling are both used: a
    finding is small, density is everywhere.
    """

    def __init__(self, backbone: Backbone, *, frozen_stages: int = 0, dropout: float = 0.2) -> None:
        super().__init__()
        self.mean, self.std = backbone.mean, backbone.std
        self.frozen_stages = min(frozen_stages, len(backbone.stages))
        self.stages = backbone.stages
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * backbone.channels, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.stages[: self.frozen_stages].requires_grad_(False)

    def train(self, mode: bool = True) -> ViewNet:
        """Set training mode; batch statistics stay as they were learnt on ImageNet.

        Batches on a CPU are too small to estimate them, and the exported graph
        uses the running ones.
        """
        super().train(mode)
        self.stages.eval()
        return self

    def trunk(self, image: Tensor) -> Tensor:
        """Return the frozen stages' maps; pooled to (N, 2C) when every stage is frozen."""
        maps = self.stages[: self.frozen_stages]((image - self.mean) / self.std)
        return _pool(maps) if self.frozen_stages == len(self.stages) else maps

    def top(self, maps: Tensor) -> Tensor:
        """Return logits (N,) from `trunk`'s output."""
        if self.frozen_stages < len(self.stages):
            maps = _pool(self.stages[self.frozen_stages :](maps))
        return self.head(self.dropout(maps)).squeeze(1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N,)."""
        return self.top(self.trunk(image))


def _pool(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, 2C): mean and maximum."""
    return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


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
    architecture: str, *, frozen_stages: int = 0, pretrained: bool = True
) -> tuple[ViewNet, str]:
    """Build a `ViewNet` by registered name; returns it with where its weights come from."""
    backbone = build_backbone(architecture, pretrained=pretrained)
    return ViewNet(backbone, frozen_stages=frozen_stages), backbone.weights
