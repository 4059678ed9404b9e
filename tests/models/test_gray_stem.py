"""A gray image through one channel gives what three equal channels gave, borders included."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from mammo.models.gray_stem import gray_stem
from mammo.models.registry import build_backbone
from mammo.models.timm_backbone import create_network

NETWORKS = [
    "tf_efficientnet_lite0",
    "efficientnet_b0",
    "resnet50",
    pytest.param("inception_v3", marks=pytest.mark.slow),
    "convnext_tiny",
    "resnet18d",  # a stem of three convolutions, not registered
    pytest.param("resnetv2_50x1_bit", marks=pytest.mark.slow),  # weights normalised on the fly
]


def _colours(name: str) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """timm's own network on three channels, its mean and its standard deviation."""
    torch.manual_seed(0)
    network = create_network(name).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # or features of a deep network explode
            module.running_mean.normal_(std=0.1)
            module.running_var.fill_(2.0)
    config = network.pretrained_cfg
    return network, *(torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_those_of_three_equal_channels(name: str) -> None:
    network, mean, std = _colours(name)
    image = torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(1))
    image[..., 48:] = 0.0  # a black background meets the border
    with torch.inference_mode():
        expected = network((image.expand(-1, 3, -1, -1) - mean) / std)
        backbone = build_backbone(name, tensors=network.state_dict())
        found = backbone.stages.eval()((image - backbone.mean) / backbone.std)
    scale = expected.abs().max().item()
    assert scale > 0.01
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("conv", "channels"),
    [
        (nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), 2),
        (nn.Conv2d(3, 8, 4, stride=4), 1),
        (nn.Conv2d(3, 8, 4, stride=4, bias=False), 1),
    ],
    ids=["padded", "patches", "patches without bias"],
)
def test_stem_is_exact_inside_and_at_the_borders(conv: nn.Conv2d, channels: int) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = torch.rand(2, 1, 16, 12)
    three = (image - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    with torch.no_grad():
        expected = conv(three)
        stem = gray_stem(conv, mean, std)
        found = stem((image - sum(mean) / 3) / (sum(std) / 3))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert conv.weight.shape[1] == channels


def test_timms_own_way_is_off_where_the_colours_differ() -> None:
    """``in_chans=1`` sums the weights: with averaged mean and deviation it is near, not equal."""
    network, mean, std = _colours("resnet50")
    image = torch.rand(1, 1, 64, 32)
    one = timm.create_model("resnet50", in_chans=1, num_classes=0, global_pool="").eval()
    state = dict(network.state_dict())
    state["conv1.weight"] = state["conv1.weight"].sum(dim=1, keepdim=True)
    one.load_state_dict(state)
    backbone = build_backbone("resnet50", tensors=network.state_dict())
    with torch.inference_mode():
        expected = network.conv1((image.expand(-1, 3, -1, -1) - mean) / std)
        summed = one.conv1((image - mean.mean()) / std.mean())
        ours = backbone.stages[0][0]((image - backbone.mean) / backbone.std)
    scale = expected.std()
    assert (ours - expected).abs().max() < 1e-5 * scale
    assert (summed - expected).abs().max() > 0.05 * scale
