"""Contrast, tissue and attention of `lite0_places`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mammo.models.breast_net import ViewNet, build_view_net
from mammo.models.breast_places import CHANNELS, BreastPlaces, PlaceAttention


@pytest.fixture(scope="module")
def net() -> ViewNet:
    """The network with random weights and a rule."""
    torch.manual_seed(1)
    net, _ = build_view_net("lite0_places", frozen_stages=1, pretrained=False, pooling="mean")
    torch.nn.init.normal_(net.stages[-1].rule)
    return net.eval()


@pytest.fixture(scope="module")
def breast() -> Tensor:
    """Two breasts on black, chest wall on the left, (2, 1, 128, 64)."""
    torch.manual_seed(2)
    image = torch.zeros(2, 1, 128, 64)
    image[:, :, 16:112, :40] = 0.2 + 0.6 * torch.rand(2, 1, 96, 40)
    return image


def test_contrast_has_no_mean_and_nothing_lies_outside(net: ViewNet, breast: Tensor) -> None:
    with torch.inference_mode():
        contrast, tissue = net.trunk(breast).chunk(2, dim=1)
    assert contrast.sum(dim=(2, 3)).abs().max() < 1e-3 * contrast.abs().max()
    assert tissue[..., 3:].abs().max() == contrast[..., 3:].abs().max() == 0
    assert tissue[..., :2].abs().amin(dim=(0, 1))[1:7].min() >= 0


def test_tissue_does_not_depend_on_how_much_black_there_is(breast: Tensor) -> None:
    places = BreastPlaces(nn.Sequential(nn.AvgPool2d(16)), dark=0.04)
    wider = torch.cat([breast, torch.zeros_like(breast)], dim=3)
    near, far = (places(one)[:, 1].mean(dim=(1, 2)) for one in (breast, wider))
    torch.testing.assert_close(near, far)
    assert near.sub(0.5).abs().max() < 0.02


def test_mirrored_breast_has_the_same_logit_and_the_mirrored_heat(
    net: ViewNet, breast: Tensor
) -> None:
    with torch.inference_mode():
        right, left = net.outputs(breast), net.outputs(breast.flip(3))
    torch.testing.assert_close(right.logit, left.logit)
    torch.testing.assert_close(right.heat, left.heat.flip(2), atol=1e-5, rtol=1e-4)


def test_attention_goes_to_the_place_of_the_rule() -> None:
    attention = PlaceAttention(CHANNELS)
    places = torch.zeros(1, 2 * CHANNELS, 4, 2)
    places[0, 5, 1, 0] = 20.0
    with torch.no_grad():
        even = attention(places).mean(dim=(2, 3))[0, 5]
        attention.rule[5] = 1.0
        sharp = attention(places).mean(dim=(2, 3))[0, 5]
    assert even == pytest.approx(20 / 8)
    assert sharp == pytest.approx(20, rel=1e-3)


def test_black_image_gives_numbers(net: ViewNet) -> None:
    with torch.inference_mode():
        assert net(torch.zeros(1, 1, 64, 32)).isfinite().all()
