"""Faster R-CNN and SSD of torchvision on a small gray backbone.

Faster R-CNN (Ren et al. 2015, arXiv:1506.01497) and SSD (Liu et al. 2016,
arXiv:1512.02325), both on `mammo.detection.pyramid` and with the same square
anchors. Without `start_from` everything is learnt from random weights, which some
hundred images do not suffice for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from mammo.detection.boxes import Boxes, has_size, require_boxes
from mammo.detection.detector import (
    Images,
    NetworkDetector,
    Progress,
    Raw,
    require_finite,
    watched,
)
from mammo.detection.pyramid import (
    CHANNELS,
    DEVIATION,
    MEAN,
    FrozenMaps,
    GridPool,
    PyramidBackbone,
)

BATCH, LEARNING_RATE, WEIGHT_DECAY, LARGEST_GRADIENT = 4, 1e-3, 1e-4, 5.0
LEAST_SCORE, OVERLAP, MOST_FOUND = 0.001, 0.5, 50
STRIDE = 32
ANCHORS = ((2, 3), (4, 6), (8, 12))
"""Sides of the square anchors of each map, in 64ths of the image's longer side."""
NEGATIVES = 1
"""Images without findings that an epoch draws for each one with."""
HARD_NEGATIVES = 3
"""Anchors without a finding that SSD learns from for each one with, and of any image at least
as many times `LEAST_ANCHORS`: an image without findings teaches, too."""
LEAST_ANCHORS = 4

HEADS = {
    "faster_rcnn": (
        "rpn.head.cls_logits",
        "rpn.head.bbox_pred",
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
    ),
    "ssd": ("head.classification_head", "head.regression_head"),
}
"""The modules whose tensors become boxes and scores, before torchvision drops any."""


