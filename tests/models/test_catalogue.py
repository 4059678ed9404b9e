"""`mammo models` lists what can be trained, and searches what else there is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from mammo.models.breast_net import build_view_net
from mammo.models.registry import BACKBONES


def _run(*words: str) -> Any:
    return CliRunner().invoke(app, ["models", *words])


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, Any]]:
    result = _run("--json")
    assert result.exit_code == 0
    return {one["name"]: one for one in json.loads(result.stdout)["models"]}


def test_every_registered_model_is_listed(listed: dict[str, dict[str, Any]]) -> None:
    assert sorted(listed) == sorted(BACKBONES)
    for name in ("small_cnn", "baseline_cnn", "efficientnet_b0"):
        net, _ = build_view_net(name, pretrained=False)
        one = listed[name]
        assert one["parameters"] == sum(p.numel() for p in net.stages.parameters())
        assert (one["channels"], one["stages"]) == (net.channels, len(net.stages))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("small_cnn", {"family": "own", "pretrained": False, "at_hand": False, "hub": None}),
        (
            "tf_efficientnet_lite0",
            {"family": "efficientnet", "at_hand": True, "hub": None, "licence": "apache-2.0"},
        ),
        ("resnet50", {"pretrained": True, "weights": "a1_in1k", "hub": "timm/resnet50.a1_in1k"}),
        ("inception_v3", {"family": "inception_v3", "smallest_side": 75, "channels": 2048}),
    ],
)
def test_weights_are_told(
    listed: dict[str, dict[str, Any]], name: str, expected: dict[str, Any]
) -> None:
    assert expected.items() <= listed[name].items()


def test_people_see_whole_names_in_eighty_columns() -> None:
    lines = _run().stdout.splitlines()
    for name in BACKBONES:
        assert any(name in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_timms_names_are_searched() -> None:
    found = {
        one["name"]: one
        for one in json.loads(_run("--all", "vit_tiny*", "--json").stdout)["models"]
    }
    assert not found["vit_tiny_patch16_224"]["any_size"]
    found = {
        one["name"]: one
        for one in json.loads(_run("--all", "convnextv2_a*", "--json").stdout)["models"]
    }
    assert found["convnextv2_atto"]["licence"] == "cc-by-nc-4.0"
    assert found["convnextv2_atto"]["any_size"] and not found["convnextv2_atto"]["registered"]


def test_a_pattern_without_a_match_is_an_error() -> None:
    result = _run("--all", "convnxt*")
    assert result.exit_code == 2
    assert "SOURCE_NOT_FOUND" in result.stderr and "'convnext*'" in result.stderr
