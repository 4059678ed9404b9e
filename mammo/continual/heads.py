"""The second stage: a multi-view head on what the finished network says of each view.

The head is fed as the service feeds it: features from the exported graph, of
the views that the service would pool. It begins as plain averaging, and it is
kept as it was after the pass that was best on patients put aside, so plain
averaging stays where there is nothing to gain.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mammo.breast_logits import HEADS, head_feed, pad_views
from mammo.continual.other_breast import fit_comparison
from mammo.continual.score import infer_rows
from mammo.continual.trunk import trunk_maps
from mammo.continual.watch import aside
from mammo.data.dataset import ViewDataset
from mammo.data.draws import EpochDraws
from mammo.data.index import target_values
from mammo.data.replay import sampling_weights
from mammo.errors import SourceInvalid, TrainingDiverged
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig
from mammo.models.exam_head import ExamHead, Mode
from mammo.models.losses import build_loss
from mammo.preferred import suitable_rows
from mammo.screening import Screener

Progress = Callable[[int, int], None]
BATCH = 32


@dataclass(frozen=True, eq=False)
class Breasts:
    """What a head learns from, B breasts.

    ``feed`` holds `breast_logits.head_feed`'s arrays as tensors; ``labels`` (B,)
    float32; ``patients`` and ``scanners`` (B,).
    """

    feed: dict[str, Tensor]
    labels: Tensor
    patients: np.ndarray
    scanners: np.ndarray

    def some(self, rows: Sequence[int] | np.ndarray) -> tuple[dict[str, Tensor], Tensor]:
        """Return the feed and the labels of some breasts."""
        chosen = torch.as_tensor(np.asarray(rows))
        return {name: value[chosen] for name, value in self.feed.items()}, self.labels[chosen]


@dataclass(frozen=True)
class HeadFit:
    """How the second stage went: log loss per breast of the patients put aside, by pass.

    Pass 0 is plain averaging. Loss on draws as in training, not at the natural rate.
    """

    breasts: int
    watched: int
    passes: int
    kept: int
    loss_averaging: float
    loss_kept: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return dict(self.__dict__)


def has_head(config: TrainConfig) -> bool:
    """True when views are put together by a head that is trained."""
    return config.aggregation in HEADS


def fit_head(
    net: ViewNet,
    screener: Screener,
    rows: pd.DataFrame,
    shards_dir: Path,
    config: TrainConfig,
    progress: Progress | None = None,
) -> tuple[ExamHead, HeadFit]:
    """Train a head on the breasts of the training rows, with the network as it is.

    Parameters
    ----------
    net
        The finished network: its own head is where the new one begins.
    screener
        The draft release, whose graph gives the features.
    rows
        Whole exams of the training patients.

    Raises
    ------
    TooFewLabels
        Too few patients of a class to put some aside.
    TrainingDiverged
        The loss became NaN or infinite.
    """
    if config.fit == "places":
        return _solve(net, rows, shards_dir, config)
    breasts = collect_breasts(screener, rows, shards_dir, config)
    watched = aside(rows, config)
    seen = np.isin(breasts.patients, rows["patient_id"][watched].unique())
    torch.manual_seed(config.seed)
    mode: Mode = "exam" if config.aggregation == "exam_head" else "breast"
    head = ExamHead.from_view_head(net, mode)
    return _fit(head, breasts, seen, config, progress)


def _solve(
    net: ViewNet, rows: pd.DataFrame, shards_dir: Path, config: TrainConfig
) -> tuple[ExamHead, HeadFit]:
    """Solve for the comparison with the other breast, by logits of views held out."""
    if config.aggregation != "exam_head":
        raise SourceInvalid(
            f"fit is 'places', whose head compares both breasts: aggregation is "
            f"{config.aggregation!r}; allowed are mean, max, exam_head"
        )
    data = ViewDataset(rows, shards_dir, config.preprocess, target=config.target)
    head, told = fit_comparison(net, trunk_maps(net, data), rows, config)
    breasts = int(told["breasts"])
    return head, HeadFit(breasts, breasts, 1, 1, told["loss_alone"], told["loss_compared"])


def _fit(
    head: ExamHead,
    breasts: Breasts,
    seen: np.ndarray,
    config: TrainConfig,
    progress: Progress | None,
) -> tuple[ExamHead, HeadFit]:
    draws = _draws(breasts, ~seen, config)
    train, watch = np.flatnonzero(~seen), np.flatnonzero(seen)
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=config.head_learning_rate, weight_decay=config.weight_decay
    )
    loss_of = build_loss(config)
    losses, best = [_watched_loss(head, breasts, watch, config)], copy.deepcopy(head.state_dict())
    for epoch in range(config.head_epochs):
        draws.set_epoch(epoch)
        for batch in draws:
            feed, labels = breasts.some(train[[draw.item for draw in batch]])
            loss = loss_of(head(**feed), labels)
            if not torch.isfinite(loss):
                raise TrainingDiverged(
                    f"the loss of the head became {float(loss)} in pass {epoch + 1} at a learning "
                    f"rate of {config.head_learning_rate:.3g}. Lower head_learning_rate"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        losses.append(_watched_loss(head, breasts, watch, config))
        if losses[-1] == min(losses):
            best = copy.deepcopy(head.state_dict())
        if progress is not None:
            progress(epoch + 1, config.head_epochs)
    head.load_state_dict(best)
    kept = int(np.argmin(losses))
    told = HeadFit(len(train), len(watch), config.head_epochs, kept, losses[0], losses[kept])
    return head.eval(), told


def _draws(breasts: Breasts, rows: np.ndarray, config: TrainConfig) -> EpochDraws:
    labels = breasts.labels.numpy()[rows]
    weights = sampling_weights(labels, breasts.scanners[rows], positive_share=config.positive_share)
    return EpochDraws(weights, labels, batch_size=BATCH, seed=config.seed)


@torch.no_grad()
def _watched_loss(
    head: ExamHead, breasts: Breasts, watch: np.ndarray, config: TrainConfig
) -> float:
    """Return the log loss of the watched breasts, positives weighing as in training."""
    feed, labels = breasts.some(watch)
    weights = sampling_weights(
        labels.numpy(), breasts.scanners[watch], positive_share=config.positive_share
    )
    each = binary_cross_entropy_with_logits(head(**feed), labels, reduction="none")
    return float((each * torch.from_numpy(weights).float()).sum())


def collect_breasts(
    screener: Screener, rows: pd.DataFrame, shards_dir: Path, config: TrainConfig
) -> Breasts:
    """Return every labelled breast of the rows, fed as the service would feed it."""
    rows = rows.reset_index(drop=True)
    features = infer_rows(screener, rows, shards_dir, features=True).features
    assert features is not None
    labels = target_values(rows, config.target).astype("Float32")
    of_breast = labels.groupby([rows["exam_id"], rows["laterality"]]).transform("max").to_numpy()
    pooled = np.asarray(suitable_rows(rows.to_dict("records")), dtype=bool)
    feeds, facts = [], []
    for of_exam in rows.groupby("exam_id", sort=True).indices.values():
        places = np.asarray(of_exam)
        chosen = places[pooled[places]]
        sides = list(rows["laterality"].iloc[chosen])
        names, feed = head_feed(sides, features[chosen])
        feeds.append(feed)
        for side in names:
            place = chosen[sides.index(side)]
            facts.append((of_breast[place], rows["patient_id"][place], rows["scanner"][place]))
    values = {name: _stack(feeds, name) for name in ("own", "other")}
    wanted, patients, scanners = zip(*facts, strict=True)
    labels_of = torch.tensor(np.asarray(wanted, dtype=np.float32))
    return Breasts(
        {key: value for name in values for key, value in values[name].items()},
        labels_of,
        np.asarray(patients, dtype=object),
        np.asarray(scanners, dtype=object),
    )


def _stack(feeds: Sequence[dict[str, np.ndarray]], name: str) -> dict[str, Tensor]:
    """Return all breasts' views and mask as two tensors, padded anew to the most of any exam."""
    groups = [
        views[mask > 0]
        for feed in feeds
        for views, mask in zip(feed[name], feed[f"{name}_mask"], strict=True)
    ]
    views, mask = pad_views(groups)
    return {name: torch.from_numpy(views), f"{name}_mask": torch.from_numpy(mask)}
