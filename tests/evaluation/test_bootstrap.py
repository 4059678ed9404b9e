import time

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from mammo.evaluation.bootstrap import bootstrap_draws, patient_bootstrap, wilson_bounds
from mammo.evaluation.metrics import auc_interval, rate_statistic


def clustered(rng, patients=30, rows_each=4):
    """Rows of a patient share most of their score."""
    ids = np.repeat(np.arange(patients), rows_each)
    sick = np.arange(patients) < patients // 3
    scores = np.repeat(rng.normal(size=patients) + 1.5 * sick, rows_each)
    return ids, sick[ids], scores + rng.normal(scale=0.2, size=len(ids))


def test_every_resample_draws_as_many_patients_of_each_kind():
    ids = np.repeat(np.arange(20), 3)
    labels = ids < 6
    seen = []

    def statistic(weights):
        seen.append(weights)
        return weights.sum(axis=1)

    bootstrap_draws(ids, statistic, labels=labels, resamples=300)
    weights = np.concatenate(seen)
    assert weights.shape == (300, 60)
    assert (weights[:, labels].sum(axis=1) == 18).all()
    assert (weights.sum(axis=1) == 60).all()
    assert (weights[:, 0] == weights[:, 2]).all()  # a patient comes with all of her rows


def test_patients_make_wider_intervals_than_rows():
    ids, labels, scores = clustered(np.random.default_rng(2))
    by_patient = auc_interval(labels, scores, ids)
    by_row = auc_interval(labels, scores, np.arange(len(ids)))
    assert by_patient.high - by_patient.low > 1.5 * (by_row.high - by_row.low)
    assert (by_patient.n_patients, by_row.n_patients) == (30, 120)


def test_bootstrap_of_a_mean_agrees_with_student():
    values = np.random.default_rng(0).normal(size=40)
    found = patient_bootstrap(np.arange(40), lambda w: w @ values / w.sum(axis=1), resamples=8000)
    low, high = stats.t.interval(0.95, 39, values.mean(), values.std(ddof=1) / np.sqrt(40))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.04), pytest.approx(high, abs=0.04))


@pytest.mark.parametrize(("auc", "positive", "negative"), [(0.88, 18, 32), (0.96, 18, 32)])
def test_auc_interval_covers_the_truth(auc, positive, negative):
    """Nominal 95%; 250 runs have a standard error of 1.4 points."""
    rng = np.random.default_rng(7)
    labels = np.r_[np.ones(positive, bool), np.zeros(negative, bool)]
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    covered = 0
    for run in range(250):
        scores = rng.normal(size=len(labels)) + shift * labels
        found = auc_interval(labels, scores, np.arange(len(labels)), resamples=400, seed=run)
        covered += found.low <= auc <= found.high
    assert 0.92 <= covered / 250 <= 0.99


def test_auc_interval_covers_the_truth_for_clustered_rows():
    rng = np.random.default_rng(3)
    truth = stats.norm.cdf(1.5 / np.sqrt(2 * (1 + 0.2**2)))
    patients = rows = 0
    for run in range(150):
        ids, labels, scores = clustered(rng)
        for kind, resampled in (("patients", ids), ("rows", np.arange(len(ids)))):
            found = auc_interval(labels, scores, resampled, resamples=300, seed=run)
            hit = found.low <= truth <= found.high
            patients, rows = patients + hit * (kind == "patients"), rows + hit * (kind == "rows")
    assert patients / 150 >= 0.91
    assert rows / 150 <= 0.80  # what resampling rows would have promised


def test_rates_of_clustered_rows_are_wider_than_wilson():
    flags = np.repeat(np.arange(20) < 8, 5)
    draws = bootstrap_draws(np.repeat(np.arange(20), 5), rate_statistic(flags), resamples=4000)
    assert draws.std() == pytest.approx(np.sqrt(0.4 * 0.6 / 20), rel=0.1)


@pytest.mark.parametrize(
    ("rate", "n", "low", "high"),
    [(81 / 263, 263, 0.2553, 0.3662), (15 / 148, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)],
)
def test_wilson_as_tabled_by_newcombe_1998(rate, n, low, high):
    assert wilson_bounds(rate, n, 0.95) == (pytest.approx(low, abs=1e-4),
                                            pytest.approx(high, abs=1e-4))  # fmt: skip


def test_resampling_at_once_is_faster_than_one_by_one():
    rng = np.random.default_rng(0)
    labels = rng.random(5000) < 0.1
    scores = rng.normal(size=5000) + labels
    began = time.process_time()
    for _ in range(50):
        drawn = rng.integers(0, 5000, 5000)
        roc_auc_score(labels[drawn], scores[drawn])
    one_by_one = (time.process_time() - began) / 50
    began = time.process_time()
    auc_interval(labels, scores, np.arange(5000), resamples=500)
    assert time.process_time() - began < 500 * one_by_one
