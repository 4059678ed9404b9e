"""What a detector starts from: ImageNet where the weights are installed, else random weights."""

from __future__ import annotations

from typing import Any

from mammo.detection.detector import Detector
from mammo.detection.registry import TORCHVISION
from mammo.models.imagenet import imagenet_tensors, is_packaged

RANDOM = "random weights"


def start_detector(detector: Detector) -> str:
    """Give an untrained detector the best start at hand; return where its weights come from.

    Faster R-CNN and SSD take ImageNet's EfficientNet-Lite0 from the installed package;
    the YOLOs have no such weights and start at random, as those do without the package.
    """
    if detector.name not in TORCHVISION:
        return RANDOM
    from mammo.detection.pyramid import BACKBONE

    if not is_packaged(BACKBONE):
        return RANDOM
    network: Any = detector
    tensors, origin = imagenet_tensors(BACKBONE, network.backbone.body)
    network.start_from(tensors)
    return origin
