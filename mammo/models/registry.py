"""Classifiers by name: one registered function each, one line for a network of timm.

    @register("small_cnn")
    def small_cnn(pretrained: bool) -> Backbone: ...

    register("resnet50")(TimmModel("resnet50"))

Any other name of timm can be built as well (`mammo.models.timm_backbone`). A
registered name inherits the forward, backward, export and parity tests
(tests/models/test_registry.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from difflib import get_close_matches

from torch import Tensor, nn

from mammo.errors import SourceInvalid, SourceNotFound
from mammo.models.backbone import BACKBONES, Backbone, Build, register
from mammo.models.timm_backbone import TimmModel, timm_names

__all__ = ["BACKBONES", "Backbone", "Build", "build_backbone", "register"]


def build_backbone(
    name: str,
    *,
    pretrained: bool = True,
    drop_path: float = 0.0,
    tensors: Mapping[str, Tensor] | None = None,
) -> Backbone:
    """Build a backbone by its registered name, or any other that timm has.

    Parameters
    ----------
    pretrained
        Start from ImageNet; networks that have no such weights ignore it.
    drop_path
        Share of residual branches dropped in training, in [0, 1), the deepest
        most often (stochastic depth; Huang et al. 2016, arXiv:1603.09382).
    tensors
        Weights under timm's names to start from instead; those of a
        three-channel stem are converted (`mammo.models.gray_stem`).

    Raises
    ------
    SourceNotFound
        No such model; the nearest name is suggested.
    SourceInvalid
        The model gives no spatial map, or has no residual branches to drop.
    WeightsInvalid
        ``tensors`` do not fit.
    WeightsUnreachable
        The ImageNet weights cannot be had here.
    """
    build = BACKBONES.get(name) or _timm_model(name)
    if isinstance(build, TimmModel):
        return build(pretrained, drop_path=drop_path, tensors=tensors)
    if drop_path > 0:
        raise SourceInvalid(f"{name} has no residual branches to drop: set drop_path: 0")
    if tensors is not None:
        raise SourceInvalid(f"{name} is no network of timm: give a weights file that mammo wrote")
    return build(pretrained)


def _timm_model(name: str) -> TimmModel:
    """Return timm's network of that name; SourceNotFound suggests the nearest there is."""
    names = timm_names()
    if name.partition(".")[0] in names:
        return TimmModel(name)
    near = get_close_matches(name, BACKBONES, n=1, cutoff=0.8) or get_close_matches(name, names, 1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise SourceNotFound(
        f"No model {name!r}.{meant} Registered: {', '.join(sorted(BACKBONES))}; "
        "or any name of timm (`mammo models --all 'res*'`)."
    )


@register("small_cnn")
def _small_cnn(pretrained: bool) -> Backbone:
    """Five strided convolutions from scratch, 0.4 M parameters: for smoke runs."""
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


register("tf_efficientnet_lite0")(TimmModel("tf_efficientnet_lite0"))
register("efficientnet_b0")(TimmModel("efficientnet_b0"))
register("resnet50")(TimmModel("resnet50"))
register("inception_v3")(TimmModel("inception_v3"))
register("convnext_tiny")(TimmModel("convnext_tiny"))
register("convnext_small")(TimmModel("convnext_small"))

import mammo.models.baseline  # noqa: E402  (registers itself; it needs what is above)
import mammo.models.breast_places  # noqa: E402, F401  (registers itself)
