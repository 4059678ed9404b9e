"""Targets of the further heads come from the index; what is not known teaches nothing."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from mammo.errors import SourceInvalid
from mammo.models.auxiliary import TASKS, auxiliary_losses, auxiliary_targets
from mammo.models.breast_net import build_view_net

NAN = math.nan
INDEX = pd.DataFrame(
    {
        "density": ["A", "C", None, "D", "D", "G", "F"],
        "source": ["rsna", "rsna", "rsna", "vindr", "mini-mias", "mini-mias", "mini-mias"],
        "view": ["CC", "MLO", None, "ML", "MLO", "MLO", "CC"],
        "birads": pd.array([0, 1, None, 5, None, None, 2], dtype="Int8"),
        "difficult": pd.array([0, 1, None, None, None, None, 0], dtype="Int8"),
    }
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "density",
            [[0, 0, 0], [1, 1, 0], [NAN] * 3, [1, 1, 1], [1, 1, NAN], [1, NAN, 0], [0, 0, 0]],
        ),
        ("view", [[0], [1], [NAN], [NAN], [1], [1], [0]]),
        ("birads", [[0], [1], [NAN], [5], [NAN], [NAN], [2]]),
        ("difficult", [[0], [1], [NAN], [NAN], [NAN], [NAN], [0]]),
    ],
)
def test_targets_are_read_from_the_index(name: str, expected: list[list[float]]) -> None:
    found = auxiliary_targets(INDEX, [name])[name]
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), np.asarray(expected, np.float32))


@pytest.mark.parametrize("name", sorted(TASKS))
def test_what_is_not_known_has_no_gradient(name: str) -> None:
    targets = auxiliary_targets(INDEX, [name])
    logits = torch.zeros(len(INDEX), TASKS[name].outputs, requires_grad=True)
    auxiliary_losses({name: logits}, targets)[name].backward()
    known = ~torch.isnan(targets[name])
    reached = logits.grad.abs() > 0
    rows = known.expand_as(reached) if TASKS[name].classes else known
    assert torch.equal(reached, rows)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_batch_without_labels_gives_zero(name: str) -> None:
    targets = auxiliary_targets(INDEX.iloc[[2]], [name])
    logits = torch.randn(1, TASKS[name].outputs, requires_grad=True)
    loss = auxiliary_losses({name: logits}, targets)[name]
    loss.backward()
    assert loss.item() == 0.0 and torch.equal(logits.grad, torch.zeros_like(logits))


def test_losses_are_the_cross_entropies_of_what_is_known() -> None:
    targets = auxiliary_targets(INDEX, ["view", "birads"])
    logits = {"view": torch.randn(7, 1), "birads": torch.randn(7, 7)}
    found = auxiliary_losses(logits, targets)
    seen = [0, 1, 4, 5, 6]
    view = torch.nn.functional.binary_cross_entropy_with_logits(
        logits["view"][seen, 0], torch.tensor([0.0, 1, 1, 1, 0])
    )
    rows = [0, 1, 3, 6]
    birads = torch.nn.functional.cross_entropy(logits["birads"][rows], torch.tensor([0, 1, 5, 2]))
    torch.testing.assert_close(found["view"], view)
    torch.testing.assert_close(found["birads"], birads)


def test_a_head_learns_its_label_beside_the_target() -> None:
    torch.manual_seed(0)
    net, _ = build_view_net("small_cnn", auxiliary=["view"])
    bright = torch.arange(16) % 2
    images = 0.2 * torch.rand(16, 1, 32, 32) + 0.5 * bright.view(-1, 1, 1, 1)
    index = pd.DataFrame({"view": [("CC", "MLO")[one] for one in bright]})
    targets = auxiliary_targets(index, ["view"])
    steps = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(30):
        logits = net.auxiliary_logits(net.pooled(net.trunk(images)))
        loss = auxiliary_losses(logits, targets)["view"]
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert loss.item() < 0.1


def test_a_label_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SourceInvalid, match=r"'age'; allowed are density, view, birads, difficult"):
        build_view_net("small_cnn", auxiliary=["age"])