class TorchvisionDetector(NetworkDetector):
    """A detector of torchvision for prepared images of one size (height, width)."""

    def __init__(self, name: str, size: tuple[int, int], network: nn.Module) -> None:
        super().__init__(name, size, network)
        self.maps = FrozenMaps()

    @property
    def backbone(self) -> PyramidBackbone:
        """The network that makes the maps."""
        return cast("PyramidBackbone", self.network.backbone)

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Start from ImageNet's tensors of `BACKBONE`, by timm's names; they stay as they are."""
        self.maps.clear()
        self.backbone.start_from(tensors)

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take over `weights`; RuntimeError where they are of another network."""
        before = {key: one.clone() for key, one in self.backbone.body.state_dict().items()}
        super().load_weights(weights)
        now = self.backbone.body.state_dict()
        if not all(torch.equal(one, now[key]) for key, one in before.items()):
            self.maps.clear()

    def fit(
        self,
        images: Images,
        boxes: Sequence[Boxes],
        *,
        epochs: int,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Train on from the present weights: AdamW, one-cycle rate, images mirrored at random.

        ``images`` are uint16 (N, H, W) as prepared, ``boxes`` (M, 4) of each in
        prepared pixels, those without a size left out; an image without boxes is a
        negative; an epoch takes all images with boxes, and by chance as many without.
        The same seed, data and thread count give the same weights on the
        CPU. ``progress`` is called with "epoch", those done and all of them.

        Raises NoBoxes where no image has a box, ValueError for images of another size,
        TrainingDiverged when the loss is no number any more.
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
        ill = np.array([len(one) > 0 for one in boxes])
        steps = epochs * len(list(_batches(ill, np.random.default_rng(0))))
        weights = [one for one in self.network.parameters() if one.requires_grad]
        optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
        for epoch in range(epochs):
            for places in _batches(ill, draws):
                chosen = images[places], [boxes[one] for one in places]
                loss = self._loss(*mirrored(*chosen, draws), epoch)
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(weights, LARGEST_GRADIENT)
                optimiser.step()
                rate.step()
            if progress is not None:
                progress("epoch", epoch + 1, epochs)

    def _loss(self, images: Images, boxes: Sequence[Boxes], epoch: int) -> Tensor:
        """Return the loss of a batch; raise TrainingDiverged where it is no number."""
        targets = [
            {"boxes": torch.from_numpy(one).float(), "labels": torch.ones(len(one)).long()}
            for one in boxes
        ]
        backbone = self.backbone
        maps = self.maps.of(backbone.body, images) if backbone.is_frozen else None
        with backbone.shown(maps):
            losses = self.network(list(_tensor(images)), targets)
        loss = torch.stack(list(losses.values())).sum()
        require_finite(loss.detach().item(), self.name, epoch + 1)
        return loss

    @torch.inference_mode()
    def detect(self, images: Images) -> list[Raw]:
        """Return (x0, y0, x1, y1, score) in prepared pixels, best first, of each image.

        ``images`` are uint16 (N, H, W). Boxes are clipped to the image; scores are
        in [0, 1]. What is found in an image does not depend on the others. Raises
        ScoreNotFinite where a head gives NaN or infinity.
        """
        self._require_size(images)
        self.network.eval()
        heads = [self.network.get_submodule(one) for one in HEADS[self.name]]
        with watched(heads, self.name):
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
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

    pool, width = GridPool(5), 256
    network: nn.Module = FasterRCNN(
        PyramidBackbone(CHANNELS), None, min_size=min(size), max_size=max(size),
        fixed_size=size[::-1], image_mean=[MEAN], image_std=[DEVIATION],
        rpn_anchor_generator=_anchors(size), rpn_fg_iou_thresh=0.5,
        box_roi_pool=pool, box_head=TwoMLPHead(CHANNELS * 25, width),
        box_predictor=FastRCNNPredictor(width, 2),
        # suppression runs in Python where torchvision has no kernel: few proposals keep it cheap
        rpn_pre_nms_top_n_train=100, rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_train=64, rpn_post_nms_top_n_test=64,
        rpn_batch_size_per_image=64, box_batch_size_per_image=32, box_score_thresh=LEAST_SCORE,
        box_nms_thresh=OVERLAP, box_detections_per_img=MOST_FOUND,
    )  # fmt: skip
    return network


def _ssd(size: tuple[int, int]) -> nn.Module:
    from torchvision.models.detection.ssd import SSD

    class HardestSSD(SSD):
        """An SSD that learns from images without findings, too."""

        def compute_loss(self, targets: Any, head_outputs: Any, anchors: Any, matched: Any) -> Any:
            """Return the losses of boxes and classes; as Liu et al., but for `hardest`."""
            found = torch.stack(matched) >= 0
            pieces = zip(targets, head_outputs["bbox_regression"], anchors, matched, strict=True)
            box = sum(self._box_loss(*one) for one in pieces)
            logits = head_outputs["cls_logits"]
            each = cross_entropy(logits.flatten(0, 1), found.flatten().long(), reduction="none")
            each = each.view(found.shape)
            counted = found.sum().clamp(min=len(found))
            classes = each[found | hardest(each, found)].sum()
            return {"bbox_regression": box / counted, "classification": classes / counted}

        def _box_loss(self, target: Any, told: Tensor, anchors: Tensor, matched: Tensor) -> Tensor:
            at = torch.nonzero(matched >= 0)[:, 0]
            wanted = self.box_coder.encode_single(target["boxes"][matched[at]], anchors[at])
            return smooth_l1_loss(told[at], wanted, reduction="sum")

    network: nn.Module = HardestSSD(
        PyramidBackbone([CHANNELS] * 3), _anchors(size), size[::-1], 2, image_mean=[MEAN],
        image_std=[DEVIATION], score_thresh=LEAST_SCORE, nms_thresh=OVERLAP,
        detections_per_img=MOST_FOUND, topk_candidates=200,
    )  # fmt: skip
    return network


def hardest(losses: Tensor, found: Tensor) -> Tensor:
    """Return which anchors (N, A) without a finding SSD learns from: those of highest loss.

    Three for each with a finding, and a dozen at least: torchvision takes none of an image
    without findings, so that it would never learn what is none.
    """
    wanted = found.sum(dim=1, keepdim=True).clamp(min=LEAST_ANCHORS) * HARD_NEGATIVES
    order = losses.detach().masked_fill(found, -1.0).argsort(dim=1, descending=True)
    return (order.argsort(dim=1) < wanted) & ~found


def _anchors(size: tuple[int, int]) -> Any:
    """Return square anchors, whose sides are parts of the image's longer side."""
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    part = max(size) / 64
    sides = tuple(tuple(round(part * one) for one in level) for level in ANCHORS)
    return AnchorGenerator(sides, ((1.0,),) * len(ANCHORS))


def _batches(ill: NDArray[np.bool_], draws: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the places of an epoch: all images with boxes (mask, N), some of those without."""
    known, none = np.flatnonzero(ill), np.flatnonzero(~ill)
    some = draws.permutation(none)[: NEGATIVES * len(known)]
    order = draws.permutation(np.concatenate([known, some]))
    # as even as can be: batch statistics of a lone image would be noise
    yield from np.array_split(order, -(-len(order) // BATCH))


def mirrored(
    images: Images, boxes: Sequence[Boxes], draws: np.random.Generator
) -> tuple[Images, list[Boxes]]:
    """Return images (N, H, W) and boxes of each, mirrored across and down by chance."""
    height, width = images.shape[1:]
    pixels, places = [], []
    for image, box in zip(images, boxes, strict=True):
        across, down = draws.random(2) < 0.5
        places.append(flipped(box, width if across else None, height if down else None))
        pixels.append(image[:: -1 if down else 1, :: -1 if across else 1])
    return np.stack(pixels), places


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
