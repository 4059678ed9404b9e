"""Subgroups against the rest: differences that are there, and none where there is none."""

import numpy as np
import pytest

from mammo.evaluation.battery import Rows
from mammo.evaluation.draws import PatientDraws
from mammo.evaluation.metrics import roc_auc
from mammo.evaluation.paired import holm
from mammo.evaluation.subgroups import Group, adjusted, comparison_names, judge_groups


def rows_of(patients: int, seed: int, shift: np.ndarray | float = 1.5) -> Rows:
    rng = np.random.default_rng(seed)
    labels = rng.random(patients) < 0.4
    scores = rng.normal(size=patients) + shift * labels
    probability = 1 / (1 + np.exp(-scores))
    ids = np.array([f"P{one:04d}" for one in range(patients)])
    return Rows(labels, scores, probability, scores > 1, ids)


def judged(rows: Rows, groups: list[Group]) -> list:
    draws = PatientDraws.of(rows.patients, rows.labels, resamples=400)
    return adjusted(judge_groups(rows, groups, draws, "exam"))


def cut(name: str, inside: np.ndarray, attribute: str = "scanner") -> Group:
    return Group(attribute, name, inside, ~inside)


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # Holm (1979): steps 3, 2, 1, never falling
        ([0.5, 0.9], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, expected):
    assert holm(p_values) == pytest.approx(expected)


def test_a_scanner_that_reads_worse_is_found():
    inside = np.arange(400) < 200
    rows = rows_of(400, 0, np.where(inside, 0.2, 2.5))
    worse, better = judged(rows, [cut("A", inside), cut("B", ~inside)])
    auc = worse.metrics["auc"]
    expected = [roc_auc(rows.labels[side], rows.scores[side]) for side in (inside, ~inside)]
    assert auc.value.value == pytest.approx(expected[0])
    assert auc.difference.value == pytest.approx(expected[0] - expected[1])
    assert auc.difference.high < 0
    assert auc.p_holm < 0.001
    mirrored = better.metrics["auc"]
    assert mirrored.difference.value == pytest.approx(-auc.difference.value)
    # two sides of one cut are one comparison: nothing to adjust for
    assert auc.p_holm == pytest.approx(auc.p_value)


def test_cuts_by_lot_differ_as_often_as_chance_says():
    """At 5%: 3.6% of 1080 such comparisons in a longer simulation; a Wald test 7%."""
    found = []
    for seed in range(8):
        rows, rng = rows_of(300, seed), np.random.default_rng(100 + seed)
        shares = (0.08, 0.3, 0.5)
        groups = [
            cut(f"{n}", rng.random(300) < share, f"lot {n}") for n, share in enumerate(shares)
        ]
        found += [one.metrics[name] for one in judged(rows, groups) for name in one.metrics]
    p_values = np.array([one.p_value for one in found])
    assert len(p_values) == 72
    assert np.mean(p_values < 0.05) <= 0.12
    assert 0.35 < p_values.mean() < 0.65
    for one in found:
        assert (one.p_value < 0.05) == (not one.difference.low <= 0 <= one.difference.high)
        assert one.p_holm >= one.p_value


def test_a_perfect_subgroup_is_not_certain():
    inside = np.arange(300) < 20
    rows = rows_of(300, 2, 1.0)
    rows.recalled[inside] = rows.labels[inside]  # nothing missed, nothing wrong, in 20 patients
    one = judged(rows, [cut("A", inside)])[0].metrics["sensitivity"]
    assert one.value.value == 1.0
    assert one.value.low < 0.8
    own_width = one.value.high - one.value.low
    assert one.difference.high - one.difference.low > own_width  # no smaller than the side's own


def test_too_few_are_named_and_not_judged():
    inside = np.arange(100) < 6
    rows = rows_of(100, 3)
    rows.labels[:6] = [True, False, False, False, False, False]
    found = judged(rows, [cut("A", inside)])[0]
    assert set(found.metrics) == {"specificity"}
    assert found.note == "AUC not judged: 1 positive and 5 negative patients, of each 5 needed"
    assert (found.n_rows, found.n_patients, found.positive_patients) == (6, 6, 1)


def test_a_finding_type_shares_the_negatives():
    rows = rows_of(300, 4)
    mass = np.arange(300) % 2 == 0
    group = Group("finding type", "mass", ~rows.labels | mass, ~rows.labels | ~mass)
    found = judged(rows, [group])[0]
    assert "specificity" not in found.metrics
    positives = rows.labels & mass
    auc = roc_auc(np.r_[positives[positives], rows.labels[~rows.labels]],
                  np.r_[rows.scores[positives], rows.scores[~rows.labels]])  # fmt: skip
    assert found.metrics["auc"].value.value == pytest.approx(auc)
    assert found.positive_patients == int(positives.sum())


def test_levels_that_do_not_differ_count_in_the_family_all_the_same():
    """Nobody is recalled: four specificities of 1 are four comparisons, not one."""
    rows = rows_of(400, 9)
    quiet = Rows(rows.labels, rows.scores, rows.probability, rows.labels & False, rows.patients)
    site = np.arange(400) % 4
    groups = [cut(f"site {one}", site == one, "site") for one in range(4)]
    half = [cut(name, inside) for name, inside in (("A", site < 2), ("B", site >= 2))]
    results = judge_groups(
        quiet, groups + half, PatientDraws.of(quiet.patients, quiet.labels, resamples=50), "exam"
    )
    names = comparison_names(results, "specificity")
    assert len(set(names)) == 5  # the two scanners mirror each other
