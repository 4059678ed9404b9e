"""The simulated programme is what its documentation says: shares, rates, dates, dependence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from benchmarks.continual.volumes import FLEET, is_open, measure_shares
from benchmarks.continual.world import SimExams, SimYear, World

SHARED = Path(os.environ.get("MAMMO_TEST_DATA", Path(__file__).parents[2].parent / "shared/data"))
CHANNELS = {
    "score",
    "recall",
    "missing",
    "refused",
    "quality",
    "mean_intensity",
    "contrast",
    "sharpness",
    "noise",
    "breast_fraction",
    "thickness_mm",
    "compression_n",
    "kvp",
    "exposure_mas",
    "age_years",
}


def draw(scenario: str = "none", seed: int = 7, world: World | None = None) -> SimYear:
    return (world or World()).year(np.random.default_rng(seed), scenario)


@pytest.fixture(scope="module")
def large() -> SimYear:
    """A quiet year of a programme eight times as large, for rates."""
    return draw(world=World(exams_per_open_day=1200))


@pytest.fixture(scope="module")
def reference() -> SimExams:
    return World().reference(np.random.default_rng(1))


def test_fleet_is_that_of_the_rsna_set() -> None:
    path = SHARED / "rsna/train.csv"
    if not path.exists():
        pytest.skip("needs the table of the RSNA set")
    table = pd.read_csv(path, usecols=["site_id", "patient_id", "machine_id", "age"])
    groups = table.drop_duplicates(["patient_id", "machine_id"]).groupby(["site_id", "machine_id"])
    found = {
        (f"site {site}", f"machine {machine}"): (len(part), part.age.mean(), part.age.std())
        for (site, machine), part in groups
    }
    assert set(found) == {(machine.site, machine.name) for machine in FLEET}
    for machine in FLEET:
        count, mean, spread = found[machine.site, machine.name]
        assert count == machine.patients
        assert (machine.age_mean, machine.age_sd) == pytest.approx((mean, spread), abs=0.051)


def test_year_has_the_fields_and_shapes_promised(reference: SimExams) -> None:
    for exams in (reference, draw("several")):
        n = len(exams)
        assert set(exams.columns) == CHANNELS
        assert {values.shape for values in exams.columns.values()} == {(n,)}
        assert {values.dtype for values in exams.columns.values()} == {np.dtype(np.float64)}
        assert exams.embedding.shape == (n, 32)
        assert exams.embedding.dtype == np.float32
        assert np.isfinite(exams.embedding).all()
        assert (np.diff(exams.day) >= 0).all()
        assert exams.stratum.max() < len(exams.strata) == len(set(exams.strata))
        assert np.array_equal(exams.recall, exams.logit >= exams.threshold)
        assert np.array_equal(exams.columns["recall"], exams.recall)
        assert np.array_equal(exams.columns["score"], exams.logit)


def test_reference_is_of_the_year_before_and_matured(reference: SimExams) -> None:
    assert len(reference) == pytest.approx(11914, abs=4 * np.sqrt(11914))
    assert reference.day.min() > -365
    assert reference.day.max() < 0
    assert np.isfinite(reference.outcome_day[reference.cancer]).all()
    assert np.array_equal(reference.outcome_known_cancer, reference.cancer)


def test_volume_follows_the_week(large: SimYear) -> None:
    assert is_open(large.day).all()
    weekday = np.bincount(large.day % 7, minlength=7)
    assert weekday[5:].sum() == 0
    assert weekday[4] < weekday[:4].min()
    assert len(draw()) == pytest.approx(150 * 261, rel=0.02)


def test_scanners_have_their_shares(large: SimYear) -> None:
    shares = measure_shares()
    counts = np.bincount(large.stratum, minlength=len(shares))
    spread = np.sqrt(len(large) * shares * (1 - shares))
    assert (np.abs(counts - len(large) * shares) < 4.5 * spread).all()


def test_rates_of_a_quiet_year(large: SimYear) -> None:
    assert large.cancer.mean() == pytest.approx(0.008, abs=0.0006)
    assert large.recall.mean() == pytest.approx(0.10, abs=0.003)
    assert roc_auc_score(large.cancer, large.logit) == pytest.approx(0.90, abs=0.015)
    repeats = large.patient != np.arange(len(large))
    assert 0.01 < repeats.mean() < 0.03


def test_each_large_scanner_recalls_what_it_should(large: SimYear) -> None:
    for place in np.flatnonzero(measure_shares() > 0.05):
        part = large.recall[large.stratum == place]
        assert part.mean() == pytest.approx(0.10, abs=0.008), large.strata[place].name


def test_logit_is_the_calibrated_log_odds(large: SimYear) -> None:
    # scanners' levels differ, so that only the fleet as a whole is calibrated
    probability = expit(large.logit)
    for low, high in ((0.001, 0.005), (0.005, 0.02), (0.02, 0.1), (0.1, 1.0)):
        part = (probability >= low) & (probability < high)
        assert large.cancer[part].mean() == pytest.approx(probability[part].mean(), rel=0.25)


def test_channels_of_one_exam_depend_on_each_other_and_have_heavy_tails(large: SimYear) -> None:
    part = large.stratum == 0
    columns = {name: values[part] for name, values in large.columns.items()}
    frame = pd.DataFrame(columns)
    assert frame["thickness_mm"].corr(frame["kvp"]) > 0.7
    # as among the women of mini-MIAS
    assert frame["noise"].corr(frame["sharpness"]) == pytest.approx(0.59, abs=0.03)
    assert frame["contrast"].corr(frame["sharpness"]) == pytest.approx(-0.57, abs=0.03)
    assert np.log(frame["contrast"]).std() == pytest.approx(0.12, rel=0.3)
    assert frame["age_years"].corr(frame["thickness_mm"]) == pytest.approx(0.15, abs=0.05)
    assert 0.2 < frame["mean_intensity"].kurt() < 3
    for name in ("kvp", "age_years", "thickness_mm"):
        known = frame[name].dropna()
        assert (known == known.round()).all()


def test_season_and_weekday_move_the_case_mix_by_hundredths(large: SimYear) -> None:
    age = large.columns["age_years"]
    by_month = pd.Series(age).groupby(large.day // 30).mean() / age.std()
    assert 0.03 < by_month.max() - by_month.min() < 0.12


def test_a_header_value_may_be_missing(large: SimYear) -> None:
    silent = [stratum.scanner == "machine 210" for stratum in large.strata]
    force = np.isnan(large.columns["compression_n"])
    assert force[np.array(silent)[large.stratum]].all()
    assert 0 < np.isnan(large.columns["kvp"]).mean() < 0.01


def test_outcomes_come_when_they_can(large: SimYear) -> None:
    after = large.outcome_day - large.day
    known = np.isfinite(after)
    assert ((after >= 10) & (after <= 60))[known & large.recall].all()
    interval = known & ~large.recall & large.cancer
    assert after[interval].min() >= 60
    assert not (known & ~large.recall & ~large.cancer & (after < 365)).any()
    old = large.day < 300
    assert np.isfinite(after[old & large.recall]).all()
    assert large.outcome_day[known].max() <= 365


def test_one_state_of_the_generator_gives_one_year() -> None:
    one, same, other = draw(seed=3), draw(seed=3), draw(seed=4)
    assert np.array_equal(one.logit, same.logit)
    assert np.array_equal(one.embedding, same.embedding)
    assert len(one) != len(other) or not np.array_equal(one.logit, other.logit)
    rng = np.random.default_rng(3)
    first, second = (World().year(rng) for _ in range(2))
    assert np.array_equal(first.logit, one.logit)
    assert len(first) != len(second) or not np.array_equal(first.logit, second.logit)


def test_quiet_year_is_exchangeable_with_its_reference(reference: SimExams) -> None:
    # the same truth: what a rule learns of the reference holds in a quiet year
    year = draw()
    for place in (0, 8):
        for name in ("score", "noise", "mean_intensity"):
            ours = year.columns[name][year.stratum == place]
            theirs = reference.columns[name][reference.stratum == place]
            assert kstest(ours, theirs).pvalue > 1e-3, (place, name)


@pytest.mark.parametrize("days", [0, 1, 5, 30])
def test_short_years(days: int) -> None:
    year = World().year(np.random.default_rng(1), "several", days=days)
    assert len(year) == 0 or year.day.max() < days
    assert year.truth == []
