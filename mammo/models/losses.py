"""Losses by name: one registered function each, of logits (N,) and labels (N,) to a scalar.

    loss = build_loss(config)
    loss(logits, labels)

Logits are taken in float32 whatever the precision of the network. Labels are 0
or 1; every loss smooths them towards one half by ``label_smoothing``: labels of
screening are wrong now and then, and an overconfident network calibrates badly.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mammo.models.config import TrainConfig

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Callable[[TrainConfig], Loss]] = {}


def register_loss(
    name: str,
) -> Callable[[Callable[[TrainConfig], Loss]], Callable[[TrainConfig], Loss]]:
    """Register a function that builds a loss from the configuration."""

    def add(build: Callable[[TrainConfig], Loss]) -> Callable[[TrainConfig], Loss]:
        LOSSES[name] = build
        return build

    return add


def build_loss(config: TrainConfig) -> Loss:
    """Return the loss that ``config.loss`` names."""
    return LOSSES[config.loss](config)


def smoothed(labels: Tensor, smoothing: float) -> Tensor:
    """Return labels drawn towards one half: 1 becomes 1 - smoothing / 2."""
    return labels * (1 - smoothing) + 0.5 * smoothing


@register_loss("bce")
def _bce(config: TrainConfig) -> Loss:
    """Binary cross-entropy: calibrated where positives are drawn as they come."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        wanted = smoothed(labels, config.label_smoothing)
        return binary_cross_entropy_with_logits(logits.float(), wanted)

    return loss


@register_loss("weighted_bce")
def _weighted_bce(config: TrainConfig) -> Loss:
    """Cross-entropy in which a positive counts ``positive_weight`` times.

    0 stands for as many times as there are negatives to a positive among the
    draws, so that both classes pull alike without positives being repeated.
    """
    share = config.positive_share
    weight = config.positive_weight or (1 - share) / max(share, 1e-6)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        wanted = smoothed(labels, config.label_smoothing)
        pull = torch.as_tensor(weight, device=logits.device)
        return binary_cross_entropy_with_logits(logits.float(), wanted, pos_weight=pull)

    return loss


@register_loss("focal")
def _focal(config: TrainConfig) -> Loss:
    """Focal loss (Lin et al. 2017, arXiv:1708.02002): easy images count less.

    With smoothed labels in the form of Li et al. 2020 (arXiv:2006.04388),
    |y - p|^gamma x cross-entropy; without smoothing both are the same.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        wanted = smoothed(labels, config.label_smoothing)
        each = binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
        distance = (wanted - logits.float().sigmoid()).abs()
        return (distance**config.focal_gamma * each).mean()

    return loss


@register_loss("pf1")
def _pf1(config: TrainConfig) -> Loss:
    """One minus probabilistic F1, mixed with cross-entropy by ``pf1_share``.

    Cross-entropy stays in the mixture since a batch without positives has a
    pF1 of 0 whatever is predicted, and teaches nothing.
    """
    bce = _bce(config)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        lack = 1 - probabilistic_f1(logits.float().sigmoid(), labels)
        return config.pf1_share * lack + (1 - config.pf1_share) * bce(logits, labels)

    return loss


def probabilistic_f1(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return pF1, a scalar in [0, 1] (Yacouby and Axman 2020), the RSNA challenge's metric.

    The harmonic mean of sum(p y) / sum(p) and sum(p y) / sum(y) is
    2 sum(p y) / (sum(p) + sum(y)); it has a gradient wherever a label is positive.
    """
    both = 2 * (probabilities * labels).sum()
    return both / (probabilities.sum() + labels.sum()).clamp_min(1e-8)
