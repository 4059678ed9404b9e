"""Losses against what can be worked out by hand, the schedule, and the average."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mammo.models.averaging import Best, WeightAverage
from mammo.models.config import TrainConfig
from mammo.models.config_checks import CHOICES
from mammo.models.losses import LOSSES, build_loss, probabilistic_f1
from mammo.models.schedule import warmup_cosine

LOGITS = torch.tensor([2.0, -1.0, 0.5, -3.0])
LABELS = torch.tensor([1.0, 0.0, 0.0, 0.0])


def config(**values: object) -> TrainConfig:
    return TrainConfig.from_dict({"label_smoothing": 0.0, **values})


def test_the_registry_is_what_a_configuration_may_say() -> None:
    assert set(LOSSES) == set(CHOICES["loss"])


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_falls_as_logits_part(name: str) -> None:
    loss = build_loss(config(loss=name))
    spread = [loss(k * (2 * LABELS - 1), LABELS).item() for k in (0.0, 1.0, 3.0)]
    assert spread[0] > spread[1] > spread[2] >= 0
    logits = LOGITS.clone().requires_grad_()
    loss(logits, LABELS).backward()
    assert logits.grad is not None and logits.grad[0] < 0 < logits.grad[1]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_half_precision_does_not_reach_the_loss(name: str) -> None:
    loss = build_loss(config(loss=name))(LOGITS.bfloat16(), LABELS)
    assert loss.dtype == torch.float32


def test_smoothing_moves_labels_half_way() -> None:
    expected = binary_cross_entropy_with_logits(LOGITS, torch.tensor([0.9, 0.1, 0.1, 0.1]))
    assert build_loss(config(label_smoothing=0.2))(LOGITS, LABELS) == pytest.approx(expected)


@pytest.mark.parametrize(("weight", "share", "factor"), [(5.0, 0.3, 5.0), (0.0, 0.2, 4.0)])
def test_a_positive_weighs_as_stated_or_as_negatives_are_many(
    weight: float, share: float, factor: float
) -> None:
    loss = build_loss(config(loss="weighted_bce", positive_weight=weight, positive_share=share))
    one = torch.zeros(1)
    ratio = loss(one, torch.ones(1)) / loss(one, torch.zeros(1))
    assert ratio.item() == pytest.approx(factor)


def test_focal_is_the_papers_formula() -> None:
    p = LOGITS.sigmoid()
    of_truth = torch.where(LABELS == 1, p, 1 - p)
    expected = (-((1 - of_truth) ** 2) * of_truth.log()).mean()
    torch.testing.assert_close(build_loss(config(loss="focal"))(LOGITS, LABELS), expected)


@pytest.mark.parametrize(
    ("p", "y", "expected"),
    [([1.0, 0.0], [1.0, 0.0], 1.0), ([0.5, 0.5], [1.0, 0.0], 0.5), ([0.2, 0.9], [0.0, 0.0], 0.0),
     ([0.8, 0.4, 0.2], [1.0, 1.0, 0.0], 2 * 1.2 / (1.4 + 2))],
)  # fmt: skip
def test_probabilistic_f1(p: list[float], y: list[float], expected: float) -> None:
    found = probabilistic_f1(torch.tensor(p), torch.tensor(y))
    assert found.item() == pytest.approx(expected)


def test_the_rate_warms_up_and_ends_at_nothing() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = warmup_cosine(optimizer, 20, 0.25)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[10] == pytest.approx(0.5 * (1 + math.cos(math.pi * 5 / 15)))
    assert rates == sorted(rates[:5]) + sorted(rates[5:], reverse=True) and rates[-1] < 0.03


class Net(nn.Module):
    """A weight that learns, one that is frozen, and a statistic."""

    def __init__(self) -> None:
        super().__init__()
        self.learnt = nn.Parameter(torch.zeros(1))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)
        self.register_buffer("statistic", torch.zeros(1))


def test_the_average_follows_weights_and_statistics() -> None:
    net = Net()
    average = WeightAverage(net, decay=0.5)
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            net.learnt.fill_(value)
            net.statistic.fill_(-value)  # type: ignore[operator]
        average.update()
    # the first update starts at 1; then decays 3/12 and 4/13
    second = 1 + (1 - 3 / 12) * (2 - 1)
    third = second + (1 - 4 / 13) * (3 - second)
    with average.in_place():
        assert net.learnt.item() == pytest.approx(third)
        assert net.statistic.item() == pytest.approx(-third)  # type: ignore[operator]
    assert (net.learnt.item(), net.frozen.item()) == (3.0, 1.0)
    assert set(average.kept) == {"learnt", "statistic"}


@pytest.mark.parametrize(("monitor", "expected"), [("watch_auc", 2.0), ("watch_loss", 1.0)])
def test_the_best_epoch_is_kept(monitor: str, expected: float) -> None:
    net = Net()
    average, best = WeightAverage(net, decay=0.0), Best(monitor)
    for weight, metric in ((1.0, 0.6), (2.0, 0.8), (3.0, 0.7)):
        with torch.no_grad():
            net.learnt.fill_(weight)
        average.update()
        average.kept["learnt"].fill_(weight)
        best.see(metric, average)
    best.apply(average)
    assert net.learnt.item() == expected
