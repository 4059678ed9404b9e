from __future__ import annotations

import pytest

from monitoring.triage import Evidence, decide

SCORE = {"score": ("score",)}
IMAGE = {"image": ("mean_intensity", "sharpness")}
EMBEDDING = {"embedding": ("embedding_distance",)}
MISSING = {"missing": ("missing",)}


@pytest.mark.parametrize(
    ("evidence", "cause", "action"),
    [
        (Evidence(moved=MISSING, incomplete_rate=0.9), "data_fault", "quarantine"),
        (Evidence(moved=MISSING | SCORE, incomplete_rate=0.6), "data_fault", "quarantine"),
        (Evidence(moved=MISSING, incomplete_rate=0.2), "data_fault", "quarantine"),
        (Evidence(moved=IMAGE, robust={"mean_intensity": -14.0}), "data_fault", "quarantine"),
        (Evidence(moved=IMAGE | SCORE, absent_rate=0.7), "data_fault", "quarantine"),
        (
            Evidence(moved=IMAGE, robust={"mean_intensity": 14.0}, scanner_new=True),
            "acquisition",
            "recalibrate_and_retrain",
        ),
        (Evidence(moved=IMAGE), "acquisition", "recalibrate_and_retrain"),
        (Evidence(moved=EMBEDDING), "acquisition", "recalibrate_and_retrain"),
        (Evidence(moved=EMBEDDING | SCORE), "acquisition", "recalibrate_and_retrain"),
        (Evidence(moved=SCORE, scanner_new=True), "acquisition", "recalibrate_and_retrain"),
        (Evidence(moved=MISSING | IMAGE), "acquisition", "recalibrate_and_retrain"),
        (Evidence(auc_loss=True), "concept", "retrain"),
        (Evidence(auc_loss=True, moved=SCORE), "concept", "retrain"),
        (Evidence(auc_loss=True, moved=IMAGE), "acquisition", "recalibrate_and_retrain"),
        (Evidence(moved=SCORE), "prevalence", "note"),
        (Evidence(moved={"recall": ("recall",)}), "prevalence", "note"),
        (Evidence(version_new=True), "software_version", "note"),
        (Evidence(version_new=True, moved=IMAGE), "acquisition", "recalibrate_and_retrain"),
    ],
)
def test_the_table(evidence, cause, action):
    triage = decide(evidence)
    assert (triage.cause, triage.action) == (cause, action)
    assert triage.acts == (action != "note")
    assert len(triage.reason) > 40
    assert "{" not in triage.reason


def test_nothing_moved_is_nothing():
    assert decide(Evidence()) is None


def test_reasons_name_what_moved_and_what_is_done():
    evidence = Evidence(moved=IMAGE | SCORE, shifts={"mean_intensity": 2.04, "score": -1.0})
    assert decide(evidence).reason == (
        "The images differ (mean intensity +2.0 SD, sharpness +0.0 SD), and with them "
        "score -1.0 SD. Its operating point is recalibrated at once and a candidate is trained."
    )
    fault = Evidence(moved=MISSING, incomplete_rate=0.9, incomplete_rate_reference=0.02)
    assert decide(fault).reason.startswith("90% of exams lack a view or had a file refused; in")
