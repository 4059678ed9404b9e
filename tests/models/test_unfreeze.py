"""Which stages learn when, and how fast."""

from __future__ import annotations

import pytest
import torch

from mammo.models.breast_net import ViewNet, build_view_net
from mammo.models.unfreeze import frozen_at, parameter_groups, rate_factors, unfreeze


@pytest.fixture
def net() -> ViewNet:
    torch.manual_seed(0)
    return build_view_net("small_cnn", pooling="gem", frozen_stages=3)[0].train()


@pytest.mark.parametrize(
    ("every", "expected"),
    [(0, [3, 3, 3, 3, 3, 3, 3, 3]), (1, [3, 2, 1, 0, 0, 0, 0, 0]), (2, [3, 3, 2, 2, 1, 1, 0, 0])],
)
def test_stages_learn_from_the_head_downwards(
    net: ViewNet, every: int, expected: list[int]
) -> None:
    found = []
    for epoch in range(8):
        assert frozen_at(epoch, frozen_stages=3, every=every) == expected[epoch]
        changed = unfreeze(net, epoch, frozen_stages=3, every=every)
        assert changed == (epoch > 0 and expected[epoch] != expected[epoch - 1])
        found.append(net.frozen_stages)
        learns = [any(p.requires_grad for p in stage.parameters()) for stage in net.stages]
        assert learns == [place >= expected[epoch] for place in range(5)]
        assert [stage.training for stage in net.stages] == learns
        assert not any(stage[1].training for stage in net.stages)  # batch statistics stay
    assert found == expected


def test_frozen_stages_do_not_move_and_learnt_ones_do(net: ViewNet) -> None:
    groups = parameter_groups(net, learning_rate=0.1, weight_decay=0.1, lowest=0)
    steps = torch.optim.AdamW(groups)
    image = torch.rand(2, 1, 32, 32)
    before = [stage[0].weight.clone() for stage in net.stages]
    moved = []
    for epoch in range(3):
        unfreeze(net, epoch, frozen_stages=3, every=1)
        steps.zero_grad()
        net(image).sum().backward()
        steps.step()
        moved.append(
            [not torch.equal(s[0].weight, b) for s, b in zip(net.stages, before, strict=True)]
        )
    assert moved == [
        [False, False, False, True, True],
        [False, False, True, True, True],
        [False, True, True, True, True],
    ]


def test_lower_stages_learn_more_slowly(net: ViewNet) -> None:
    assert rate_factors(3, 0.5) == [0.125, 0.25, 0.5]
    groups = parameter_groups(net, learning_rate=1.0, weight_decay=0.3, layer_decay=0.5, lowest=0)
    rates = {group["name"]: group["lr"] for group in groups}
    expected = {f"stage {place}": 0.5 ** (5 - place) for place in range(5)}
    assert rates == expected | {"pooling": 1.0, "head": 1.0}
    for group in groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_each_parameter_that_will_learn_is_in_one_group(net: ViewNet) -> None:
    for lowest, expected in (
        (0, list(net.parameters())),
        (None, [p for p in net.parameters() if p.requires_grad]),
    ):
        groups = parameter_groups(net, learning_rate=1.0, weight_decay=0.1, lowest=lowest)
        found = [id(p) for group in groups for p in group["params"]]
        assert sorted(found) == sorted(id(p) for p in expected)
