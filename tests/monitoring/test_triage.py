"""What is decided on what evidence, and that the table of likelihoods is one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from itertools import product

import pytest

from monitoring.causes import CAUSES, PAIRS, SIGNS, hypotheses, posterior, read_signs, weight_of
from monitoring.triage import ACTIONS, Evidence, decide
from tests.monitoring.triage_page import PAGE, make_page

SCORE = {"score": ("score",)}
IMAGE = {"image": ("mean_intensity", "sharpness")}
EMBEDDING = {"embedding": ("embedding_distance",)}
QUALITY = {"image": ("quality",)}
MISSING = {"missing": ("missing",)}
HEADER = {"header": ("kvp",)}
AGE = {"population": ("age_years",)}
QUIET = {"age_years": 0.0, "kvp": 0.0}
ALL = {"level": "programme", "strata_moved": 9, "strata_watched": 10}
ONE = {"level": "scanner", "strata_moved": 1, "strata_watched": 10}
MEND = "recalibrate_and_retrain"


@dataclass(frozen=True)
class Outcomes:
    rank_confirmed: bool = False
    rate_confirmed: bool = False
    rate_ratio: tuple[float, float, float] = (1.0, 0.8, 1.2)


LOWER = Outcomes(rank_confirmed=True)
MORE = Outcomes(rate_confirmed=True, rate_ratio=(2.0, 1.5, 2.6))
FEWER = Outcomes(rate_confirmed=True, rate_ratio=(0.5, 0.3, 0.8))


@pytest.mark.parametrize(
    ("evidence", "cause", "action"),
    [
        (Evidence(moved=MISSING, incomplete_rate=0.9), "data_fault", "quarantine"),
        (Evidence(moved=MISSING | SCORE, incomplete_rate=0.6), "data_fault", "quarantine"),
        (Evidence(moved=MISSING, incomplete_rate=0.2), "data_fault", "quarantine"),
        (Evidence(moved=MISSING, refused_rate=0.7), "data_fault", "quarantine"),
        (Evidence(moved=MISSING | IMAGE | HEADER, incomplete_rate=0.9), "data_fault", "quarantine"),
        (Evidence(moved=IMAGE, robust={"mean_intensity": -14.0}), "data_fault", "quarantine"),
        (Evidence(moved=IMAGE | SCORE, absent_rate=0.7), "data_fault", "quarantine"),
        (Evidence(absent_rate=1.0), "data_fault", "quarantine"),
        (Evidence(moved=QUALITY, quality_rate=0.6, exams=9), "data_fault", "quarantine"),
        (Evidence(moved=IMAGE, robust={"sharpness": 3.0}), "data_fault", "quarantine"),
        (Evidence(moved=IMAGE, robust={"sharpness": 3.0}, **ONE), "data_fault", "quarantine"),
        (Evidence(moved=IMAGE, robust={"sharpness": 2.0}), "acquisition", MEND),
        (Evidence(moved=IMAGE, robust={"sharpness": 3.0}, version_new=True), "acquisition", MEND),
        (
            Evidence(moved=IMAGE, robust={"mean_intensity": 14.0}, scanner_new=True),
            "acquisition",
            MEND,
        ),
        (
            Evidence(moved=IMAGE, robust={"mean_intensity": 30.0}, scanner_new=True),
            "data_fault",
            "quarantine",
        ),
        (Evidence(moved=IMAGE), "acquisition", MEND),
        (Evidence(moved=EMBEDDING), "acquisition", MEND),
        (Evidence(moved=EMBEDDING | SCORE), "acquisition", MEND),
        (Evidence(moved=IMAGE, onset="gradual", shifts=QUIET, **ONE), "acquisition", MEND),
        (Evidence(moved=IMAGE | HEADER, onset="abrupt", **ONE), "acquisition", MEND),
        (Evidence(moved=SCORE, scanner_new=True), "acquisition", MEND),
        (Evidence(moved=MISSING | IMAGE, incomplete_rate=0.1), "data_fault", "ask"),
        (Evidence(moved=IMAGE, shifts=QUIET, **ALL), "acquisition", "retrain"),
        (Evidence(auc_loss=True), "concept", "retrain"),
        (Evidence(auc_loss=True, moved=SCORE), "concept", "retrain"),
        (Evidence(auc_loss=True, moved=IMAGE), "acquisition", MEND),
        (Evidence(outcome=LOWER, level="programme"), "concept", "retrain"),
        (Evidence(outcome=replace(FEWER, rank_confirmed=True)), "concept", "retrain"),
        (Evidence(outcome=MORE, level="programme"), "prevalence", "note"),
        (Evidence(outcome=FEWER, level="programme"), "prevalence", "note"),
        (Evidence(moved=SCORE), "prevalence", "note"),
        (Evidence(moved={"recall": ("recall",)}), "prevalence", "note"),
        (Evidence(moved=SCORE, shifts=QUIET, **ALL), "prevalence", "note"),
        (Evidence(moved=SCORE, shifts=QUIET, **ONE), "prevalence", "ask"),
        (
            Evidence(
                moved=AGE | SCORE | IMAGE,
                shifts={"age_years": 0.6, "score": 0.2, "mean_intensity": 0.3, "sharpness": -0.1},
                onset="gradual",
                **ALL,
            ),
            "prevalence",
            "note",
        ),
        (Evidence(version_new=True), "software_version", "note"),
        (Evidence(version_new=True, moved=IMAGE), "acquisition", MEND),
        (
            Evidence(moved=AGE | IMAGE | EMBEDDING | HEADER, outcome=MORE, shifts={"age_years": 0.2,
                     "mean_intensity": 2.0, "embedding_distance": 2.0, "kvp": 1.0}, onset="gradual",
                     strata_watched=10, strata_moved=5),
            "mixed",
            "retrain",
        ),
    ],
)  # fmt: skip
def test_the_table(evidence, cause, action):
    triage = decide(evidence)
    assert (triage.cause, triage.action) == (cause, action)
    assert triage.acts == (action != "note")
    assert triage.starts_run == (action in ("retrain", MEND))
    assert sum(triage.probabilities.values()) == pytest.approx(1.0)
    assert triage.probabilities[cause] == max(triage.probabilities.values())
    assert len(triage.reason) > 40
    assert "{" not in triage.reason
    assert json.loads(json.dumps(triage.to_dict()))["cause"] == cause


def test_nothing_moved_is_nothing():
    assert decide(Evidence()) is None
    assert decide(Evidence(outcome=Outcomes())) is None


def test_the_likelihoods_are_probabilities():
    assert sum(hypotheses().values()) == pytest.approx(1.0)
    assert set(ACTIONS) == set(hypotheses())
    for name, sign in SIGNS.items():
        for hypothesis in hypotheses():
            chances = [sign.likelihood(answer, hypothesis) for answer in sign.answers]
            assert sum(chances) == pytest.approx(1.0), (name, hypothesis)
            assert min(chances) > 0


def test_every_set_of_answers_has_a_posterior_and_bayes_gives_it():
    """Brute force: prior times likelihoods over their sum, for every pair of answers."""
    prior = hypotheses()
    for first, second in product(SIGNS["arrival"].answers, SIGNS["rate"].answers):
        found = posterior({"arrival": first, "rate": second})
        joint = {
            one: prior[one] * SIGNS["arrival"].likelihood(first, one)
            * SIGNS["rate"].likelihood(second, one)
            for one in prior
        }  # fmt: skip
        assert found == pytest.approx({one: joint[one] / sum(joint.values()) for one in prior})


def test_two_causes_leave_a_sign_quiet_only_together():
    rate = SIGNS["rate"]
    quiet = rate.likelihood("not shown", ("prevalence", "concept"))
    assert quiet == pytest.approx(0.5 * 0.84)
    assert len(PAIRS) == 6


@pytest.mark.parametrize("code", ["REFERENCE_OTHER_RELEASE", "CLOCK_BACKWARDS"])
@pytest.mark.parametrize("evidence", [Evidence(moved=IMAGE), Evidence(auc_loss=True)])
def test_evidence_in_doubt_is_a_question(code, evidence):
    triage = decide(replace(evidence, codes=("SCANNER_NEW", code)))
    assert triage.action == "ask"
    assert triage.reason.endswith("A person decides; nothing is started.")
    assert decide(replace(evidence, codes=("SCANNER_NEW",))).action != "ask"


@pytest.mark.parametrize("moved", [{}, SCORE, IMAGE, HEADER, AGE, MISSING, SCORE | AGE])
def test_a_loss_that_outcomes_show_always_starts_the_flow(moved):
    for level in (ONE, ALL):
        triage = decide(Evidence(moved=moved, outcome=LOWER, shifts=QUIET, **level))
        assert triage.starts_run or triage.action == "quarantine"


def test_what_is_not_watched_says_nothing():
    assert set(read_signs(Evidence(moved=SCORE))) == {"arrival", "images", "scores", "machine"}
    known = read_signs(Evidence(moved=SCORE, shifts=QUIET, outcome=Outcomes(), **ALL))
    assert set(SIGNS) - set(known) == {"onset"}


@pytest.mark.parametrize(
    ("shifts", "answer"),
    [
        ({"age_years": 0.5, "mean_intensity": 0.4, "sharpness": -0.5}, "no more than age"),
        ({"age_years": -0.5, "mean_intensity": 0.4, "sharpness": 0.0}, "no more than age"),
        ({"age_years": 0.5, "mean_intensity": 0.4, "sharpness": -0.6}, "moved"),
        ({}, "moved"),
    ],
)
def test_age_explains_images_that_moved_no_further(shifts, answer):
    assert read_signs(Evidence(moved=IMAGE | AGE, shifts=shifts))["images"] == answer
    assert read_signs(Evidence(moved=IMAGE, shifts=shifts))["images"] == "moved"


def test_weights_are_told_heaviest_first():
    triage = decide(Evidence(moved=IMAGE | SCORE, scanner_new=True))
    assert triage.weights[0][0] == "The scanner is: a new scanner"
    for seen, weights in triage.weights:
        assert ": " in seen
        assert set(weights) == set(CAUSES)
    heaviest = [max(map(abs, weights.values())) for _, weights in triage.weights]
    assert heaviest == sorted(heaviest, reverse=True)
    row = weight_of("rate", "more")
    assert row["prevalence"] == max(row.values()) > math.log(10)
    assert row["data_fault"] < 0


def test_reasons_name_what_moved_and_what_is_done():
    evidence = Evidence(moved=IMAGE | SCORE, shifts={"mean_intensity": 2.04, "score": -1.0})
    assert decide(evidence).reason == (
        "The images differ (mean intensity +2.0 SD, sharpness +0.0 SD), and with them "
        "score -1.0 SD. Its operating point is recalibrated at once and a candidate is trained."
    )
    fault = Evidence(moved=MISSING, incomplete_rate=0.9, incomplete_rate_reference=0.02)
    assert decide(fault).reason.startswith("90% of exams lack a view or had a file refused; in")
    asked = decide(Evidence(moved=MISSING | IMAGE, incomplete_rate=0.1)).reason
    assert "a fault of the data (68%) or images that are made otherwise (26%)" in asked


def test_the_page_of_triage_is_what_the_code_does():
    assert PAGE.read_text() == make_page(), "run python -m tests.monitoring.triage_page"


def test_a_quality_code_alone_is_no_distance():
    """No exam of the reference has one: any lies endlessly far, which tells nothing."""
    seen = Evidence(
        moved={"image": ("quality", "mean_intensity")},
        robust={"quality": 1000.0, "mean_intensity": 23.0},
        quality_rate=0.75,
        exams=20,
    )
    assert seen.extremes == ("mean_intensity",)
    triage = decide(seen)
    assert triage is not None
    assert triage.cause == "data_fault"
    assert "23 SD" in triage.reason
