"""How near to its target a recall rate comes that was set without outcomes."""

from __future__ import annotations

import numpy as np
import pytest

from mammo.evaluation.alignment import align, match_quantiles, recall_error, settle_cut
from tests.evaluation.test_calibration import exams

TARGET = 0.1


def screened(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return logits of exams, cancers among them at 0.8%, (n,), a standard deviation of about 1."""
    return rng.normal(size=count) + 1.8 * (rng.random(count) < 0.008)


def skewed(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return logits of a shape that no line makes of `screened`."""
    return (rng.gamma(4, size=count) - 4) / 2


def errors(draw, slope: float, shift: float, count: int, cut=align, rounds: int = 60) -> np.ndarray:
    """Return how far the later recall rate is off its target, as a part of it, (rounds,)."""
    rng = np.random.default_rng(count)
    later = slope * draw(rng, 100_000) + shift
    cuts = [
        cut(screened(rng, 2000), slope * draw(rng, count) + shift, TARGET) for _ in range(rounds)
    ]
    return np.abs([np.mean(later >= one) / TARGET - 1 for one in cuts])


@pytest.mark.parametrize(
    ("count", "median", "ninth"),
    [(40, 0.38, 0.9), (100, 0.27, 0.6), (300, 0.16, 0.35), (1000, 0.09, 0.19)],
)
@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.5), (1.2, -0.5), (0.8, 1.0)])
def test_the_recall_rate_comes_nearer_with_exams(slope, shift, count, median, ninth):
    found = errors(screened, slope, shift, count)
    assert np.median(found) < median
    assert np.quantile(found, 0.9) < ninth


def test_alignment_is_nearer_than_the_exams_own_quantile_where_scores_shifted():
    def own(_reference, recent, target):
        return float(np.quantile(recent, 1 - target))

    for count in (40, 100, 300):
        aligned, plain = (errors(screened, 1.0, 0.5, count, cut, 600) for cut in (align, own))
        assert np.mean(aligned) < 0.85 * np.mean(plain), count


def test_where_the_shape_changed_the_exams_decide_in_the_end():
    """A line alone stays 20% off for ever."""

    def line(reference, recent, target):
        slope, shift = match_quantiles(reference, recent)
        return float((np.quantile(reference, 1 - target) - shift) / slope)

    assert np.median(errors(skewed, 1.0, 0.0, 3000, line)) > 0.15
    assert np.median(errors(skewed, 1.0, 0.0, 3000)) < 0.08


def test_nothing_is_moved_that_did_not_move():
    reference = screened(np.random.default_rng(1), 4000)
    cut = float(np.quantile(reference, 0.9))
    assert align(reference, reference, TARGET) == pytest.approx(cut, abs=1e-9)
    assert settle_cut(cut, reference, TARGET) == pytest.approx(cut, abs=1e-9)


@pytest.mark.parametrize("recent", [np.full(40, 3.0), np.array([2.0])])
def test_scores_without_spread_have_a_cut(recent):
    assert np.isfinite(align(np.arange(40.0), recent, TARGET))


def test_what_cannot_be_aligned_is_refused():
    with pytest.raises(ValueError, match="found no exam to align"):
        align(np.arange(9.0), np.zeros(0), TARGET)
    with pytest.raises(ValueError, match=r"inside \(0, 1\), found 10"):
        align(np.arange(9.0), np.arange(9.0), 10)


def test_the_error_of_a_rate():
    assert recall_error(900, 0.1) == pytest.approx(0.1)


def test_a_mere_shift_stays_a_shift():
    rng = np.random.default_rng(0)
    slopes = [match_quantiles(exams(rng, 150)[0], exams(rng, 40)[0] + 2)[0] for _ in range(60)]
    assert np.median(slopes) == pytest.approx(1.0, abs=0.02)
    assert np.std(np.log(slopes)) < 0.13  # 0.17 without the shrinkage


def test_scores_without_spread_are_only_shifted():
    assert match_quantiles(np.arange(40.0), np.full(40, 3.0)) == (1.0, pytest.approx(16.5))
