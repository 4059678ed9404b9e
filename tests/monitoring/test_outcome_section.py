"""What the pages say of outcomes, from figures that the monitor itself makes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from monitoring.estimate import Agreement, Scored, estimate_performance
from monitoring.maturity import Followed, MaturityConfig, maturity_table
from monitoring.outcome_findings import OutcomeFindings
from monitoring.outcome_section import outcomes_section

QUICK = MaturityConfig(resamples=50)


def followed(others_verified: float, exams: int = 2000) -> Followed:
    """Exams of two years ago, 2 in 100 with cancer; of those not recalled a share is known."""
    rng = np.random.default_rng(1)
    cancer = rng.random(exams) < 0.02
    logit = rng.standard_normal(exams) + 2.0 * cancer
    recall = logit > 1.3
    told = recall | (rng.random(exams) < others_verified)
    day = np.zeros(exams)
    told_day = np.where(told, 30.0, np.inf)
    cancer_day = np.where(told & cancer, 30.0, np.inf)
    return Followed(np.arange(exams), logit, recall, day, told_day, cancer_day)


def outcomes(**changes):
    return {"outcomes": {
        "exams": 2000, "known": 240, "findings": OutcomeFindings().to_dict(), "maturity": [],
        "estimate": {}, "codes": [], "notes": [],
    } | changes}  # fmt: skip


def text(report) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", outcomes_section(report)).split())


@pytest.mark.parametrize(
    ("verified", "says"),
    [(0.0, r"Sensitivity 0\.\d{3} to 1\.000"), (1.0, r"Sensitivity 0\.\d{3} \( 0")],
    ids=["only the recalled are verified: bounds", "all are verified: corrected"],
)
def test_figures_by_maturity_say_who_was_verified(verified, says):
    table = maturity_table(followed(verified), 800.0, QUICK, {})
    report = outcomes(maturity=list(table.values()))
    shown = text(report)
    assert all(f"{months} months" in shown for months in (3, 12, 24))
    assert f"100% recalled, {verified:.0%} others" in shown
    assert re.search(says.replace(r"\( 0", r"\(0"), shown)
    assert "exams that are as old, no others" in shown


def test_exams_too_young_for_a_maturity_have_no_row():
    table = maturity_table(followed(1.0), 100.0, QUICK, {})
    shown = text(outcomes(maturity=list(table.values())))
    assert "3 months" in shown and "12 months" not in shown


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (OutcomeFindings(), "Nothing is confirmed by outcomes"),
        (
            OutcomeFindings(rank_confirmed=True, rank_shift=-0.8, rank_low=-1.1, rank_high=-0.5),
            "ranks cancers lower than it did, by -0.80 SD (95% -1.10 to -0.50)",
        ),
        (
            OutcomeFindings(rate_confirmed=True, direction="up", rate_ratio=(2.0, 1.5, 2.7)),
            "more cancers per exam than in the reference: ×2.00 (95% 1.50 to 2.70)",
        ),
    ],
    ids=["nothing", "concept", "prevalence"],
)
def test_what_outcomes_confirm_is_said(found, says):
    assert says in text(outcomes(findings=found.to_dict()))


@pytest.mark.parametrize("left", [False, True])
def test_an_estimate_says_what_it_assumes_or_why_there_is_none(left):
    rng = np.random.default_rng(2)
    probability = rng.beta(0.2, 12, 5000)
    pending = Scored(probability, probability > 0.1)
    agreement = Agreement(found=40, expected=41.0, among="in production")
    told = estimate_performance(pending, [agreement], left_reference=left)
    shown = text(outcomes(estimate=told))
    if left:
        assert "No estimate without outcomes: the embeddings have left the reference" in shown
    else:
        assert re.search(r"Sensitivity 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", shown)
        assert "It assumes: the probabilities are calibrated for these women" in shown
        found = re.search(r"Cancers found per 1,000 exams ([\d.]+)", shown)
        assert found is not None
        assert float(found[1]) == pytest.approx(1000 * told["detection_rate"]["value"], abs=0.05)


def test_a_lost_auc_is_no_contradiction_to_a_control_that_ranked_nothing():
    performance = {"exams": 90, "positives": 31, "auc": None, "reference": None, "loss": True,
                   "note": ""}  # fmt: skip
    shown = text(outcomes() | {"performance": performance})
    assert "Confirmed: the AUC of all known outcomes is below" in shown
    assert "Nothing is confirmed" not in shown


def test_before_any_outcome():
    assert text({}) == "No outcome has come."
