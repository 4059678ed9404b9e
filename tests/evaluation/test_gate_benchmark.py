"""The simulated golden sets are what they say, and the planted challengers what they are for."""

import json

import numpy as np
import pytest

from benchmarks.gate import drift
from benchmarks.gate.golden import AUC, Exams, Size, first_network, scored, successor
from benchmarks.gate.page import drift_text, margin_text, operating_text, planted_text
from benchmarks.gate.planted import BAD, GOOD, Kind, judge_planted, service_config
from mammo.evaluation.metrics import roc_auc

LARGE = Size(20_000, 5000)


def test_releases_have_the_skill_and_kinship_they_say():
    rng = np.random.default_rng(0)
    exams = Exams.draw(rng, LARGE)
    champion = first_network(exams, rng)
    assert abs(len(exams.labels) - LARGE.exams) == 0
    assert exams.labels.mean() == pytest.approx(0.25, abs=0.01)
    assert len(np.unique(exams.patients)) == pytest.approx(LARGE.exams / 1.2, abs=1)
    assert roc_auc(exams.labels, champion.logits(exams)) == pytest.approx(AUC, abs=0.008)
    healthy = ~exams.labels
    for kin, correlation in ((0.0, 0.80), (0.8, 0.96)):
        worse = successor(champion, exams, rng, -0.06, kin)
        assert roc_auc(exams.labels, worse.logits(exams)) == pytest.approx(AUC - 0.06, abs=0.01)
        found = np.corrcoef(champion.logits(exams)[healthy], worse.logits(exams)[healthy])[0, 1]
        assert found == pytest.approx(correlation, abs=0.01)
    claimed = champion.probabilities(exams)
    assert claimed.mean() == pytest.approx(exams.labels.mean(), abs=0.005)
    assert champion.recalled(exams, rng).mean() == pytest.approx(0.10, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (BAD[0], "golden_auc_non_inferior"),
        (BAD[3], "subgroups"),
        (BAD[4], "forgetting"),
        (BAD[5], "original_auc_non_inferior"),
        (BAD[6], "calibration"),
        (BAD[7], "newest_recall_on_target"),
        (BAD[8], "latency"),
        (BAD[9], "infrastructure"),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else value,
)
def test_each_bad_kind_is_refused_by_the_clause_that_it_is_for(kind, clause):
    assert clause in judge_planted(kind, np.random.default_rng(5)).failed


def test_a_challenger_that_is_the_champion_passes():
    same = Kind("the same network", kin=1.0)
    decision = judge_planted(same, np.random.default_rng(1))
    assert decision.clauses[0].value == 0
    assert decision.clause("forgetting").required
    assert decision.passed


def test_there_are_ten_kinds_of_each_and_all_are_named():
    assert len({kind.name for kind in (*BAD, *GOOD)}) == 20


def test_scores_of_earlier_releases_are_passed_on():
    rng = np.random.default_rng(2)
    exams = Exams.draw(rng, Size(100, 30))
    first = first_network(exams, rng)
    found = scored(exams, first, first, rng, {"original": first})
    assert np.array_equal(found.earlier_scores["original"], found.champion_scores)


def test_the_closed_form_bounds_lie_near_the_gates_own():
    assert drift.agreement(2) < 0.25


def test_rules_differ_in_what_they_let_through():
    found = drift.describe_drift(2, Size(200, 60))["rules"]
    assert found["no gate"]["passed"] == 1
    assert found["no gate"]["auc"][-1] < found["ledger and original (the gate)"]["auc"][-1]
    assert all(one["auc"][0] == AUC and len(one["auc"]) == 51 for one in found.values())
    assert max(found["one number higher"]["auc"]) <= drift.HIGHEST_AUC


def test_the_pages_tables_are_written_from_the_record():
    measure = {"value": 0.5, "low": 0.25, "high": 0.75, "units": 10}
    total = {"count": 5, "judged": 10, **measure}
    row = {"kind": "slow", "passed": 0, "higher": 4, "judged": 10, "refused_by": {"latency": 10}}
    group = {"kinds": [row], "passed": total, "higher": total, "alpha": 0.025}
    assert "| slow | 0 of 10 | 4 of 10 | latency 10 |" in planted_text(group)
    assert "Of 10, 5 pass the gate: 50 % (25 to 75)" in planted_text(group)
    cell = {"difference": -0.03, "judged": 10, "gate": measure, "golden_clause": measure,
            "higher": measure}  # fmt: skip
    assert "| gate: a | 50% |" in operating_text({"a": [cell], "b": [cell]})
    found = drift.describe_drift(1, Size(200, 60))
    assert "| no gate | " in drift_text([json.loads(json.dumps(found))])
    assert "| ledger | " in margin_text([drift.describe_margin(1, Size(200, 60))])


def test_the_settings_are_those_for_service_but_fewer_resamples():
    assert service_config().margin_auc == 0.03
    assert service_config().resamples < 2000
