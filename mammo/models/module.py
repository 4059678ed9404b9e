"""Training with Lightning: what happens in a step, and what is kept of the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.nn import functional

from mammo.errors import TrainingDiverged
from mammo.models.anchors import Anchor
from mammo.models.auxiliary import auxiliary_losses
from mammo.models.averaging import Best, WeightAverage
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig
from mammo.models.losses import Loss, build_loss
from mammo.models.schedule import build_optimizer, warmup_cosine
from mammo.models.unfreeze import unfreeze

REMEDY = "Lower learning_rate, set gradient_clip: 1, or precision: 32 where it was mixed"
Batch = tuple[Any, ...]
"""Images or trunk maps (N, ...), labels (N,), and auxiliary labels where there are any."""


class ViewModule(lightning.LightningModule):
    """Fits a `ViewNet` on (images or trunk maps, labels).

    ``cached`` says that batches hold the trunk's maps instead of images. What is
    evaluated and kept is the moving average of the weights, as in the leading
    RSNA solutions. Training on after a loss that is no number would only destroy
    what was learnt: `TrainingDiverged` says where it happened. ``anchor``
    holds the network to the release that it started from.
    """

    def __init__(
        self, net: ViewNet, config: TrainConfig, *, cached: bool, anchor: Anchor | None = None
    ) -> None:
        super().__init__()
        self.anchor = anchor
        self.net, self.config, self.cached = net, config, cached
        self.average = WeightAverage(net, config.ema_decay)
        self.best = Best(config.monitor)
        self._loss: Loss | None = None
        self._frozen = net.frozen_stages
        self._steps_seen = 0
        self._pending: tuple[Tensor, str] | None = None
        self._watched: list[tuple[Tensor, Tensor]] = []

    def setup(self, stage: str) -> None:
        """Build the loss in the process that trains: it cannot be sent to another."""
        self._loss = build_loss(self.config)

    def features(self, batch: Tensor) -> Tensor:
        """Return features (N, F) of images or of the trunk's maps."""
        if self.config.channels_last and batch.dim() == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        if self.cached:
            return self.net.pooled(batch)
        with torch.no_grad():
            maps = self.net.trunk(batch)
        return self.net.pooled(maps)

    def forward(self, batch: Tensor) -> Tensor:
        """Return logits (N,) of images or of the trunk's maps."""
        return self.net.logits(self.features(batch))

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Seed the epoch by its number, and let one more stage learn where it is time.

        An epoch then draws the same, whether or not the process was another one
        before. Not at the epoch's start: Lightning passes that over in the first
        epoch after a checkpoint.
        """
        if batch_index:
            return
        seed = np.random.SeedSequence((self.config.seed, self.current_epoch, self.global_rank))
        torch.manual_seed(int(seed.generate_state(1)[0]))
        every = self.config.unfreeze_every
        unfreeze(self.net, self.current_epoch, frozen_stages=self._frozen, every=every)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of the target and, weighted, of the auxiliary labels and of the anchor."""
        inputs, labels = batch[:2]
        features = self.features(inputs)
        assert self._loss is not None
        logits = self.net.logits(features)
        loss = self._loss(logits, labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        if self.config.auxiliary:
            loss = loss + self._auxiliary_loss(features, batch[2])
        if self.anchor is not None:
            held = self.anchor.loss(self.net, batch, logits, cached=self.cached)
            self.log("train_anchor_loss", held, on_step=False, on_epoch=True)
            loss = loss + held
        self._check_later(loss)
        return loss

    def _auxiliary_loss(self, features: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
        losses = auxiliary_losses(self.net.auxiliary_logits(features), labels)
        for name, one in losses.items():
            self.log(f"train_{name}_loss", one, on_step=False, on_epoch=True)
        weighted = [self.config.auxiliary[name] * one for name, one in losses.items()]
        return torch.stack(weighted).sum()

    def _check_later(self, loss: Tensor) -> None:
        """Look at the step before: on a GPU asking for this one would wait until it is done."""
        self.require_finite()
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        place = f"epoch {self.current_epoch + 1}, step {self.global_step + 1}"
        self._pending = loss.detach(), f"{place} at a learning rate of {rate:.3g}"

    def require_finite(self) -> None:
        """Raise TrainingDiverged when the last loss was no number."""
        if self._pending is None:
            return
        loss, place = self._pending
        self._pending = None
        if not torch.isfinite(loss):
            raise TrainingDiverged(f"the loss became {float(loss)} in {place}. {REMEDY}")

    def on_train_batch_end(self, *args: Any) -> None:
        """Move the average after each step of the optimizer (not after each batch)."""
        if self.global_step > self._steps_seen:
            self._steps_seen = self.global_step
            self.average.update()

    def on_train_epoch_end(self) -> None:
        """Let no weights be kept that are no numbers."""
        self.require_finite()
        if not self.average.is_finite():
            raise TrainingDiverged(
                f"weights became infinite or no numbers in epoch {self.current_epoch + 1}, by step "
                f"{self.global_step}. {REMEDY}"
            )

    def on_train_end(self) -> None:
        """Put what is kept into the network: the best average, or the last."""
        self.best.apply(self.average)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Keep logits and labels of the patients that are watched."""
        inputs, labels = batch[:2]
        with self.average.in_place():
            self._watched.append((self(inputs).float(), labels))

    def on_validation_epoch_end(self) -> None:
        """Log loss and AUC (unit: mammogram) of the patients that are watched."""
        from sklearn.metrics import roc_auc_score

        self.on_train_epoch_end()  # validation comes before the epoch's end
        logits, labels = (torch.cat(part).cpu() for part in zip(*self._watched, strict=True))
        self._watched = []
        found = {
            "watch_loss": float(functional.binary_cross_entropy_with_logits(logits, labels)),
            "watch_auc": float(roc_auc_score(labels, logits)),
        }
        for name, value in found.items():
            self.log(name, value, prog_bar=True)
        self.best.see(found[self.config.monitor], self.average)

    def configure_optimizers(self) -> Any:
        """AdamW with linear warm-up and cosine decay, per step."""
        optimizer = build_optimizer(self.net, self.config)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = warmup_cosine(optimizer, steps, self.config.warmup_fraction)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the average and the best one beside the weights."""
        checkpoint["average"] = self.average.state_dict()
        checkpoint["best"] = self.best.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the averages up again."""
        self.average.load_state_dict(checkpoint["average"], self.device)
        self.best.load_state_dict(checkpoint["best"], self.device)
        self._steps_seen = int(checkpoint["global_step"])
