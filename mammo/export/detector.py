"""Write a detector as an ONNX graph that ends before suppression.

The graph takes what the classifier's takes, so that one prepared tensor serves both.
SSD and the YOLOs can be written: their boxes are a fixed list. Faster R-CNN cannot:
its second stage looks at places that the first chose, by operators that are Python
in this build of torchvision.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mammo.detection.carried import OUTPUTS
from mammo.detection.detector import NetworkDetector
from mammo.detection.registry import YOLO
from mammo.errors import SettingsInvalid
from mammo.export.onnx import OPSET

EXPORTED = ("ssd", *YOLO)


class SsdMarks(nn.Module):
    """A torchvision SSD of one input size as a plain function of the image.

    Its own resizing is left out: the images have its size. Normalisation is within.
    """

    def __init__(self, network: Any, size: tuple[int, int]) -> None:
        super().__init__()
        self.backbone, self.head, self.coder = network.backbone, network.head, network.box_coder
        self.height, self.width = size
        self.mean, self.spread = network.transform.image_mean[0], network.transform.image_std[0]
        self.register_buffer("anchors", _anchors(network, size))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (N, P, 4) clipped to the image and scores (N, P)."""
        maps = list(self.backbone((image - self.mean) / self.spread).values())
        found = self.head(maps)
        anchors: Any = self.anchors
        boxes = torch.stack([self.coder.decode_single(found["bbox_regression"][0], anchors)])
        return self._clipped(boxes), found["cls_logits"].softmax(dim=-1)[..., 1]

    def _clipped(self, boxes: Tensor) -> Tensor:
        across = boxes[..., 0::2].clamp(0.0, float(self.width))
        down = boxes[..., 1::2].clamp(0.0, float(self.height))
        return torch.stack([across, down], dim=-1).flatten(-2)


class YoloMarks(nn.Module):
    """A YOLO as a function of the image in [0, 1], which it sees in 256 steps of gray."""

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.height, self.width = size

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (N, P, 4) clipped to the image and scores (N, P)."""
        # the same 8 bits as `yolo_data.to_gray`: 65535 is 255 times 257, so there is no tie
        found = self.network(torch.round(image * 255) / 255)
        found = found[0] if isinstance(found, tuple) else found
        centre, half = found[:, 0:2], found[:, 2:4] / 2
        low, high = (centre - half).transpose(1, 2), (centre + half).transpose(1, 2)
        corners = [(one[..., 0], one[..., 1]) for one in (low, high)]
        clipped = [
            side
            for x, y in corners
            for side in (x.clamp(0.0, float(self.width)), y.clamp(0.0, float(self.height)))
        ]
        return torch.stack(clipped, dim=-1), found[:, 4]


def export_detector(detector: NetworkDetector, path: Path) -> None:
    """Write the graph of a detector; views go through it one at a time.

    Raises SettingsInvalid for a detector that has no such graph.
    """
    graph = _graph(detector)
    example = torch.zeros(1, 1, *detector.size)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracing exporter: sizes are fixed
        torch.onnx.export(
            graph.eval(), (example,), str(path), input_names=["image"],
            output_names=list(OUTPUTS), opset_version=OPSET, do_constant_folding=True,
            dynamo=False,
        )  # fmt: skip


def _graph(detector: NetworkDetector) -> nn.Module:
    if detector.name == "ssd":
        return SsdMarks(detector.network, detector.size)
    if detector.name in YOLO:
        return YoloMarks(detector.network, detector.size)
    raise SettingsInvalid(
        f"a release cannot carry {detector.name}: the service has no PyTorch, and its second "
        f"stage is not written as an ONNX graph; allowed are {', '.join(EXPORTED)}"
    )


def _anchors(network: Any, size: tuple[int, int]) -> Tensor:
    """Return the default boxes (P, 4) of an SSD for images of this size."""
    from torchvision.models.detection.image_list import ImageList

    images = torch.zeros(1, 1, *size)
    with torch.inference_mode():
        maps = list(network.backbone(images).values())
        (anchors,) = network.anchor_generator(ImageList(images, [size]), maps)
    return anchors.clone()
