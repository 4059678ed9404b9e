"""The network below Faster R-CNN and SSD: gray images to maps at 1/8, 1/16 and 1/32.

timm's EfficientNet-Lite0 with one input channel, then a feature pyramid (Lin et
al. 2017, arXiv:1612.03144). Started from ImageNet, the EfficientNet stays as it was
learnt there: what it says of an image need be computed once, and the pyramid and the
heads are what some hundred mammograms can teach.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from mammo.detection.detector import Images

BACKBONE = "tf_efficientnet_lite0"
STAGES, STRIDES = (2, 3, 4), (8, 16, 32)
CHANNELS = 64
MEAN, DEVIATION = 0.5, 0.5
"""What is taken off gray values in [0, 1], and what they are divided by; ImageNet's here."""
Maps = list[Tensor]
"""(N, C, H, W) of each stage, the finest first."""


class PyramidBackbone(nn.Module):
    """Gray images (N, 1, H, W) to maps of `CHANNELS` channels at 1/8, 1/16 and 1/32.

    ``out_channels`` is one number, or one a map, as the detector above asks.
    """

    from_imagenet: Tensor

    def __init__(self, out_channels: int | list[int]) -> None:
        super().__init__()
        import timm

        body: Any = timm.create_model(
            BACKBONE, pretrained=False, features_only=True, out_indices=STAGES, in_chans=1
        )
        self.body = body
        self.pyramid = FeaturePyramidNetwork(body.feature_info.channels(), CHANNELS)
        # without it SSD would be a linear function of what a frozen network says
        self.mixed = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU())
        self.out_channels = out_channels
        # kept with the weights: a detector that goes on learning stays frozen alike
        self.register_buffer("from_imagenet", torch.tensor(False))
        self._shown: Maps | None = None

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over ImageNet's tensors by timm's names, the stem's three colours summed.

        A gray image is three equal channels to them. Raises RuntimeError for other tensors.
        """
        stem = tensors["conv_stem.weight"].sum(dim=1, keepdim=True)
        self.body.load_state_dict({**tensors, "conv_stem.weight": stem})
        self.from_imagenet.fill_(True)

    @property
    def is_frozen(self) -> bool:
        """True where the EfficientNet is ImageNet's and stays so."""
        return bool(self.from_imagenet)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; statistics of ImageNet are used, not renewed."""
        super().train(mode)
        self.body.requires_grad_(not self.is_frozen)
        if self.is_frozen:
            self.body.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps by number, the finest first."""
        maps = self.body(images) if self._shown is None else self._shown
        named = OrderedDict((str(place), one) for place, one in enumerate(maps))
        return {name: self.mixed(one) for name, one in self.pyramid(named).items()}

    @contextmanager
    def shown(self, maps: Maps | None) -> Iterator[None]:
        """Take these as what the EfficientNet says in the calls within; None asks it."""
        self._shown = maps
        try:
            yield
        finally:
            self._shown = None


class FrozenMaps:
    """What a frozen EfficientNet says of images: each computed once while there is room.

    Kept as float16, at most ``room`` bytes, by the digest of the pixels.
    """

    def __init__(self, room: int = 1 << 30) -> None:
        self.room, self.taken = room, 0
        self.kept: dict[bytes, Maps] = {}

    def clear(self) -> None:
        """Forget all, as other weights ask for."""
        self.kept, self.taken = {}, 0

    def of(self, body: nn.Module, images: Images) -> Maps:
        """Return the maps of uint16 images (N, H, W), float32."""
        each = [self._one(body, image) for image in images]
        return [torch.stack(level).float() for level in zip(*each, strict=True)]

    @torch.no_grad()
    def _one(self, body: nn.Module, image: Images) -> Maps:
        key = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        if key in self.kept:
            return self.kept[key]
        pixels = torch.from_numpy(image.astype(np.float32) / 65535)[None, None]
        # half precision: a training input, never a score
        found = [one[0].half() for one in body((pixels - MEAN) / DEVIATION)]
        size = sum(one.nbytes for one in found)
        if self.taken + size <= self.room:
            self.kept[key], self.taken = found, self.taken + size
        return found


class GridPool(MultiScaleRoIAlign):
    """Regions of a pyramid as maps of one size: RoIAlign by one `grid_sample` a level.

    He et al. 2017 (arXiv:1703.06870): the mean of 2 x 2 points in each of ``side`` x
    ``side`` cells, aligned to pixel centres. A region is read from the level where it is
    about ``CELLS`` cells wide. Same values as torchvision's `roi_align`, which has no
    kernel for the CPU where a build for CUDA meets a torch without.
    """

    POINTS = 2
    CELLS = 5.0

    def __init__(self, side: int) -> None:
        super().__init__([str(place) for place in range(len(STRIDES))], side, self.POINTS)

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Return (R, C, side, side) for boxes (M, 4), pixels of the image, of each image."""
        every = torch.cat(boxes)
        image = torch.cat([torch.full((len(one),), at) for at, one in enumerate(boxes)])
        sides = ((every[:, 2] - every[:, 0]) * (every[:, 3] - every[:, 1])).clamp(min=1).sqrt()
        level = (sides / (STRIDES[0] * self.CELLS)).log2().round().clamp(0, len(STRIDES) - 1)
        pooled = every.new_zeros((len(every), x["0"].shape[1], *self.output_size))
        for at, stride in enumerate(STRIDES):
            for number in range(len(boxes)):
                chosen = torch.nonzero((level == at) & (image == number))[:, 0]
                if len(chosen):
                    part = self.pool(x[str(at)][number], every[chosen] / stride)
                    pooled = pooled.index_copy(0, chosen, part)
        return pooled

    def pool(self, one: Tensor, boxes: Tensor) -> Tensor:
        """Return (R, C, side, side) of boxes (R, 4), in cells of the map ``one`` (C, H, W)."""
        side = self.output_size[0]
        count = side * self.POINTS
        at = (torch.arange(count, dtype=boxes.dtype) + 0.5) / count
        size = boxes.new_tensor([one.shape[2], one.shape[1]])
        low, high = boxes[:, None, :2], boxes[:, None, 2:]
        # grid_sample counts from -1 to 1 between the outer edges of the pixels
        points = 2 * (low + (high - low) * at[None, :, None]) / size - 1
        x = points[:, None, :, 0].expand(-1, count, -1)
        y = points[:, :, None, 1].expand(-1, -1, count)
        grid = torch.stack([x, y], dim=-1).reshape(1, -1, count, 2)
        read = grid_sample(one[None], grid, padding_mode="border", align_corners=False)
        cells = read.view(one.shape[0], len(boxes), side, self.POINTS, side, self.POINTS)
        return cells.mean(dim=(3, 5)).transpose(0, 1)
