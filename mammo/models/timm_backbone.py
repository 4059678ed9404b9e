"""A network of timm as a backbone: its stages, its gray stem, its weights.

timm (Wightman 2019, https://github.com/huggingface/pytorch-image-models, Apache-2.0)
keeps mean, standard deviation, licence and origin beside each set of weights
(``PretrainedCfg``). Nothing of it is imported before a network is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mammo.errors import SourceInvalid
from mammo.models.backbone import SMALLEST_SIDE, Backbone
from mammo.models.gray_stem import ThreeChannels, average, gray_stem
from mammo.models.imagenet import imagenet_tensors
from mammo.models.weights import load_tensors

Split = Callable[[Any], list[nn.Module]]


def _efficientnet(network: Any) -> list[nn.Module]:
    """Stem, seven groups of blocks, and the widening convolution (Tan and Le 2019)."""
    stem = nn.Sequential(network.conv_stem, network.bn1)
    return [stem, *network.blocks, nn.Sequential(network.conv_head, network.bn2)]


def _resnet(network: Any) -> list[nn.Module]:
    """Stem and four groups of bottlenecks (He et al. 2016)."""
    stem = nn.Sequential(network.conv1, network.bn1, network.act1, network.maxpool)
    return [stem, network.layer1, network.layer2, network.layer3, network.layer4]


def _convnext(network: Any) -> list[nn.Module]:
    """Patches and four stages (Liu et al. 2022); the head's norm is taken at each place.

    timm normalises after pooling; before it, each place keeps its own share of
    the logit, and maximum pooling sees normalised values.
    """
    last = nn.Sequential(network.stages[3], network.norm_pre, network.head.norm)
    return [network.stem, *network.stages[:3], last]


def _inception(network: Any) -> list[nn.Module]:
    """Two stems and the 35, 17 and 8 pixel groups (Szegedy et al. 2016)."""
    parts = dict(network.named_children())
    groups = (
        ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Pool1"),
        ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "Pool2"),
        ("Mixed_5b", "Mixed_5c", "Mixed_5d"),
        ("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
        ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
    )
    return [nn.Sequential(*[parts[name] for name in group]) for group in groups]


SPLITS: dict[str, Split] = {
    "EfficientNet": _efficientnet,
    "ResNet": _resnet,
    "ConvNeXt": _convnext,
    "InceptionV3": _inception,
}
"""Class in timm -> its stages from the stem on; other classes are one stage."""

SMALLEST_SIDES = {"InceptionV3": 75}
"""Pixels below which a class's unpadded layers leave no map."""


@dataclass(frozen=True)
class TimmModel:
    """Builds the backbone of one name of timm."""

    name: str

    def __call__(
        self,
        pretrained: bool,
        *,
        drop_path: float = 0.0,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> Backbone:
        """Return the backbone; see `mammo.models.registry.build_backbone`."""
        network = create_network(self.name, drop_path)
        origin = "random"
        if tensors is not None:
            origin = "a file"
        elif pretrained:
            tensors, origin = imagenet_tensors(self.name, network)
        if tensors is not None:
            load_tensors(network, tensors, self.name)
        return _backbone(self.name, network, origin)


def create_network(name: str, drop_path: float = 0.0) -> Any:
    """Return timm's network without classifier, three channels, random weights.

    SourceInvalid where it has no residual branches and ``drop_path`` is set.
    """
    import timm

    # plain operations, as a graph that is traced and exported has them
    options: dict[str, Any] = {"scriptable": True}
    if drop_path > 0:
        options["drop_path_rate"] = drop_path
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **options)
    except TypeError as error:
        if drop_path == 0:
            raise
        raise SourceInvalid(f"{name} has no residual branches to drop: set drop_path: 0") from error


def timm_names(pattern: str = "") -> list[str]:
    """Return timm's names, all or those like a pattern such as ``convnext*``."""
    import timm

    return list(timm.list_models(pattern))


def _backbone(name: str, network: Any, origin: str) -> Backbone:
    config = network.pretrained_cfg
    mean, std = tuple(config["mean"]), tuple(config["std"])
    kind = type(network).__name__
    wrapped = None if kind in SPLITS else FeatureMap(name, network)
    colours = _convert_stem(network, mean, std)
    stages: list[nn.Module] = SPLITS[kind](network) if wrapped is None else [wrapped]
    if colours is not None:
        stages[0] = nn.Sequential(colours, stages[0])
        mean, std = (0.0,), (1.0,)
    return Backbone(
        nn.Sequential(*stages),
        network.num_features,
        mean=average(mean),
        std=average(std),
        weights=origin,
        learn_statistics=origin == "random",
        smallest_side=SMALLEST_SIDES.get(kind, SMALLEST_SIDE),
    )


def _convert_stem(
    network: Any, mean: tuple[float, ...], std: tuple[float, ...]
) -> ThreeChannels | None:
    """Make the first layer take one channel; where that cannot be, return what makes three."""
    from timm.layers.conv2d_same import Conv2dSame

    place = network.pretrained_cfg.get("first_conv")
    conv: Any = network.get_submodule(place) if isinstance(place, str) else None
    if type(conv) not in (nn.Conv2d, Conv2dSame):
        return ThreeChannels(mean, std)
    network.set_submodule(place, gray_stem(conv, mean, std))
    return None


class FeatureMap(nn.Module):
    """A network as one stage: its features as a map (N, C, h, w), whatever its layout.

    Maps whose channels come last are turned. SourceInvalid where the features
    are no map, or the network takes images of one size alone.
    """

    def __init__(self, name: str, network: Any) -> None:
        super().__init__()
        self.network = network
        self.channels_last = _channels_last(name, network)

    def forward(self, image: Tensor) -> Tensor:
        """Return the map."""
        maps: Tensor = self.network.forward_features(image)
        return maps.permute(0, 3, 1, 2) if self.channels_last else maps


def _channels_last(name: str, network: Any) -> bool:
    """True where channels come last; SourceInvalid where there is no map of features."""
    features, size = network.num_features, network.pretrained_cfg["input_size"]
    if network.pretrained_cfg.get("fixed_input_size"):
        raise SourceInvalid(
            f"{name} takes images of {size[1]} x {size[2]} pixels alone. Choose a convolutional "
            "network, which takes any size (`mammo models`)."
        )
    with torch.no_grad():
        image = torch.zeros(1, *size)
        shape = tuple(network.eval().forward_features(image).shape)
    if len(shape) == 4 and features in (shape[1], shape[3]):
        return shape[1] != features
    raise SourceInvalid(
        f"{name} gives {shape} for an image, not a map of {features} features at each place, "
        "which a heat map needs. Choose a convolutional network (`mammo models`)."
    )
