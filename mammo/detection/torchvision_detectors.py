"""Faster R-CNN and SSD of torchvision on a small gray backbone, trained from scratch.

Faster R-CNN (Ren et al. 2015, arXiv:1506.01497) with a feature pyramid (Lin et
al. 2017, arXiv:1612.03144), SSD (Liu et al. 2016, arXiv:1512.02325). The backbone
of both is timm's EfficientNet-Lite0 with one input channel.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mammo.detection.boxes import Boxes, has_size, require_boxes
from mammo.detection.detector import Images, NetworkDetector, Progress, Raw

BACKBONE = "tf_efficientnet_lite0"
STAGES = (2, 3, 4)
"""Maps at 1/8, 1/16 and 1/32 of the image."""
CHANNELS = 64
BATCH, LEARNING_RATE, WEIGHT_DECAY, LARGEST_GRADIENT = 8, 1e-3, 1e-4, 5.0
LEAST_SCORE, OVERLAP, MOST_FOUND = 0.001, 0.5, 50
STRIDE = 32


class PyramidBackbone(nn.Module):
    """Gray images (N, 1, H, W) to maps of `CHANNELS` channels at 1/8, 1/16 and 1/32."""

    def __init__(self, out_channels: int | list[int]) -> None:
        super().__init__()
        import timm
        from torchvision.ops import FeaturePyramidNetwork

        self.body = timm.create_model(
            BACKBONE, pretrained=False, features_only=True, out_indices=STAGES, in_chans=1
        )
        body: Any = self.body
        self.pyramid = FeaturePyramidNetwork(body.feature_info.channels(), CHANNELS)
        self.out_channels = out_channels  # one number or one a map, as the detector asks

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps by number, the finest first."""
        maps = OrderedDict((str(place), one) for place, one in enumerate(self.body(images)))
        found: dict[str, Tensor] = self.pyramid(maps)
        return found


