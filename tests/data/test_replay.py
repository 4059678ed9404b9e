"""Shares of the sampler."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammo.data.augment import build_augment
from mammo.data.replay import replay_rows, replay_strata, sampling_weights

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


def exams_of(scanner: str, count: int, positive: int, quarter: str) -> pd.DataFrame:
    """Two images of each patient, the first ``positive`` of ``count`` images with cancer."""
    day = pd.Period(quarter, "Q").start_time if quarter else pd.NaT
    return pd.DataFrame(
        {
            "scanner": scanner, "acquired_on": day, "cancer": np.arange(count) < positive,
            "patient_id": [f"{scanner}{quarter}{one // 2}" for one in range(count)],
        }
    )  # fmt: skip


@pytest.fixture
def past() -> tuple[pd.DataFrame, np.ndarray]:
    """A large scanner over two quarters, and a small one without dates."""
    parts = [
        exams_of("large", 200, 20, "2024Q1"), exams_of("large", 100, 4, "2024Q2"),
        exams_of("small", 10, 2, ""),
    ]  # fmt: skip
    rows = pd.concat(parts, ignore_index=True)
    return rows, rows["cancer"].to_numpy(dtype=float)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (24, {4}),  # six strata, but the small one has two cancers only
        (16, {2, 3}),
        (0, {200 - 20, 100 - 4, 20, 8, 4, 2}),  # all
        (5000, {200 - 20, 100 - 4, 20, 8, 4, 2}),
    ],
)
def test_a_bounded_replay_takes_alike_of_every_stratum(
    past: tuple[pd.DataFrame, np.ndarray], count: int, expected: set[int]
) -> None:
    rows, labels = past
    chosen = replay_rows(rows, labels, count)
    assert chosen.sum() == (count if 0 < count < len(rows) else len(rows))
    sizes = replay_strata(rows, labels)[chosen].value_counts()
    assert len(sizes) == 6
    assert expected <= set(sizes) and (sizes.min() >= min(expected) or sizes.min() == 2)


def test_every_patient_comes_before_the_second_image_of_any(
    past: tuple[pd.DataFrame, np.ndarray],
) -> None:
    rows, labels = past
    chosen = rows[replay_rows(rows, labels, 60)].assign(label=labels[replay_rows(rows, labels, 60)])
    large = chosen[(chosen["scanner"] == "large") & (chosen["label"] == 0)]
    assert large["patient_id"].is_unique and len(large) > 10


def test_a_replay_is_drawn_by_lot_and_the_same_again(
    past: tuple[pd.DataFrame, np.ndarray],
) -> None:
    rows, labels = past
    first = replay_rows(rows, labels, 24, seed=1)
    assert (first == replay_rows(rows, labels, 24, seed=1)).all()
    assert (first != replay_rows(rows, labels, 24, seed=2)).any()
