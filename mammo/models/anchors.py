"""What holds a network to the release that it came from while it learns something new.

    anchor = Distillation(teacher, weight=1.0, temperature=2.0)
    loss = loss + anchor.loss(net, batch, logits, cached=True)

An `Anchor` is no part of the network: it is made anew from the parent's weights
when a training is taken up, and no checkpoint holds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mammo.models.breast_net import ViewNet

REPLAYED = "replayed"
"""Entry of a batch's further labels: (N,) float32, 1 for an image that is drawn again."""


class Anchor(Protocol):
    """A term of the loss that grows as the network leaves the one it came from."""

    def loss(self, net: ViewNet, batch: tuple[Any, ...], logits: Tensor, *, cached: bool) -> Tensor:
        """Return the term, (), for a batch and the network's logits (N,) of it.

        ``cached`` says that the batch holds the trunk's maps instead of images.
        """


class Distillation:
    """Asks for the parent's logits on the images that are drawn again.

    Cross-entropy against the parent's softened probabilities, times the square of
    the temperature (Hinton et al. 2015, arXiv:1503.02531). Not on images of the new
    scanner: there the parent is what shall be mended. The sum over the replayed
    images is divided by the whole batch, so a batch without one adds nothing.
    """

    def __init__(self, teacher: ViewNet, *, weight: float, temperature: float) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.weight, self.temperature = weight, temperature

    def loss(self, net: ViewNet, batch: tuple[Any, ...], logits: Tensor, *, cached: bool) -> Tensor:
        """Return weight x T^2 x cross-entropy, summed over replayed images, by batch size."""
        inputs, replayed = batch[0], batch[2][REPLAYED]
        self.teacher.to(inputs.device)
        with torch.no_grad():
            told = self.teacher.top(inputs) if cached else self.teacher(inputs)
        wanted = (told.float() / self.temperature).sigmoid()
        each = binary_cross_entropy_with_logits(
            logits.float() / self.temperature, wanted, reduction="none"
        )
        return self.weight * self.temperature**2 * (each * replayed).mean()


class ElasticWeights:
    """Holds each weight by how much the parent's answers hang on it (Kirkpatrick et al. 2017).

    Half the weight x sum of Fisher x (value - the parent's value)^2; doi:10.1073/pnas.1611835114.
    ``fisher`` is `fisher_information` of the network as it is given.
    """

    def __init__(self, net: ViewNet, fisher: dict[str, Tensor], *, weight: float) -> None:
        own = dict(net.named_parameters())
        self.start = {name: own[name].detach().clone() for name in fisher}
        self.fisher, self.weight = fisher, weight

    def loss(self, net: ViewNet, batch: tuple[Any, ...], logits: Tensor, *, cached: bool) -> Tensor:
        """Return the penalty, which is of the weights and not of the batch."""
        terms = [
            (self.fisher[name].to(value.device) * (value - self.start[name].to(value.device)) ** 2)
            .sum()
            for name, value in net.named_parameters()
            if name in self.fisher
        ]  # fmt: skip
        return 0.5 * self.weight * torch.stack(terms).sum()


def fisher_information(
    net: ViewNet, inputs: Iterable[Tensor], *, cached: bool
) -> dict[str, Tensor]:
    """Return the diagonal of the Fisher information of each weight that learns, by name.

    The mean over ``inputs``, each (1, H, W) or, with ``cached``, a trunk map. For a yes
    or no of probability p it is p (1 - p) (d logit / d weight)^2, exactly: no labels are
    needed and none are drawn. One image at a time, since squares of sums are no sums of
    squares. Without images every value is zero.
    """
    net.eval()
    device = net.head.weight.device
    learnt = {
        name: value
        for name, value in net.named_parameters()
        if value.requires_grad and not name.startswith("auxiliary.")
    }
    sums = {name: torch.zeros_like(value) for name, value in learnt.items()}
    count = 0
    for count, one in enumerate(inputs, start=1):  # noqa: B007  # needed after the loop
        image = one.float().unsqueeze(0).to(device)
        logit = net.top(image if cached else net.trunk(image)).squeeze(0)
        found = torch.autograd.grad(logit, list(learnt.values()), allow_unused=True)
        chance = logit.detach().sigmoid()
        for name, slope in zip(learnt, found, strict=True):
            if slope is not None:
                sums[name] += chance * (1 - chance) * slope**2
    return {name: (value / max(count, 1)).cpu() for name, value in sums.items()}
