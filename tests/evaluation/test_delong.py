"""DeLong against its definition, against the bootstrap, and with several rows a patient."""

import numpy as np
import pytest

from mammo.errors import TooFewLabels
from mammo.evaluation.bootstrap import bootstrap_draws
from mammo.evaluation.delong import auc_covariance, delong_test, placements
from mammo.evaluation.metrics import auc_difference_statistic, roc_auc


def drawn(seed, patients=60, each=1, digits=8):
    """Scores of two models, correlated within the patient, ties by rounding."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), each)
    labels = rng.random(len(patient)) < 0.35
    own = rng.normal(size=patients)[patient]
    common = own + 1.2 * labels + rng.normal(size=len(patient))
    models = [common + rng.normal(scale=s, size=len(patient)) for s in (0.5, 1.0)]
    return labels, np.round(np.stack(models), digits), patient


def by_definition(labels, scores):
    """DeLong's covariance by the double sum over pairs of rows, equation by equation."""
    kernel = [
        np.array([[(x > y) + 0.5 * (x == y) for y in one[~labels]] for x in one[labels]])
        for one in scores
    ]
    v10, v01 = (np.stack([k.mean(axis=axis) for k in kernel]) for axis in (1, 0))
    return np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


@pytest.mark.parametrize("digits", [0, 1, 8], ids=["many ties", "ties", "no ties"])
def test_midranks_give_the_covariance_of_the_definition(digits):
    labels, scores, patient = drawn(1, digits=digits)
    aucs, covariance = auc_covariance(labels, scores, patient)
    np.testing.assert_allclose(aucs, [roc_auc(labels, one) for one in scores])
    np.testing.assert_allclose(covariance, by_definition(labels, scores), rtol=1e-10)


def test_placements_by_hand():
    above, below = placements(np.array([[2.0, 4.0]]), np.array([[1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(above, [[0.5, 2 / 3]])  # 2: one below, one tie of three
    np.testing.assert_allclose(below, [[1.0, 0.75, 0.0]])


def test_a_known_answer():
    # DeLong by hand: 2 positives, 2 negatives, AUC a 1, b 3/4
    found = delong_test([1, 1, 0, 0], [4, 3, 2, 1], [4, 2, 3, 1])
    assert (found.auc_a, found.auc_b, found.difference) == (1.0, 0.75, -0.25)
    # placements of b: positives (1, 1/2), negatives (1/2, 1): each has variance 1/8, over 2 rows
    assert found.standard_error == pytest.approx(np.sqrt(1 / 8))
    assert not found.clustered


@pytest.mark.parametrize("each", [1, 4])
def test_it_agrees_with_the_patient_bootstrap(each):
    labels, scores, patient = drawn(5, patients=300 // each, each=each)
    found = delong_test(labels, *scores, patient)
    statistic = auc_difference_statistic(labels, *scores)
    boot = bootstrap_draws(patient, statistic, labels=labels, resamples=2000)
    assert found.standard_error == pytest.approx(boot.std(), rel=0.06)
    assert found.clustered is (each > 1)


def test_rows_copied_within_a_patient_tell_nothing_new():
    labels, scores, patient = drawn(3, patients=80)
    once = delong_test(labels, *scores, patient)
    copied = [np.repeat(one, 5, axis=-1) for one in (labels, *scores, patient)]
    clustered = delong_test(*copied)
    plain = delong_test(*copied[:3])
    assert clustered.standard_error == pytest.approx(once.standard_error, rel=0.02)
    assert plain.standard_error < 0.5 * once.standard_error  # what ignoring patients would claim


def test_the_same_scores_do_not_differ():
    labels, scores, patient = drawn(2)
    found = delong_test(labels, scores[0], 2 * scores[0] + 1, patient)
    assert (found.difference, found.p_value) == (0.0, 1.0)


def test_one_patient_with_all_the_cancers_is_refused():
    with pytest.raises(TooFewLabels, match="positive rows of 1 and negative rows of 3 patients"):
        delong_test([1, 1, 0, 0, 0], range(5), range(5), ["a", "a", "b", "c", "d"])
