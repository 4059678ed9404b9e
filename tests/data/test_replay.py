"""Shares of the sampler."""

from __future__ import annotations

import numpy as np
import pytest

from mammo.data.augment import build_augment
from mammo.data.replay import sampling_weights

LABELS = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0])
SCANNERS = np.array(["old"] * 4 + ["rare"] * 2 + ["new"] * 4)


def shares(weights: np.ndarray) -> dict[str, float]:
    return {name: float(weights[name == SCANNERS].sum()) for name in ("old", "rare", "new")}


@pytest.mark.parametrize(
    ("focus", "replay_share", "expected"),
    [
        (None, 0.5, {"old": 1 / 2.7, "rare": 1 / 2.7, "new": 0.7 / 2.7}),
        ("absent", 0.5, {"old": 1 / 2.7, "rare": 1 / 2.7, "new": 0.7 / 2.7}),
        ("old", 0.5, {"old": 0.5 / 0.925, "rare": 0.25 / 0.925, "new": 0.175 / 0.925}),
        ("old", 0.0, {"old": 1.0, "rare": 0.0, "new": 0.0}),
    ],
)
def test_shares(focus: str | None, replay_share: float, expected: dict[str, float]) -> None:
    weights = sampling_weights(
        LABELS, SCANNERS, positive_share=0.3, focus=focus, replay_share=replay_share
    )
    assert weights.sum() == pytest.approx(1.0)
    assert shares(weights) == pytest.approx(expected)


def test_positives_have_their_share() -> None:
    labels = np.array([1] + [0] * 99)
    weights = sampling_weights(labels, np.array(["one"] * 100), positive_share=0.25)
    assert weights[0] == pytest.approx(0.25)


def test_augmentation_keeps_shape_and_range_and_changes_the_image() -> None:
    image = np.linspace(0, 1, 64 * 32, dtype=np.float32).reshape(1, 64, 32)
    changed = build_augment(seed=1)(image)
    assert changed.shape == image.shape and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 1
    assert not np.array_equal(changed, image)
