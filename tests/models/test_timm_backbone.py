"""Any name of timm: with its stages where they are known, as one stage elsewhere, or refused."""

from __future__ import annotations

import pytest
import torch

from mammo.errors import SourceInvalid
from mammo.models.breast_net import build_view_net
from mammo.models.timm_backbone import SPLITS, FeatureMap, create_network


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18.a1_in1k", 5),
        ("mobilenetv2_050", 9),
        ("convnextv2_atto", 5),
        ("regnety_002", 1),
        ("edgenext_xx_small", 1),
        ("focalnet_tiny_srf", 1),
    ],
)
def test_any_other_name_is_built(name: str, stages: int) -> None:
    net, origin = build_view_net(name, pretrained=False)
    assert (origin, len(net.stages), net.learn_statistics) == ("random", stages, True)
    image = torch.rand(2, 1, 64, 32)
    with torch.inference_mode():
        found = net.eval().outputs(image)
    assert found.heat.shape == (2, 2, 1)
    torch.testing.assert_close(found.heat.sum((1, 2)) + net.head.bias, found.logit)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_network_of_one_image_size_is_refused_by_name(name: str) -> None:
    with pytest.raises(SourceInvalid, match=rf"{name} takes images of 224 x 224 pixels alone"):
        build_view_net(name, pretrained=False)


def test_a_network_without_a_map_is_refused_by_name() -> None:
    network = create_network("vit_tiny_patch16_224")
    network.pretrained_cfg = network.pretrained_cfg | {"fixed_input_size": False}
    with pytest.raises(SourceInvalid, match=r"vit_tiny gives \(1, 197, 192\).*not a map of 192"):
        FeatureMap("vit_tiny", network)


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet18", "convnext_atto"])
def test_stages_one_after_another_are_the_network(name: str) -> None:
    """The split leaves nothing out and changes no order."""
    torch.manual_seed(0)
    network = create_network(name).eval()
    image = torch.rand(1, 3, 64, 32)
    stages = SPLITS[type(network).__name__](network)
    with torch.inference_mode():
        expected = network(image)
        for stage in stages:
            image = stage.eval()(image)
    assert torch.equal(image, expected)
    inside = {id(p) for stage in stages for p in stage.parameters()}
    assert inside == {id(p) for p in network.parameters()}
