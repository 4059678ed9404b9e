"""What an exported graph is held to, and which of those that pass is carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mammo.errors import ParityError, TooFewLabels
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.metrics import paired_auc_difference, roc_auc
from mammo.export.latency import Latency
from mammo.export.prune import PrunePlan
from mammo.export.settings import CARRIED, FP32, TORCHSCRIPT, ExportConfig


class Images(Protocol):
    """Prepared images by place."""

    def __len__(self) -> int:
        """How many there are."""

    def image(self, item: int) -> np.ndarray:
        """Return (1, H, W) float32 in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Images of patients that nothing was fitted to, and whose they are.

    ``views`` has a row an image with exam_id, laterality, patient_id, label (of
    the breast, 0 or 1) and pooled (bool: counts for its breast).
    """

    images: Images
    views: pd.DataFrame

    def breasts(self, *logits: np.ndarray) -> pd.DataFrame:
        """Return a row a breast: patient_id, label, and the mean of each ``logits`` as 0, 1, ..."""
        views = self.views.assign(**{str(place): one for place, one in enumerate(logits)})
        views = views[views["pooled"]]
        means = {str(place): (str(place), "mean") for place in range(len(logits))}
        return views.groupby(["exam_id", "laterality"], sort=True).agg(
            patient_id=("patient_id", "first"), label=("label", "max"), **means
        )


@dataclass(frozen=True)
class Candidate:
    """One graph beside eager PyTorch; differences are of view logits.

    ``auc_change`` is None where the judged breasts lack a class. ``failed`` says
    which bars were missed; empty is a pass. ``graph`` is what it was made of.
    """

    name: str
    size_mb: float
    latency_ms: float
    times_faster: float
    max_logit_difference: float
    mean_logit_difference: float
    auc: float | None
    auc_change: Interval | None
    failed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True when no bar was missed."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the verdict as JSON-able data."""
        change = None if self.auc_change is None else self.auc_change.to_dict()
        return vars(self) | {
            "auc_change": change,
            "failed": list(self.failed),
            "passed": self.passed,
        }


@dataclass(frozen=True)
class ExportTable:
    """All candidates in the order they were asked for, and the one to carry."""

    candidates: tuple[Candidate, ...]
    chosen: str
    eager_ms: float
    eager_auc: float | None
    pruned: PrunePlan | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data; the candidates by name."""
        return {
            "chosen": self.chosen,
            "eager_ms": self.eager_ms,
            "eager_auc": self.eager_auc,
            "pruned": None if self.pruned is None else self.pruned.to_dict(),
            "candidates": {one.name: one.to_dict() for one in self.candidates},
        }


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """Return the fastest that passes and that a release can carry; ParityError says why none."""
    able = [one for one in candidates if one.name in CARRIED]
    passing = [one for one in able if one.passed]
    if not passing:
        told = "; ".join(f"{one.name}: {', '.join(one.failed)}" for one in able)
        raise ParityError(
            f"No exported graph keeps up with the network it was made of ({told or 'none asked'}). "
            f"Add {FP32} to the candidates, or look at what differs."
        )
    return min(passing, key=lambda one: one.latency_ms)


def judge(
    name: str,
    path: Path,
    eager: np.ndarray,
    own: np.ndarray,
    latency: Latency,
    judged: Judged,
    config: ExportConfig,
) -> Candidate:
    """Hold a graph's logits ``own`` (N,) against ``eager`` (N,) ones of the judged images."""
    difference = np.abs(own - eager)
    auc, change = _auc_change(judged, eager, own)
    return Candidate(
        name=name,
        size_mb=path.stat().st_size / 1e6,
        latency_ms=latency.ms,
        times_faster=latency.ratio,
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        auc=auc,
        auc_change=change,
        failed=_missed(name, float(difference.max()), change, config),
    )


def _auc_change(
    judged: Judged, eager: np.ndarray, own: np.ndarray
) -> tuple[float | None, Interval | None]:
    """Return the AUC of breasts, and its change with the paired interval; None without a class."""
    if not np.isfinite(own).all():
        return None, None
    breasts = judged.breasts(eager, own)
    try:
        change = paired_auc_difference(
            breasts["label"].astype(int), breasts["0"], breasts["1"], breasts["patient_id"]
        )
    except TooFewLabels:
        return None, None
    return auc_of(breasts, "1"), change


def auc_of(breasts: pd.DataFrame, column: str) -> float | None:
    """Return the AUC of a column of `Judged.breasts`; None where a class is missing."""
    labels = breasts["label"].astype(int)
    return roc_auc(labels, breasts[column]) if labels.nunique() == 2 else None


def _missed(
    name: str, difference: float, change: Interval | None, config: ExportConfig
) -> tuple[str, ...]:
    """Return which bars a candidate missed, in words."""
    same_weights = name in (FP32, TORCHSCRIPT)
    told = []
    if same_weights and not difference <= config.max_logit_difference:
        told.append(
            f"a logit differs by {difference:.2g}, allowed is {config.max_logit_difference:g}"
        )
    if change is None:
        # the same weights with the same logits need no labels to be trusted
        return tuple(told if same_weights else [*told, "its AUC could not be judged"])
    if change.value < -config.max_auc_loss:
        told.append(f"AUC falls by {-change.value:.4f}, allowed is {config.max_auc_loss:g}")
    if change.low < -config.max_auc_loss_bound:
        told.append(
            f"AUC may fall by {-change.low:.4f} (lower bound), "
            f"allowed is {config.max_auc_loss_bound:g}"
        )
    return tuple(told)
