"""Does the heat lie on what the readers marked? Scores of one image, and of many.

All scores are of the breast alone: that a map keeps off the background is no
merit, and would raise every one of them. Beside each stands what a map without
knowledge reaches. An image's scores are averaged within its patient first, so
that a woman with four marked views counts once; intervals resample patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.errors import TooFewLabels
from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES, Interval, Statistic, patient_bootstrap
from mammo.evaluation.metrics import roc_auc

SCORES = ("hit", "hit_by_chance", "share", "share_by_chance", "gain", "auc")
"""Columns of a table of `ImageLocalisation`; means of all are reported."""


@dataclass(frozen=True)
class ImageLocalisation:
    """How the heat of one image lies to its boxes.

    ``hit`` is the pointing game (Zhang et al. 2018, doi:10.1007/s11263-017-1059-x):
    1 where the maximum is within the tolerance of a box, a part of 1 where only some of
    equal maxima are; ``hit_by_chance`` what a random place in the breast gives.
    ``share`` is the part of the positive heat inside boxes and
    ``share_by_chance`` the part of the breast's area; ``gain`` their ratio.
    ``auc`` is that of the heat of pixels inside boxes against outside.
    """

    hit: float
    hit_by_chance: float
    share: float
    share_by_chance: float
    gain: float
    auc: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields."""
        return asdict(self)


def box_mask(shape: tuple[int, int], boxes: Sequence[Sequence[float]]) -> NDArray[np.bool_]:
    """Return where a pixel's centre is in a box (x0, y0, x1, y1); a tiny box has one pixel."""
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in boxes:
        left, top = (int(np.clip(np.ceil(edge - 0.5), 0, None)) for edge in (x0, y0))
        right = max(int(np.ceil(x1 - 0.5)), left + 1)
        bottom = max(int(np.ceil(y1 - 0.5)), top + 1)
        mask[top:bottom, left:right] = True
    return mask


def localise(
    heat: NDArray[Any],
    boxes: NDArray[np.bool_],
    breast: NDArray[np.bool_],
    *,
    tolerance_px: float = 0.0,
) -> ImageLocalisation | None:
    """Score a map (H, W) against the mask of its boxes within the mask of the breast.

    None where no box lies in the breast, or it fills it: nothing can be told.
    ``tolerance_px`` is how far beside a box the maximum still hits.
    """
    if not heat.shape == boxes.shape == breast.shape:
        raise ValueError(f"shapes differ: {heat.shape}, {boxes.shape}, {breast.shape}")
    inside, near = boxes[breast], _grown(boxes, tolerance_px)[breast]
    if not inside.any() or inside.all():
        return None
    values = np.asarray(heat, np.float64)[breast]
    positive = np.maximum(values, 0.0)
    total = float(positive.sum())
    by_chance = float(inside.mean())
    # a map without positive heat points nowhere: it is given what chance gives
    share = float(positive[inside].sum()) / total if total else by_chance
    hit = float(near[values == values.max()].mean())
    return ImageLocalisation(
        hit, float(near.mean()), share, by_chance, share / by_chance, roc_auc(inside, values)
    )


@dataclass(frozen=True)
class Localisation:
    """Means over patients of their images' scores, each with its interval."""

    scores: dict[str, Interval]
    images: int
    patients: int

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        hit, share = self.scores["hit"], self.scores["share"]
        return (
            f"The strongest place is at a box in {_percent(hit)} of {self.images} images "
            f"({self.patients} patients), by chance in {self.scores['hit_by_chance'].value:.0%}; "
            f"the boxes are {self.scores['share_by_chance'].value:.1%} of the breast and hold "
            f"{_percent(share)} of the evidence; AUC of pixels inside against outside "
            f"{self.scores['auc'].value:.2f} ({self.scores['auc'].low:.2f} to "
            f"{self.scores['auc'].high:.2f})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        told = {name: one.to_dict() for name, one in self.scores.items()}
        return {"images": self.images, "patients": self.patients, "scores": told}


def summarise_localisation(
    frame: pd.DataFrame, *, resamples: int = DEFAULT_RESAMPLES, seed: int = 0
) -> Localisation:
    """Average a table with ``patient_id`` and `SCORES`, one row an image.

    Raises TooFewLabels when it is empty.
    """
    if frame.empty:
        raise TooFewLabels(
            "found no image with a box in the breast among those not trained on; "
            "at least 1 is needed: ingest a set with findings"
        )
    patients = frame.groupby("patient_id", sort=True)[list(SCORES)].mean()
    scores = {
        name: patient_bootstrap(
            patients.index.to_numpy(), mean_statistic(patients[name].to_numpy()),
            resamples=resamples, seed=seed,
        )
        for name in SCORES
    }  # fmt: skip
    return Localisation(scores, len(frame), len(patients))


def _percent(rate: Interval) -> str:
    return f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def mean_statistic(values: NDArray[Any]) -> Statistic:
    """Return the weighted mean of one value a row as a statistic of row weights."""
    return lambda weights: (weights @ values) / weights.sum(axis=1)


def _grown(mask: NDArray[np.bool_], tolerance_px: float) -> NDArray[np.bool_]:
    """Return where a pixel is within the tolerance of the mask."""
    from scipy.ndimage import distance_transform_edt

    if tolerance_px <= 0 or not mask.any():
        return mask
    return np.asarray(distance_transform_edt(~mask) <= tolerance_px)
