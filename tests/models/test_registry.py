"""Every registered model inherits these tests; so does every configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from mammo.errors import SourceInvalid, SourceNotFound
from mammo.export.onnx import export_onnx
from mammo.models.breast_net import FrozenEncoder, build_view_net
from mammo.models.config import CONFIGS, TrainConfig, read_config
from mammo.models.registry import BACKBONES

SIZE = {"height": 128, "width": 64}


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(3, 1, 128, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_forward_and_backward(name: str, image: torch.Tensor) -> None:
    net, origin = build_view_net(name, frozen_stages=2)
    logits = net.train()(image)
    assert logits.shape == (3,) and origin
    logits.sum().backward()
    frozen = {id(p) for p in net.stages[:2].parameters()}
    for parameter in net.parameters():
        assert (parameter.grad is None) == (id(parameter) in frozen)


@pytest.mark.parametrize("name", sorted(BACKBONES))
@pytest.mark.parametrize("frozen", [0, 2, 99])
def test_trunk_and_top_are_the_whole(name: str, frozen: int, image: torch.Tensor) -> None:
    net, _ = build_view_net(name, frozen_stages=frozen, pretrained=False)
    net.eval()
    with torch.inference_mode():
        torch.testing.assert_close(net.top(net.trunk(image)), net(image))


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_export_gives_the_same_logits(name: str, image: torch.Tensor, tmp_path: Path) -> None:
    net, _ = build_view_net(name)
    path = tmp_path / "model.onnx"
    export_onnx(net, path, **SIZE, output="logit")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(["logit"], {"image": image.numpy()})[0]
    with torch.inference_mode():
        expected = net.eval()(image).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


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


def test_unknown_model_names_those_there_are() -> None:
    with pytest.raises(SourceNotFound, match=r"No model 'resnet9000'.*small_cnn"):
        build_view_net("resnet9000")


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_configuration_is_valid(name: str) -> None:
    config = read_config(name)
    assert config.name == name
    assert config.architecture in BACKBONES
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_unknown_setting_is_an_error() -> None:
    with pytest.raises(SourceInvalid, match=r"lerning_rate \(did you mean learning_rate\?\)\. Allowed: acc"):
        TrainConfig.from_dict({"lerning_rate": 0.1})


def test_unknown_configuration_names_those_there_are() -> None:
    with pytest.raises(SourceNotFound, match=r"No configuration 'nope'.*demo.*or give a \.yaml"):
        read_config("nope")
