"""Pruned networks are smaller tensors, not zeros, and still say the same of what matters."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from mammo.errors import SourceInvalid
from mammo.export.prune import (
    channel_importance,
    find_chains,
    prune_network,
    renew_statistics,
)
from mammo.models.breast_net import ViewNet, build_view_net
from tests.export.conftest import HEIGHT, WIDTH


@pytest.mark.parametrize(
    ("name", "least_taken"),
    [
        ("small_cnn", 0.2),
        ("baseline_cnn", 0.15),
        ("tf_efficientnet_lite0", 0.2),
        ("efficientnet_b0", 0.2),
        ("resnet50", 0.3),
    ],
)
def test_pruned_network_has_fewer_parameters_and_trains(name: str, least_taken: float) -> None:
    torch.manual_seed(0)
    net = build_view_net(name, pretrained=False, frozen_stages=1)[0]
    features = net.features
    plan = prune_network(net, 0.3)
    before, after = plan.parameters
    assert after == sum(one.numel() for one in net.parameters())
    assert after < (1 - least_taken) * before
    assert net.features == features
    net.train()
    loss = net(torch.rand(2, 1, HEIGHT, WIDTH)).square().sum()
    loss.backward()
    assert all(one.grad is not None for one in net.stages.parameters())


@pytest.mark.parametrize("name", ["small_cnn", "tf_efficientnet_lite0", "resnet50"])
def test_channels_that_nobody_sees_are_taken_first(name: str) -> None:
    """Channels whose next weights are zero go, and the logit stays as it was."""
    torch.manual_seed(0)
    net = build_view_net(name, pretrained=False)[0].eval()
    for chain in find_chains(net.stages):
        dead = torch.randperm(chain.producer.out_channels)[: chain.producer.out_channels // 2]
        with torch.no_grad():
            chain.consumer.weight[:, dead] = 0
        assert (channel_importance(chain) == 0).sum() >= len(dead)
    image = torch.rand(2, 1, HEIGHT, WIDTH)
    pruned = copy.deepcopy(net)
    prune_network(pruned, 0.25)
    with torch.inference_mode():
        torch.testing.assert_close(pruned.eval()(image), net(image), rtol=1e-4, atol=1e-6)


def test_important_channels_stay(learnt: ViewNet) -> None:
    net = copy.deepcopy(learnt)
    chain = next(find_chains(net.stages))
    scale = chain.between[0].weight
    with torch.no_grad():
        scale[3] = 100.0
    kept = scale.detach().clone()
    prune_network(net, 0.5)
    assert (next(find_chains(net.stages)).between[0].weight == kept[3]).any()


def test_architecture_without_known_blocks_is_refused() -> None:
    net = build_view_net("convnext_tiny", pretrained=False)[0]
    with pytest.raises(SourceInvalid, match="cannot be pruned: known are ResNet"):
        prune_network(net, 0.3)


def test_a_block_of_groups_is_left_alone() -> None:
    stages = nn.Sequential(
        nn.Sequential(nn.Conv2d(4, 8, 1, groups=4), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU()),
    )
    assert list(find_chains(stages)) == []


def test_statistics_are_those_of_what_is_left(learnt: ViewNet, calibration) -> None:
    net = copy.deepcopy(learnt)
    prune_network(net, 0.5)
    renew_statistics(net, calibration)
    convolution, norm = list(net.stages[0].children())[:2]
    images = torch.from_numpy(np.stack(calibration))
    with torch.no_grad():
        maps = convolution((images - net.mean) / net.std)
    torch.testing.assert_close(norm.running_mean, maps.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert not norm.training and norm.momentum == 0.1


def test_a_network_without_statistics_is_left_as_it_is(calibration) -> None:
    net = build_view_net("baseline_cnn", pretrained=False)[0]
    before = copy.deepcopy(net.state_dict())
    renew_statistics(net, calibration)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
