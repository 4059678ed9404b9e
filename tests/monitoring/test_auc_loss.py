"""A look at all outcomes opens an episode where strata are too small to place a cancer."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("skill", "causes"), [(0.0, ["concept"]), (2.5, [])])
def test_a_lost_auc_starts_the_retraining_with_few_exams(hospital, skill, causes):
    hospital.release(exams=18)
    hospital.outcomes(hospital.stream(90, skill=skill))
    report = hospital.monitor()
    findings = report.outcomes["findings"]
    assert not findings["rank_confirmed"], "too few in each stratum for the control"
    acting = [one for one in report.episodes_opened if one["action"] != "note"]
    assert [one["cause"] for one in acting] == causes
    assert [one["action"] for one in acting] == ["retrain"] * len(causes)
    assert report.performance["loss"] == bool(causes)


def test_outcomes_of_the_recalled_alone_are_no_lost_auc(hospital):
    """Among women who were recalled every score is high: their AUC is lower by selection."""
    hospital.release(exams=60)
    names = hospital.stream(300)
    log = hospital.log
    recalled = log.exams().set_index("exam_id")["recall"]
    hospital.outcomes([one for one in names if recalled[one]])
    report = hospital.monitor()
    assert not report.performance["loss"]
    assert "not recalled" in report.performance["note"]
    assert report.episodes_opened == []
    hospital.outcomes(names)
    assert hospital.monitor().performance["auc"]["value"] > 0.9
