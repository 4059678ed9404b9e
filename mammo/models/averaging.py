"""The moving average of the weights, which is what is evaluated and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a network's floating-point state (Polyak averaging).

    Of every parameter that learns, and of every buffer, so that batch statistics
    belong to the weights that they stand beside. The decay grows from 0.2 to
    ``decay`` with the steps: the first weights are forgotten soon.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net, self.decay = net, decay
        self.steps = 0
        self.kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights, after each step of the optimizer."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        now = self._now()
        for name, value in now.items():
            if name not in self.kept:
                self.kept[name] = value.detach().clone()
        kept = [self.kept[name] for name in now]
        torch._foreach_lerp_(kept, [value.detach() for value in now.values()], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network be its average for a while, to be evaluated."""
        before = {name: value.detach().clone() for name, value in self._now().items()}
        self.apply()
        try:
            yield
        finally:
            self._put(before)

    def apply(self) -> None:
        """Put the average into the network for good."""
        self._put(self.kept)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, value in self._now().items():
            if name in values:
                value.copy_(values[name])

    def _now(self) -> dict[str, Tensor]:
        learning = {n: p for n, p in self.net.named_parameters() if p.requires_grad}
        buffers = {n: b for n, b in self.net.named_buffers() if b.is_floating_point()}
        return learning | buffers

    def is_finite(self) -> bool:
        """True while every number of the average is one."""
        return all(bool(torch.isfinite(value).all()) for value in self.kept.values())

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"steps": self.steps, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take up from a checkpoint, on the device that the network is on."""
        self.steps = int(state["steps"])
        self.kept = {name: value.to(device) for name, value in state["kept"].items()}


class Best:
    """The average of the epoch that was best by the monitored metric; the last one without."""

    def __init__(self, monitor: str) -> None:
        self.sign = -1.0 if monitor.endswith("loss") else 1.0
        self.score: float | None = None
        self.kept: dict[str, Tensor] = {}

    def see(self, metric: float, average: WeightAverage) -> None:
        """Keep the average when its metric is better than any before."""
        if self.score is None or self.sign * metric > self.sign * self.score:
            self.score = metric
            self.kept = {name: value.clone() for name, value in average.kept.items()}

    def apply(self, average: WeightAverage) -> None:
        """Put the best average into the network, or the present one when none was judged."""
        if self.score is not None:
            average.kept = self.kept
        average.apply()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"score": self.score, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take up from a checkpoint."""
        self.score = state["score"]
        self.kept = {name: value.to(device) for name, value in state["kept"].items()}
