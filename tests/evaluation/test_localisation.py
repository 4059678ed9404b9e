from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammo.errors import TooFewLabels
from mammo.evaluation.localisation import box_mask, localise, summarise_localisation
from mammo.evaluation.sanity import (
    CASCADING,
    rank_correlation,
    structural_similarity,
    summarise_sanity,
)

SHAPE = (40, 20)
BOX = [(4.0, 10.0, 8.0, 20.0)]


def breast() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[:, :10] = True
    return mask


def at(y: int, x: int) -> np.ndarray:
    heat = np.zeros(SHAPE, np.float32)
    heat[y, x] = 2.0
    return heat


@pytest.mark.parametrize(
    ("heat", "tolerance", "hit", "share"),
    [
        (at(15, 5), 0.0, 1.0, 1.0),
        (at(15, 9), 0.0, 0.0, 0.0),
        (at(15, 9), 2.0, 1.0, 0.0),
        (at(15, 15), 0.0, 0.1, 0.1),  # outside the breast: as good as no heat at all
        (np.ones(SHAPE, np.float32), 0.0, 0.1, 0.1),
        (-np.ones(SHAPE, np.float32), 0.0, 0.1, 0.1),
        (at(15, 5) + at(30, 1), 0.0, 0.5, 0.5),
    ],
)
def test_scores_of_one_image(heat: np.ndarray, tolerance: float, hit: float, share: float) -> None:
    found = localise(heat, box_mask(SHAPE, BOX), breast(), tolerance_px=tolerance)
    assert found is not None
    assert (found.hit, found.share) == pytest.approx((hit, share))
    assert found.share_by_chance == pytest.approx(40 / 400)
    assert found.gain == pytest.approx(share / 0.1)


def test_the_auc_is_that_of_pixels_of_the_breast() -> None:
    from sklearn.metrics import roc_auc_score

    heat = np.random.default_rng(0).normal(size=SHAPE)
    heat[10:20, 4:8] += 1.0
    boxes, mask = box_mask(SHAPE, BOX), breast()
    found = localise(heat, boxes, mask)
    assert found is not None
    assert found.auc == pytest.approx(roc_auc_score(boxes[mask], heat[mask]))


@pytest.mark.parametrize("boxes", [[(15.0, 0.0, 18.0, 4.0)], [(0.0, 0.0, 20.0, 40.0)]])
def test_nothing_is_told_without_a_box_in_the_breast(boxes: list[tuple[float, ...]]) -> None:
    assert localise(at(1, 1), box_mask(SHAPE, boxes), breast()) is None


def test_a_tiny_box_has_a_pixel() -> None:
    assert box_mask(SHAPE, [(3.1, 5.2, 3.3, 5.4)]).sum() == 1
    assert box_mask(SHAPE, [(3.0, 5.0, 5.0, 6.0)]).sum() == 2


def scores(patients: list[str], hits: list[float]) -> pd.DataFrame:
    names = ("hit_by_chance", "share", "share_by_chance", "gain", "auc")
    return pd.DataFrame({"patient_id": patients, "hit": hits} | dict.fromkeys(names, 0.5))


def test_a_patient_counts_once() -> None:
    found = summarise_localisation(scores(["a"] * 8 + ["b", "c"], [1.0] * 8 + [0.0, 0.0]))
    assert (found.images, found.patients) == (10, 3)
    assert found.scores["hit"].value == pytest.approx(1 / 3)
    assert "by chance in 50%" in found.sentence and "33% (0% to 100%)" in found.sentence


def test_no_image_is_an_error() -> None:
    with pytest.raises(TooFewLabels, match="no image with a box"):
        summarise_localisation(scores([], []))


def test_similarities_of_known_maps() -> None:
    from scipy import stats

    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 32, 16))
    assert rank_correlation(one, np.exp(one)) == pytest.approx(1.0)
    assert rank_correlation(one, -one) == pytest.approx(-1.0)
    expected = stats.spearmanr(one.ravel(), other.ravel()).statistic
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, np.zeros_like(one)) == 0.0
    assert structural_similarity(one, 3 * one + 2) == pytest.approx(1.0)
    assert abs(structural_similarity(one, other)) < 0.2
    assert structural_similarity(one, np.ones_like(one)) == 0.0


@pytest.mark.parametrize(
    ("values", "passed"),
    [([0.2, -0.3, 0.1, 0.2], True), ([1.0] * 4, False), ([-1.0, 1.0, -1.0, 1.0], False)],
)
def test_the_check_is_decided_by_the_end_of_the_cascade(values: list[float], passed: bool) -> None:
    rows = [
        {"patient_id": f"p{i}", "image_id": f"i{i}", "mode": CASCADING, "step": step,
         "depth": depth, "correlation": value if depth == 2 else 0.9, "similarity": 0.5}
        for i, value in enumerate(values) for depth, step in ((1, "head"), (2, "stage 0"))
    ]  # fmt: skip
    found = summarise_sanity(pd.DataFrame(rows))
    assert (found.passed, found.last.step, found.images) == (passed, "stage 0", 4)
    words = "go with the weights" if passed else "outlive the weights"
    assert words in found.sentence and "under 0.50" in found.sentence
