"""The battery of metrics against scikit-learn, resample by resample, and at its edges."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics as sk

from mammo.errors import ScoresInvalid
from mammo.evaluation import ranking as rk
from mammo.evaluation.battery import Rows, measure, measure_at, ranked_columns, rate_interval
from mammo.evaluation.curves import calibration_bins, precision_recall_curve, roc_curve
from mammo.evaluation.decisions import Decisions, named, rates
from mammo.evaluation.draws import PatientDraws
from mammo.evaluation.metrics import auc_interval, pf1
from mammo.evaluation.prevalence import patient_weights


def made(seed=0, patients=120, each=2, cancers=0.3, digits=8, shift=1.5):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), each)
    labels = (rng.random(patients) < cancers)[patient] & (np.arange(len(patient)) % each == 0)
    scores = np.round(rng.normal(size=len(patient)) + shift * labels - 1, digits)
    probability = 1 / (1 + np.exp(-scores))
    ids = np.array([f"P{one:03d}" for one in patient])
    return Rows(labels, scores, probability, probability > 0.5, ids)


def draws_of(rows, resamples=200):
    return PatientDraws.of(rows.patients, rows.labels, resamples=resamples)


@pytest.mark.parametrize("digits", [0, 1, 8], ids=["many ties", "ties", "no ties"])
def test_every_resample_agrees_with_sklearn(digits):
    rows = made(1, digits=digits)
    draws = draws_of(rows)
    code = draws.codes(rows.patients)
    weights = np.random.default_rng(2).integers(0, 4, size=(12, len(draws.patients))).astype(float)
    ranked = rk.rank_rows(rows.labels, rows.scores, code)
    steps = ranked.steps(weights)
    found = {name: column(steps) for name, column in ranked_columns().items()}
    decided = rates(named(Decisions(rows.labels, rows.probability, rows.recalled, code)
                          .table(draws)(weights)))  # fmt: skip
    for row, w in enumerate(weights[:, code]):
        y, s, p, r = rows.labels, rows.scores, rows.probability, rows.recalled
        used = SimpleNamespace(sample_weight=w)
        expected = {
            "auc": sk.roc_auc_score(y, s, **vars(used)),
            "partial_auc_specificity": sk.roc_auc_score(y, s, max_fpr=0.2, **vars(used)),
            # the other axis is the same area with the classes and the order turned round
            "partial_auc_sensitivity": sk.roc_auc_score(~y, -s, max_fpr=0.2, **vars(used)),
            "average_precision": sk.average_precision_score(y, s, **vars(used)),
        }
        decisions = {
            "accuracy": sk.accuracy_score(y, r, **vars(used)),
            "sensitivity": sk.recall_score(y, r, **vars(used)),
            "specificity": sk.recall_score(~y, ~r, **vars(used)),
            "ppv": sk.precision_score(y, r, **vars(used)),
            "f1": sk.f1_score(y, r, **vars(used)),
            "brier": sk.brier_score_loss(y, p, **vars(used)),
        }
        fpr, tpr, _ = sk.roc_curve(y, s, drop_intermediate=False, **vars(used))
        expected["sensitivity_at_specificity_90"] = np.interp(0.1, fpr, tpr)
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, abs=1e-7), name
        for name, value in decisions.items():
            assert decided[name][row] == pytest.approx(value), name


def test_rates_at_fixed_points_by_hand():
    # ROC: (0, 1/2) up, then x to 1/2, then up to 1, then x to 1
    ranked = rk.rank_rows(np.array([1, 0, 1, 0], bool), np.array([4.0, 3, 2, 1]), np.arange(4))
    steps = ranked.steps(np.ones((1, 4)))
    points = [rk.sensitivity_at(steps, spec)[0] for spec in (1.0, 0.75, 0.5, 0.25)]
    assert points == [0.5, 0.5, 1.0, 1.0]
    assert [rk.specificity_at(steps, se)[0] for se in (0.5, 0.6, 1.0)] == [1.0, 0.5, 0.5]
    assert rk.precision_at(steps, 1.0)[0] == pytest.approx(2 / 3)


def test_pf1_is_the_challenges():
    rows = made(3)
    found = measure(rows, draws_of(rows))["pf1"]
    assert found.value == pytest.approx(pf1(rows.labels, rows.probability))
    assert found.low < found.value < found.high


def test_the_auc_interval_is_that_of_the_release():
    rows = made(4)
    found = measure(rows, draws_of(rows, 2000))["auc"]
    known = auc_interval(rows.labels, rows.scores, rows.patients)
    assert (found.value, found.n_positive) == (pytest.approx(known.value), known.n_positive)
    assert found.low == pytest.approx(known.low, abs=0.004)


def test_perfect_separation_is_not_certainty():
    labels = np.arange(40) < 15
    rows = Rows(labels, labels.astype(float), 0.9 * labels, labels, np.arange(40).astype(str))
    draws = draws_of(rows)
    found = measure(rows, draws)
    for name in ("auc", "partial_auc_specificity", "sensitivity", "sensitivity_at_specificity_95"):
        assert found[name].value == found[name].high == 1.0, name
        assert 0.7 < found[name].low < 0.95, name
    weights = patient_weights(labels, draws.codes(rows.patients), draws.positive, 0.01)
    ppv = measure_at(rows, draws, weights)["ppv"]
    assert "average_precision" not in measure_at(rows, draws, weights)  # nothing seen of its top
    assert ppv.value == pytest.approx(1.0)
    assert ppv.low < 0.1  # 25 negatives cannot make a PPV certain at one cancer in a hundred


@pytest.mark.parametrize("positives", [24, 30, 61])  # sums of 1/24 and of 1/61 end beside 1
def test_rounding_makes_no_certainty_of_perfect_separation(positives):
    labels = np.arange(200) < positives
    scores = np.random.default_rng(positives).normal(size=200) + 20 * labels
    rows = Rows(labels, scores, 0.9 * labels, labels, np.arange(200).astype(str))
    found = measure(rows, draws_of(rows, resamples=50))
    for name in ("auc", "partial_auc_specificity", "partial_auc_sensitivity"):
        assert found[name].low == pytest.approx(0.025 ** (1 / positives)), name
        assert found[name].value <= found[name].high == 1.0, name


def test_a_corrected_rate_counts_each_patient_once():
    rows = made(8)
    draws = draws_of(rows)
    weights = patient_weights(rows.labels, draws.codes(rows.patients), draws.positive, 0.01)
    for name, one in measure_at(rows, draws, weights).items():
        assert one.n_patients == len(draws.patients), name


def test_nobody_recalled_has_no_ppv():
    rows = made(5)
    quiet = Rows(rows.labels, rows.scores, rows.probability, rows.labels & False, rows.patients)
    found = measure(quiet, draws_of(quiet))
    assert np.isnan(found["ppv"].value)
    assert found["recall_rate"].value == 0.0
    assert found["recall_rate"].high > 0.01


def test_weights_give_what_was_sampled_away():
    """A case-control part of a large set, corrected, tells the values of the whole."""
    whole = made(6, patients=20_000, each=1, cancers=0.02)
    rng = np.random.default_rng(0)
    kept = whole.labels | (rng.random(len(whole.labels)) < 0.1)
    part = whole.at(kept)
    draws = draws_of(part)
    prevalence = float(whole.labels.mean())
    weights = patient_weights(part.labels, draws.codes(part.patients), draws.positive, prevalence)
    found = measure_at(part, draws, weights)
    truth = measure(whole, draws_of(whole, 2))
    for name in ("accuracy", "ppv", "recall_rate", "f1", "pf1", "brier", "average_precision"):
        assert found[name].low <= truth[name].value <= found[name].high, name
        assert found[name].value == pytest.approx(truth[name].value, rel=0.12), name
    detected, high = found["cancer_detection_per_1000"], 1000 * prevalence
    assert detected.low < truth["cancer_detection_per_1000"].value < detected.high <= high
    assert measure(part, draws)["ppv"].value > 3 * found["ppv"].value


def test_a_negative_exam_of_a_patient_with_cancer_keeps_her_weight():
    labels, patient = np.array([1, 0, 0, 0, 0], bool), np.array([0, 0, 1, 2, 3])
    positive = np.array([True, False, False, False])
    weights = patient_weights(labels, patient, positive, 0.1)
    rows = weights[patient]
    assert rows[labels].sum() / rows.sum() == pytest.approx(0.1)
    assert rows[0] == rows[1]
    assert rows.sum() == pytest.approx(5)


@pytest.mark.parametrize(
    ("prevalence", "text"),
    [(0.0, "lies inside"), (1.2, "lies inside"), (0.6, "state a prevalence below 0.500")],
)
def test_a_prevalence_that_cannot_be(prevalence, text):
    labels, patient = np.array([1, 0, 0, 0], bool), np.array([0, 0, 1, 2])
    with pytest.raises(ScoresInvalid, match=text):
        patient_weights(labels, patient, np.array([True, False, False]), prevalence)


def test_curves_and_bands():
    rows = made(7)
    draws = draws_of(rows)
    roc = roc_curve(rows, draws)
    assert sk.auc(roc.x, roc.y) == pytest.approx(sk.roc_auc_score(rows.labels, rows.scores))
    own = np.interp(roc.at[1:], roc.x, roc.y)
    assert ((roc.low[1:] <= own + 1e-9) & (own <= roc.high[1:] + 1e-9)).all()
    curve = precision_recall_curve(rows, draws)
    precision, recall, _ = sk.precision_recall_curve(rows.labels, rows.scores)
    assert dict(zip(recall.round(9), precision, strict=True))[1.0] <= curve.y[-1]
    assert set(curve.x.round(9)) <= set(recall.round(9))
    bins = calibration_bins(rows, draws, bins=5)
    assert sum(one.rows for one in bins) == len(rows.labels)
    assert np.average([b.observed for b in bins], weights=[b.rows for b in bins]) == pytest.approx(
        rows.labels.mean()
    )
    assert all(one.low <= one.observed <= one.high for one in bins)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_rate_at_its_edge_rests_on_its_patients_whatever_the_draws_say(value):
    rows = made(8, patients=20, each=1)
    found = rate_interval(value, np.linspace(0, 0.2, 50), rows)
    width = found.high - found.low
    assert width == pytest.approx(0.1611, abs=1e-4)  # Wilson, 0 of 20: Newcombe (1998), table I
