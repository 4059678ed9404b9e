"""Places of a breast beside its other tissue: the network for sets of a few hundred images.

Two things make 112 patients enough for a little (docs/mini_mias.md): a finding
is judged where it lies, against the tissue of the same breast, and what is not
breast is left out. So the feature maps of the first six stages of ImageNet's
lite0 (112 channels at 1/16, Tan and Le 2019) are given twice, as contrast to
the breast's mean and as tissue, and one linear rule per place says where to
look (attention pooling; Ilse, Tomczak and Welling 2018, arXiv:1802.04712).
`mammo.continual.places` solves for the rule.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammo.models.backbone import Backbone, register
from mammo.models.timm_backbone import TimmModel

STAGES = 6
STRIDE = 16
CHANNELS = 112
DARK = 0.04
"""Prepared pixels up to this, in [0, 1], are background."""
MOSTLY = 0.5
"""A place belongs to the breast when more than this share of its pixels does."""


class BreastPlaces(nn.Module):
    """Normalised image (N, 1, H, W) -> (N, 2C, h, w): contrast, then tissue, of each place.

    Every breast is looked at with its chest wall on the left, and its places are
    put back: right and left breasts look alike, and the side on which lite0
    pads with gray is never that of the chest wall. A mirrored image has exactly
    the mirrored places.

    Contrast is the map minus its mean over the breast. Tissue is the map,
    scaled such that its mean over all places is the mean over the breast. Both
    are zero outside of the breast.
    """

    def __init__(self, stages: nn.Sequential, dark: float) -> None:
        super().__init__()
        self.stages = stages
        self.dark = dark

    def forward(self, image: Tensor) -> Tensor:
        """Return contrast and tissue."""
        turned = _lies_right(image)
        seen = torch.where(turned, image.flip(3), image)
        maps = self.stages(seen)
        light = functional.avg_pool2d((seen > self.dark).to(maps.dtype), STRIDE, ceil_mode=True)
        inside = (light > MOSTLY).to(maps.dtype)
        share = inside.mean(dim=(2, 3), keepdim=True)
        tissue = maps * (inside / share.clamp(min=1e-6))
        contrast = (maps - tissue.mean(dim=(2, 3), keepdim=True)) * inside
        places = torch.cat([contrast, tissue], dim=1)
        return torch.where(turned, places.flip(3), places)


def _lies_right(image: Tensor) -> Tensor:
    """(N, 1, H, W) -> (N, 1, 1, 1) bool: the right half is the brighter one."""
    half = image.shape[3] // 2
    means = [
        part.mean(dim=(1, 2, 3), keepdim=True) for part in (image[..., :half], image[..., half:])
    ]
    return means[1] > means[0]


class PlaceAttention(nn.Module):
    """Weigh the contrast of each place by what the rule says of it: (N, 2C, h, w) -> the same.

    The mean over places of what is returned is, for the contrast, the softmax
    average over places, near that of the most suspicious ones; for the tissue
    the mean over the breast. A rule of zeros looks at every place alike.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rule = nn.Parameter(torch.zeros(channels))

    def forward(self, places: Tensor) -> Tensor:
        """Return weighed contrast, and tissue as it was."""
        contrast, tissue = places.chunk(2, dim=1)
        score = functional.conv2d(contrast, self.rule.view(1, -1, 1, 1))
        attention = score.flatten(2).softmax(dim=2).view_as(score)
        area = contrast.shape[2] * contrast.shape[3]
        return torch.cat([contrast * (attention * area), tissue], dim=1)


@register("lite0_places", starts_from="tf_efficientnet_lite0")
def lite0_places(pretrained: bool) -> Backbone:
    """lite0 up to 1/16, then contrast and tissue of each place; to be frozen."""
    whole = TimmModel("tf_efficientnet_lite0")(pretrained)
    dark = (DARK - whole.mean) / whole.std
    places = BreastPlaces(cast(nn.Sequential, whole.stages[:STAGES]), dark)
    stages = nn.Sequential(places, PlaceAttention(CHANNELS))
    return Backbone(stages, 2 * CHANNELS, mean=whole.mean, std=whole.std, weights=whole.weights)
