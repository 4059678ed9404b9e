"""PSI, Wasserstein and the histograms beside Evidently's own numbers and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitoring.distances import channel_shifts

RNG = np.random.default_rng(5)
NORMAL = RNG.standard_normal(4000)


def shift(recent, reference, name="score"):
    one = channel_shifts(np.asarray(recent, float), np.asarray(reference, float), [name])[name]
    json.dumps(one.to_dict(), allow_nan=False)
    return one


def test_a_shift_of_one_sd_is_one_sd_of_wasserstein():
    found = shift(NORMAL + 1, NORMAL)
    assert found.wasserstein_sd == pytest.approx(1.0, abs=0.01)
    assert found.psi > 0.5
    assert found.mean - found.reference_mean == pytest.approx(1.0, abs=1e-4)


def test_psi_by_hand_on_two_values():
    found = shift([1] * 30 + [0] * 70, [1] * 10 + [0] * 90)
    assert found.psi == pytest.approx(0.2 * np.log(3) - 0.2 * np.log(7 / 9), abs=1e-4)
    assert found.histogram.values == (0.0, 1.0)
    assert (found.histogram.reference, found.histogram.recent) == ((0.9, 0.1), (0.7, 0.3))


@pytest.mark.parametrize("exams", [100, 1000])
def test_chance_alone_stays_below_what_is_said_of_chance(exams):
    below, rng = [], np.random.default_rng(exams)
    for _ in range(200):
        found = shift(rng.standard_normal(exams), NORMAL)
        below.append(found.psi <= found.psi_by_chance)
    assert 0.88 <= np.mean(below) <= 1.0, "95% by theory"
    if exams == 100:
        assert found.psi_by_chance > 0.1, "a daily PSI over 0.1 is what chance gives"


def test_constant_channels_have_no_scale():
    same, other = shift([3.0] * 50, [3.0] * 80), shift([2.0] * 50, [3.0] * 80)
    assert (same.psi, same.wasserstein_sd) == (0.0, None)
    assert other.psi > 5, "any other value than the constant is far"
    assert other.wasserstein_sd is None


@pytest.mark.parametrize(
    ("recent", "psi", "missing"),
    [([], None, 0.0), ([np.nan] * 40, "far", 1.0), ([0.3], "some", 0.0)],
    ids=["empty window", "no value arrives", "one exam"],
)
def test_a_thin_window_is_told(recent, psi, missing):
    found = shift(recent, NORMAL)
    assert (found.exams, found.missing) == (len(recent), missing)
    assert (found.psi is None) == (psi is None)
    if psi == "far":
        assert found.psi > 5, "missing is a bin of its own"
        assert found.histogram is found.mean is found.wasserstein_sd is None


def test_infinite_values_are_missing_ones():
    assert shift([np.inf, 1.0, -np.inf, 0.0], NORMAL).missing == 0.5


def test_outliers_are_gathered_in_the_last_bins():
    recent = np.append(RNG.standard_normal(999), 1e9)
    found = shift(recent, NORMAL).histogram
    assert sum(found.recent) == pytest.approx(1.0, abs=1e-3)
    assert found.edges[-1] < 10


@pytest.mark.slow
@pytest.mark.parametrize("move", [0.0, 0.4])
def test_wasserstein_is_evidentlys(move):
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.metrics import ValueDrift

    now, before = RNG.standard_normal(1200) * 1.3 + move, NORMAL
    frames = [Dataset.from_pandas(pd.DataFrame({"score": one})) for one in (now, before)]
    result = Report([ValueDrift(column="score", method="wasserstein")]).run(*frames).dict()
    theirs = float(result["metrics"][0]["value"])
    assert shift(now, before).wasserstein_sd == pytest.approx(theirs, rel=1e-3)
