"""Boxes counted from the bottom edge are told by what is on the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammo.data.sources.mini_mias import list_mini_mias
from mammo.detection.box_frame import (
    check_frame,
    contrasts,
    looks_flipped,
    require_frame,
    turned,
)
from mammo.detection.boxes import boxes_of
from mammo.errors import BoxFrameSuspect

Pair = tuple[np.ndarray, np.ndarray]


def film(seed: int, boxes: np.ndarray, gain: float) -> np.ndarray:
    """Return a noisy image (300, 200) whose boxes are brighter by ``gain``."""
    pixels = np.random.default_rng(seed).normal(1000, 30, (300, 200))
    for x0, y0, x1, y1 in boxes.astype(int):
        pixels[y0:y1, x0:x1] += gain
    return pixels


def pairs(count: int, gain: float = 40.0) -> Pair:
    """Return the contrasts of as many boxes, as given and turned; one an image."""
    rng = np.random.default_rng(7)
    given, other = [], []
    for seed in range(count):
        x, y = rng.uniform(20, 150), rng.uniform(20, 110)
        box = np.array([[x, y, x + 30, y + 24]])
        pixels = film(seed, box, gain)
        given.append(contrasts(pixels, box)[0])
        other.append(contrasts(pixels, turned(box, 300))[0])
    return np.array(given), np.array(other)


def test_turned_boxes_count_from_the_other_edge() -> None:
    box = np.array([[10.0, 20, 40, 60]])
    assert turned(box, 300).tolist() == [[10, 240, 40, 280]]
    assert turned(turned(box, 300), 300).tolist() == box.tolist()


@pytest.mark.parametrize(
    ("name", "box", "contrast"),
    [
        ("on it", [50, 60, 90, 100], 100.0),
        ("beside it", [120, 200, 160, 240], 0.0),
        ("on its edge, out of the image", [-20, 60, 20, 100], 0.0),
        ("beyond the image", [300, 60, 340, 100], 0.0),
        ("above the image", [50, -90, 90, -50], 0.0),
        ("smaller than a pixel", [50.7, 60.7, 50.8, 60.8], np.nan),
    ],
)
def test_contrast_by_hand(name: str, box: list[float], contrast: float) -> None:
    """A bright square of 100 more, as large as the box that lies on it."""
    pixels = np.full((300, 200), 500.0)
    pixels[60:100, 50:90] += 100
    told = contrasts(pixels, np.array([box], float))
    if name == "on it":  # the ring of an ellipse cuts the square's corners
        assert 90 < told[0] <= contrast
        assert contrasts(-pixels, np.array([box], float))[0] == pytest.approx(-told[0])
    else:
        assert told == pytest.approx([contrast], nan_ok=True)


@pytest.mark.parametrize("count", [7, 12, 40])
def test_a_table_from_the_bottom_is_refused(count: int) -> None:
    given, other = pairs(count)
    right, wrong = check_frame(given, other), check_frame(other, given)
    require_frame(right)
    assert (right.boxes, right.suspect, wrong.suspect) == (count, False, True)
    assert right.brighter == count - wrong.brighter
    with pytest.raises(BoxFrameSuspect, match=f"{wrong.brighter} of {count} boxes") as caught:
        require_frame(wrong)
    assert caught.value.code == "BOX_FRAME_SUSPECT"
    assert "--keep-box-frame" in str(caught.value)


def test_of_few_boxes_or_none_nothing_is_said() -> None:
    given, other = pairs(6)
    assert not looks_flipped(other, given)
    assert not looks_flipped([], [])
    assert not looks_flipped([np.nan] * 9, [1.0] * 9)
    assert not looks_flipped([3.0] * 9, [3.0] * 9)


def test_boxes_that_lie_anywhere_are_accused_once_in_a_hundred() -> None:
    rng = np.random.default_rng(3)
    told = [looks_flipped(*rng.normal(size=(2, 30))) for _ in range(2000)]
    assert 0.004 < np.mean(told) < 0.017


@pytest.fixture(scope="module")
def mias() -> Pair:
    """Contrasts of mini-MIAS's boxes on its films, as given and turned."""
    folder = Path(__file__).parents[3] / "shared/data/mini-mias"
    if not folder.is_dir():
        pytest.skip("../shared/data/mini-mias is not here")
    given, other = [], []
    for item in list_mini_mias(folder).items:
        if item.labels.findings:
            with Image.open(item.path) as opened:
                pixels = np.asarray(opened.convert("L"))
            boxes = boxes_of(item.labels.findings)
            given.append(contrasts(pixels, boxes))
            other.append(contrasts(pixels, turned(boxes, len(pixels))))
    return np.concatenate(given), np.concatenate(other)


@pytest.mark.slow
def test_real_film_passes_and_turned_is_refused(mias: Pair) -> None:
    given, other = mias
    right, wrong = check_frame(given, other), check_frame(other, given)
    assert (right.boxes, right.brighter) == (83, 68)
    assert not right.suspect and wrong.p_turned < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(("count", "caught"), [(10, 0.5), (15, 0.8), (20, 0.95), (30, 0.99)])
def test_how_few_boxes_of_real_film_tell(mias: Pair, count: int, caught: float) -> None:
    given, other = mias
    rng = np.random.default_rng(0)
    chosen = [rng.choice(len(given), count, replace=False) for _ in range(500)]
    assert np.mean([looks_flipped(other[one], given[one]) for one in chosen]) > caught
    assert not any(looks_flipped(given[one], other[one]) for one in chosen)
