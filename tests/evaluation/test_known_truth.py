"""The ideal observer against what is known without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from mammo.errors import TooFewLabels
from mammo.evaluation.known_truth import (
    LesionTask,
    detectability,
    efficiency,
    efficiency_interval,
    quantise,
)
from mammo.evaluation.metrics import roc_auc

TASK = LesionTask(side_px=32, margin_px=6)


def covariance(task: LesionTask) -> np.ndarray:
    """The whole covariance matrix (side^2, side^2), from the definition of a periodic field."""
    side = task.side_px
    kernel = np.fft.ifft2(task.spectrum).real  # covariance with pixel (0, 0)
    row, column = np.divmod(np.arange(side**2), side)
    return kernel[(row[:, None] - row) % side, (column[:, None] - column) % side]


def test_the_likelihood_ratio_is_that_of_the_whole_covariance_matrix() -> None:
    task = LesionTask(side_px=12, margin_px=4, detectability=2.0)
    images = task.draw(20, seed=1).images
    inverse = np.linalg.inv(covariance(task))
    ratios = []
    for image in images:
        gray = (image - task.mean).ravel()
        places = [
            np.exp(lesion @ inverse @ gray - lesion @ inverse @ lesion / 2)
            for y in range(4, 8)
            for x in range(4, 8)
            for lesion in [np.roll(task.lesion, (y, x), axis=(0, 1)).ravel()]
        ]
        ratios.append(np.log(np.mean(places)))
    np.testing.assert_allclose(task.log_likelihood_ratio(images), ratios, rtol=1e-6, atol=1e-6)


def test_drawn_fields_have_the_covariance_that_is_said() -> None:
    drawn = TASK.draw(4000, seed=2)
    images = drawn.images[drawn.labels == 0] - TASK.mean
    power = (np.abs(np.fft.fft2(images)) ** 2).mean(axis=0) / TASK.side_px**2
    # 2000 draws of an exponential: 2 % each
    assert np.abs(power / TASK.spectrum - 1).mean() < 0.03
    assert np.var(images) == pytest.approx(TASK.tissue_sd**2 + TASK.noise_sd**2, rel=0.05)


@pytest.mark.parametrize("strength", [0.8, 1.6, 2.4])
def test_a_told_place_gives_the_auc_of_theory(strength: float) -> None:
    task = LesionTask(side_px=17, detectability=strength).one_place()
    drawn = task.draw(20_000, seed=3)
    found = roc_auc(drawn.labels, task.log_likelihood_ratio(drawn.images))
    assert task.places == 1
    assert found == pytest.approx(norm.cdf(strength / np.sqrt(2)), abs=0.011)  # 3 SD
    assert detectability(found) == pytest.approx(strength, abs=0.09)


def test_an_unknown_place_makes_it_harder() -> None:
    aucs = []
    for margin in (12, 10, 6, 0):
        task = replace(LesionTask(side_px=25, detectability=3.0), margin_px=margin)
        drawn = task.draw(3000, seed=4)
        aucs.append(roc_auc(drawn.labels, task.log_likelihood_ratio(drawn.images)))
    assert aucs == sorted(aucs, reverse=True)


def test_no_simpler_reader_beats_the_ideal_observer() -> None:
    drawn = TASK.draw(3000, seed=5)
    ideal = roc_auc(drawn.labels, TASK.log_likelihood_ratio(drawn.images))
    blind = replace(TASK, slope=1e-9)  # takes the tissue for white noise
    for scores in (
        blind.log_likelihood_ratio(drawn.images),
        drawn.images.mean(axis=(1, 2)),
        drawn.images.max(axis=(1, 2)),
    ):
        assert roc_auc(drawn.labels, scores) < ideal - 0.02


def test_rounding_to_prepared_pixels_does_not_matter() -> None:
    drawn = LesionTask().draw(300, seed=6)
    pixels, clipped = quantise(drawn.images)
    before = LesionTask().log_likelihood_ratio(drawn.images)
    after = LesionTask().log_likelihood_ratio(pixels / 65535)
    assert pixels.dtype == np.uint16 and clipped < 1e-6
    assert np.abs(after - before).max() < 2e-3  # its standard deviation is above 1


def test_a_seed_repeats_the_images_and_lesions_lie_inside_the_margin() -> None:
    first, again, other = (TASK.draw(50, seed) for seed in (7, 7, 8))
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)
    inside = first.places[first.labels == 1]
    assert inside.min() >= 6 and inside.max() < 26 and len(inside) == 25


@pytest.mark.parametrize(
    ("auc", "expected"), [(0.9, 1.0), (0.5, 0.0), (0.1, -1.0), (0.76025, 0.3039)]
)
def test_efficiency_has_the_sign_of_what_is_said(auc: float, expected: float) -> None:
    assert efficiency(auc, 0.9) == pytest.approx(expected, abs=1e-3)


def test_the_interval_of_an_efficiency_resamples_both_readers_together() -> None:
    drawn = TASK.draw(1200, seed=9)
    ideal = TASK.log_likelihood_ratio(drawn.images)
    noisy = ideal + np.random.default_rng(0).normal(0, ideal.std(), len(ideal))
    patients = np.arange(1200)
    itself = efficiency_interval(drawn.labels, ideal, ideal, patients, resamples=200)
    worse = efficiency_interval(drawn.labels, noisy, ideal, patients, resamples=200)
    assert (itself.low, itself.value, itself.high) == (1.0, 1.0, 1.0)
    assert 0.2 < worse.low < worse.value < worse.high < 0.9
    with pytest.raises(TooFewLabels, match="0 positive"):
        efficiency_interval(np.zeros(9), np.zeros(9), np.zeros(9), np.arange(9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin_px": 32}, "margin_px leaves no place: 32 of 64 px"),
        ({"noise_sd": 0.0, "spacing_mm": -1.0}, "above 0 must be: spacing_mm, noise_sd"),
    ],
)
def test_a_task_without_sense_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LesionTask(**changes)  # type: ignore[arg-type]
