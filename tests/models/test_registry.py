"""Every registered model inherits these tests; so does every configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mammo.errors import SourceInvalid, SourceNotFound
from mammo.models.breast_net import FrozenEncoder, OutputsGraph, ViewNet, build_view_net
from mammo.models.config import TrainConfig, config_names, read_config
from mammo.models.pooling import POOLINGS, build_pooling
from mammo.models.registry import BACKBONES
from tests.models.graphs import export_graph, run_graph

SECONDS = ("convnext", "inception", "resnet50")
"""Networks whose tests take seconds rather than milliseconds."""
MODELS = [
    pytest.param(name, marks=pytest.mark.slow if name.startswith(SECONDS) else ())
    for name in sorted(BACKBONES)
]


@pytest.fixture(scope="module", params=MODELS)
def net(request: pytest.FixtureRequest) -> ViewNet:
    """Each registered model at random, every stage learning."""
    torch.manual_seed(0)
    return build_view_net(request.param, pretrained=False, auxiliary=("density", "view"))[0]


@pytest.fixture
def views(net: ViewNet) -> torch.Tensor:
    """Two images of the smallest size that the model takes."""
    side = net.smallest_side
    shape = (2, 1, 2 * side, side) if side == 32 else (2, 1, side, side)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_trunk_and_top_are_the_whole(net: ViewNet, views: torch.Tensor) -> None:
    net.eval()
    with torch.inference_mode():
        whole = net(views)
        for frozen in (2, 99, 0):
            net.freeze(frozen)
            torch.testing.assert_close(net.top(net.trunk(views)), whole)


def test_heat_adds_up_to_the_logit(net: ViewNet, views: torch.Tensor) -> None:
    net.eval()
    kept = net.pooling, net.head
    with torch.inference_mode():
        for pooling in POOLINGS:
            net.pooling = build_pooling(pooling)
            net.head = torch.nn.Linear(net.pooling.multiple * net.channels, 1)
            found = net.outputs(views)
            torch.testing.assert_close(found.logit, net(views))
            assert found.features.shape == (2, net.features)
            total = found.heat.double().sum((1, 2)) + net.head.bias.item()
            torch.testing.assert_close(total.float(), found.logit, rtol=1e-4, atol=1e-4)
    net.pooling, net.head = kept


def test_export_gives_the_same_outputs(net: ViewNet, views: torch.Tensor, tmp_path: Path) -> None:
    graph, path = OutputsGraph(net).eval(), tmp_path / "model.onnx"
    axes = {one: {0: "n"} for one in ("image", *graph.NAMES)}
    export_graph(graph, (views,), path, axes, graph.NAMES)
    image = torch.cat([views, views.flip(3)])  # another number than it was exported with
    found = run_graph(path, {"image": image})
    with torch.inference_mode():
        expected = net.outputs(image)
    for name, one in expected._asdict().items():
        # at random, with statistics not learnt yet, features of a deep network are large
        atol = 1e-4 * max(1.0, one.abs().max().item())
        np.testing.assert_allclose(found[name], one.numpy(), rtol=1e-3, atol=atol)


def test_forward_and_backward(net: ViewNet, views: torch.Tensor) -> None:
    net.freeze(2)
    features = net.train().pooled(net.trunk(views))
    logits, others = net.logits(features), net.auxiliary_logits(features)
    assert logits.shape == (2,)
    assert {name: one.shape for name, one in others.items()} == {"density": (2, 3), "view": (2, 1)}
    sum(one.sum() for one in (logits, *others.values())).backward()
    frozen = {id(p) for p in net.stages[:2].parameters()}
    assert frozen
    for parameter in net.parameters():
        assert (parameter.grad is None) == (id(parameter) in frozen)
    assert not any(stage.training for stage in net.stages[:2])
    net.zero_grad()
    net.freeze(0)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(3, 1, 128, 64, generator=torch.Generator().manual_seed(0))


def test_encoder_is_the_same_every_time(image: torch.Tensor) -> None:
    first, second = FrozenEncoder()(image), FrozenEncoder()(image)
    assert first.shape == (3, 32)
    assert torch.equal(first, second)
    assert not any(p.requires_grad for p in FrozenEncoder().parameters())


def test_pretrained_weights_differ_from_random(image: torch.Tensor) -> None:
    pretrained, origin = build_view_net("tf_efficientnet_lite0")
    again, _ = build_view_net("tf_efficientnet_lite0")
    random, _ = build_view_net("tf_efficientnet_lite0", pretrained=False)
    with torch.inference_mode():
        kept = pretrained.eval().trunk(image), again.eval().trunk(image)
    assert "ImageNet" in origin
    assert torch.equal(*kept)
    stem = [net.state_dict()["stages.0.0.weight"] for net in (pretrained, again, random)]
    assert torch.equal(stem[0], stem[1]) and not torch.equal(stem[0], stem[2])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5o", r"^No model 'resnet5o'\. Did you mean resnet50\? Registered: .*small_cnn"),
        ("convnext_smal", r"Did you mean convnext_small\?"),
        ("mobilenetv3_large_10", r"Did you mean mobilenetv3_large_100\?"),
        ("qqqqqqqq", r"^No model 'qqqqqqqq'\. Registered: .*small_cnn.*or any name of timm"),
    ],
)
def test_unknown_model_suggests_the_nearest(name: str, message: str) -> None:
    with pytest.raises(SourceNotFound, match=message):
        build_view_net(name)


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_is_valid(name: str) -> None:
    config = read_config(name)
    assert config.name == name
    assert config.architecture in BACKBONES
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_unknown_setting_is_an_error() -> None:
    with pytest.raises(
        SourceInvalid, match=r"lerning_rate \(did you mean learning_rate\?\)\. Allowed: acc"
    ):
        TrainConfig.from_dict({"lerning_rate": 0.1})


def test_unknown_configuration_names_those_there_are() -> None:
    with pytest.raises(SourceNotFound, match=r"No configuration 'nope'.*demo.*or give a \.yaml"):
        read_config("nope")
