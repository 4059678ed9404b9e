"""From the views of an exam to its breasts: numbers alone, no network and no file.

Training, evaluation and service share these, so that a head is fed alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

HEADS = ("breast_head", "exam_head")
"""Aggregations that a trained graph does: the views of a breast, or of both."""
OTHER = {"L": "R", "R": "L"}
Feed = dict[str, np.ndarray]


def aggregate_logits(
    logits: Iterable[tuple[str, float]], aggregation: str = "mean"
) -> dict[str, float]:
    """Return laterality -> mean (or ``max``) of its views' logits, sorted by laterality.

    Under a head, too, this is what there is before the head is trained: the mean.
    """
    views: dict[str, list[float]] = {}
    for laterality, logit in logits:
        views.setdefault(laterality, []).append(float(logit))
    pick = np.max if aggregation == "max" else np.mean
    return {side: float(pick(views[side])) for side in sorted(views)}


def head_feed(lateralities: Sequence[str], features: np.ndarray) -> tuple[list[str], Feed]:
    """Return the breasts of one exam, sorted, and what the head is fed for them.

    ``features`` is (V, F), a row a view. The feed holds ``own`` and ``other``
    (B, V', F) float32, padded with zeros to the most views of a breast, and
    ``own_mask`` and ``other_mask`` (B, V') float32, 1 where there is a view. A
    breast without an opposite one, or of unknown side, has none in ``other``.
    """
    sides = sorted(set(lateralities))
    given = np.asarray(lateralities, dtype=object)
    groups = {side: features[given == side] for side in sides}
    own, own_mask = pad_views([groups[side] for side in sides])
    nothing = features[:0]
    other, other_mask = pad_views([groups.get(OTHER.get(side, ""), nothing) for side in sides])
    return sides, {"own": own, "own_mask": own_mask, "other": other, "other_mask": other_mask}


def pad_views(groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return (B, V, F) float32 padded with zeros, and the mask (B, V), of B arrays (v, F).

    V is the largest v, at least 1.
    """
    most = max(1, *(len(group) for group in groups))
    views = np.zeros((len(groups), most, groups[0].shape[1]), np.float32)
    mask = np.zeros((len(groups), most), np.float32)
    for row, group in enumerate(groups):
        views[row, : len(group)] = group
        mask[row, : len(group)] = 1.0
    return views, mask
