"""Training with Lightning: loss, schedule, averaged weights."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.nn import functional

from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig


class ViewModule(lightning.LightningModule):
    """Fits a `ViewNet` on (images or trunk maps, labels) with BCE.

    ``cached`` says that batches hold the trunk's maps instead of images. The
    exponential moving average of the weights is what is kept at the end
    (Polyak averaging, as in the leading RSNA solutions).
    """

    def __init__(self, net: ViewNet, config: TrainConfig, *, steps: int, cached: bool) -> None:
        super().__init__()
        self.net = net
        self.config = config
        self.steps = max(1, steps)
        self.cached = cached
        self.average: dict[str, Tensor] = {}

    def forward(self, batch: Tensor) -> Tensor:
        """Return logits (N,) of images or of the trunk's maps."""
        if self.cached:
            return self.net.top(batch)
        with torch.no_grad():
            maps = self.net.trunk(batch)
        return self.net.top(maps)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Binary cross-entropy against smoothed labels."""
        inputs, labels = batch
        smooth = self.config.label_smoothing
        wanted = labels * (1 - smooth) + 0.5 * smooth
        loss = functional.binary_cross_entropy_with_logits(self(inputs), wanted)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """Log the loss on images that are not trained on."""
        inputs, labels = batch
        loss = functional.binary_cross_entropy_with_logits(self(inputs), labels)
        self.log("holdout_loss", loss, prog_bar=True)

    def on_train_batch_end(self, *args: Any) -> None:
        """Move the average towards the weights after each step."""
        decay = min(self.config.ema_decay, (1 + self.global_step) / (10 + self.global_step))
        for name, value in self._trained():
            kept = self.average.setdefault(name, value.detach().clone())
            kept.lerp_(value.detach(), 1 - decay)

    def on_train_end(self) -> None:
        """Put the averaged weights into the network."""
        with torch.no_grad():
            for name, value in self._trained():
                value.copy_(self.average.get(name, value))

    def _trained(self) -> list[tuple[str, Tensor]]:
        return [(n, p) for n, p in self.net.named_parameters() if p.requires_grad]

    def configure_optimizers(self) -> Any:
        """AdamW with linear warm-up and cosine decay, per step."""
        optimizer = torch.optim.AdamW(
            [value for _, value in self._trained()],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        warm = max(1, round(self.config.warmup_fraction * self.steps))

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
