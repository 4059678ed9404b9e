"""What holds a network to its parent: zero at the start, and right where it can be worked out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from mammo.models.anchors import REPLAYED, Distillation, ElasticWeights, fisher_information
from mammo.models.breast_net import ViewNet, build_view_net


@pytest.fixture
def net() -> ViewNet:
    torch.manual_seed(0)
    made, _ = build_view_net("small_cnn", pretrained=False, frozen_stages=2, dropout=0.0)
    return made.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 1, 64, 32, generator=torch.Generator().manual_seed(1))


def batch_of(images: Tensor, replayed: list[float]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    return images, torch.zeros(len(images)), {REPLAYED: torch.tensor(replayed)}


def test_distillation_pulls_replayed_images_to_the_teacher(net: ViewNet, images: Tensor) -> None:
    anchor = Distillation(copy.deepcopy(net), weight=1.0, temperature=2.0)
    told = net(images).detach()
    for replayed in ([1.0, 0, 1, 0], [0.0] * 4):
        logits = (told + 1).requires_grad_()
        loss = anchor.loss(net, batch_of(images, replayed), logits, cached=False)
        (slope,) = torch.autograd.grad(loss, logits)
        assert (slope > 0).tolist() == [bool(one) for one in replayed]
    at = told.clone().requires_grad_()
    loss = anchor.loss(net, batch_of(images, [1.0] * 4), at, cached=False)
    assert torch.autograd.grad(loss, at)[0].abs().max() < 1e-6


def test_distillation_is_the_same_from_maps_and_from_images(net: ViewNet, images: Tensor) -> None:
    anchor = Distillation(copy.deepcopy(net), weight=3.0, temperature=1.5)
    logits = net(images).detach() - 1
    from_images = anchor.loss(net, batch_of(images, [1.0] * 4), logits, cached=False)
    maps = net.trunk(images)
    from_maps = anchor.loss(net, batch_of(maps, [1.0] * 4), logits, cached=True)
    assert from_maps.item() == pytest.approx(from_images.item(), rel=1e-5)


def test_no_teacher_learns_or_is_kept_with_the_network(net: ViewNet, images: Tensor) -> None:
    anchor = Distillation(copy.deepcopy(net).train(), weight=1.0, temperature=1.0)
    assert not anchor.teacher.training
    assert not any(one.requires_grad for one in anchor.teacher.parameters())


def test_fisher_of_the_head_is_what_the_formula_says(net: ViewNet, images: Tensor) -> None:
    found = fisher_information(net, images, cached=False)
    with torch.no_grad():
        features = net.pooled(net.trunk(images))
        chance = net.logits(features).sigmoid()
    expected = (chance * (1 - chance))[:, None] * features**2
    torch.testing.assert_close(found["head.weight"][0], expected.mean(dim=0))
    torch.testing.assert_close(found["head.bias"][0], (chance * (1 - chance)).mean())
    learnt = {name for name, value in net.named_parameters() if value.requires_grad}
    assert set(found) == learnt and len(learnt) < len(list(net.parameters()))
    maps = fisher_information(net, net.trunk(images), cached=True)
    torch.testing.assert_close(maps["head.weight"], found["head.weight"])


def test_elastic_weights_hold_what_matters(net: ViewNet, images: Tensor) -> None:
    fisher = fisher_information(net, images, cached=False)
    anchor = ElasticWeights(net, fisher, weight=2.0)
    batch = batch_of(images, [0.0] * 4)
    assert anchor.loss(net, batch, torch.zeros(4), cached=False).item() == 0
    with torch.no_grad():
        net.head.bias += 3
    held = anchor.loss(net, batch, torch.zeros(4), cached=False).item()
    assert held == pytest.approx(9 * fisher["head.bias"].item(), rel=1e-5)


def test_no_image_holds_nothing(net: ViewNet) -> None:
    fisher = fisher_information(net, [], cached=False)
    assert all(not one.any() for one in fisher.values())
    assert isinstance(net.head, nn.Linear)
