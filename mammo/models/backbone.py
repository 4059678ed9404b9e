"""What a registered function returns, and the table it is registered in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Backbone:
    """A feature extractor: image (N, 1, H, W) -> feature map (N, channels, h, w).

    ``stages`` run in order, so that the first of them can be frozen; they take
    (image - ``mean``) / ``std`` of an image in [0, 1]. ``weights`` says where the
    weights come from. ``learn_statistics`` asks for batch statistics to be
    learnt: what starts at random has none yet, and what was learnt on ImageNet
    keeps its own, since batches on a CPU are too small to estimate them.
    ``smallest_side`` is the shortest image that leaves a map, in pixels.
    """

    stages: nn.Sequential
    channels: int
    mean: float
    std: float
    weights: str
    learn_statistics: bool = False
    smallest_side: int = SMALLEST_SIDE


Build = Callable[[bool], Backbone]
BACKBONES: dict[str, Build] = {}
"""Registered name -> what builds it; its argument asks for pretrained weights."""


STARTS_FROM: dict[str, str] = {}
"""Registered name of ours -> model whose ImageNet weights it starts from."""


def register(name: str, *, starts_from: str | None = None) -> Callable[[Build], Build]:
    """Register a function that builds a backbone; its argument asks for pretrained weights.

    ``starts_from`` names the model whose ImageNet weights it uses, for `mammo models`.
    """

    def add(build: Build) -> Build:
        BACKBONES[name] = build
        if starts_from is not None:
            STARTS_FROM[name] = starts_from
        return build

    return add