class TorchvisionDetector(NetworkDetector):
    """A detector of torchvision for prepared images of one size (height, width)."""

    def fit(
        self,
        images: Images,
        boxes: Sequence[Boxes],
        *,
        epochs: int,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Train on from the present weights: AdamW, one-cycle rate, images flipped at random.

        ``images`` are uint16 (N, H, W) as prepared, ``boxes`` (M, 4) of each in
        prepared pixels, those without a size left out; an image without boxes is a
        negative. The same seed, data and thread count give the same weights on the
        CPU. ``progress`` is called with "epoch", those done and all of them.

        Raises NoBoxes where no image has a box, ValueError for images of another size.
        """
        self._require_size(images)
        kept = [np.asarray(one, np.float64).reshape(-1, 4) for one in boxes]
        kept = [one[has_size(one)] for one in kept]
        require_boxes([len(one) for one in kept])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._fit(images, kept, epochs, np.random.default_rng(seed), progress)
        self.network.eval()

    def _fit(
        self,
        images: Images,
        boxes: Sequence[Boxes],
        epochs: int,
        draws: np.random.Generator,
        progress: Progress | None,
    ) -> None:
        self.network.train()
        steps = epochs * -(-len(images) // BATCH)
        weights = list(self.network.parameters())
        optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
        for epoch in range(epochs):
            for places in _batches(len(images), draws):
                tensors, targets = _drawn(images[places], [boxes[one] for one in places], draws)
                loss = sum(self.network(tensors, targets).values())
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(weights, LARGEST_GRADIENT)
                optimiser.step()
                rate.step()
            if progress is not None:
                progress("epoch", epoch + 1, epochs)

    @torch.inference_mode()
    def detect(self, images: Images) -> list[Raw]:
        """Return (x0, y0, x1, y1, score) in prepared pixels, best first, of each image.

        ``images`` are uint16 (N, H, W). Boxes are clipped to the image; scores are
        in [0, 1]. What is found in an image does not depend on the others.
        """
        self._require_size(images)
        self.network.eval()
        return [_raw(self.network(list(_tensor(one[None])))[0]) for one in images]

    def _require_size(self, images: Images) -> None:
        if images.dtype != np.uint16 or images.shape[1:] != self.size:
            raise ValueError(
                f"images are {images.dtype} {images.shape}; this {self.name} was made for "
                f"uint16 (N, {self.size[0]}, {self.size[1]})"
            )


def build_torchvision(name: str, size: tuple[int, int], *, seed: int = 0) -> TorchvisionDetector:
    """Return an untrained ``faster_rcnn`` or ``ssd``; ``size`` in multiples of 32.

    Raises ValueError for another name or size.
    """
    if any(side < STRIDE or side % STRIDE for side in size):
        raise ValueError(f"size is {size}; allowed are positive multiples of {STRIDE}")
    build = {"faster_rcnn": _faster_rcnn, "ssd": _ssd}
    if name not in build:
        raise ValueError(f"{name!r} is no detector of torchvision here: {', '.join(build)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build[name](size)
    return TorchvisionDetector(name, size, network.eval())


def _faster_rcnn(size: tuple[int, int]) -> nn.Module:
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    sides = ((16, 24), (32, 48), (64, 96))
    network: nn.Module = FasterRCNN(
        PyramidBackbone(CHANNELS), 2, min_size=min(size), max_size=max(size),
        fixed_size=size[::-1], image_mean=[0.5], image_std=[0.25],
        rpn_anchor_generator=AnchorGenerator(sides, ((0.7, 1.4),) * 3),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 5, 2),
        # nms and RoI align may run in Python: few proposals keep them cheap
        rpn_pre_nms_top_n_train=200, rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=64, rpn_post_nms_top_n_test=64,
        box_batch_size_per_image=32, box_score_thresh=LEAST_SCORE,
        box_nms_thresh=OVERLAP, box_detections_per_img=MOST_FOUND,
    )  # fmt: skip
    return network


def _ssd(size: tuple[int, int]) -> nn.Module:
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD

    # scales are of each side of the image, so boxes have its form; a ratio of 2 turns them
    # square: 2:1 images have square boxes with it
    boxes = DefaultBoxGenerator([[2], [2], [2]], scales=[0.06, 0.12, 0.24, 0.48])
    network: nn.Module = SSD(
        PyramidBackbone([CHANNELS] * 3), boxes, size[::-1], 2, image_mean=[0.5], image_std=[0.25],
        score_thresh=LEAST_SCORE, nms_thresh=OVERLAP, detections_per_img=MOST_FOUND,
        topk_candidates=200,
    )  # fmt: skip
    return network


def _batches(count: int, draws: np.random.Generator) -> Iterator[np.ndarray]:
    order = draws.permutation(count)
    # as even as can be: batch statistics of a lone image would be noise
    yield from np.array_split(order, -(-count // BATCH))


def _drawn(
    images: Images, boxes: Sequence[Boxes], draws: np.random.Generator
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return tensors and targets, each image flipped across and down by chance."""
    height, width = images.shape[1:]
    tensors, targets = [], []
    for image, box in zip(_tensor(images), boxes, strict=True):
        across, down = draws.random(2) < 0.5
        box = flipped(box, width if across else None, height if down else None)
        tensors.append(image.flip([axis for axis, does in ((2, across), (1, down)) if does]))
        labels = torch.ones(len(box), dtype=torch.int64)
        targets.append({"boxes": torch.from_numpy(box).float(), "labels": labels})
    return tensors, targets


def flipped(boxes: Boxes, width: int | None, height: int | None) -> Boxes:
    """Return boxes (N, 4) of the image mirrored across (of that width) and down."""
    boxes = boxes.copy()
    if width is not None:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if height is not None:
        boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
    return boxes


def _tensor(images: Images) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / 65535)[:, None]


def _raw(found: dict[str, Any]) -> Raw:
    rows = torch.cat([found["boxes"], found["scores"][:, None]], dim=1)
    rows = rows[(rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])]
    return [(x0, y0, x1, y1, score) for x0, y0, x1, y1, score in rows.tolist()]
