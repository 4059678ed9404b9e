"""What the gate makes of a release's predecessors, its account and its installation."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mammo.evaluation.gate import Check, GateConfig, Scored, decide
from mammo.evaluation.gate_bounds import Loss, holm, measure
from mammo.evaluation.metrics import sensitivity_at_recall_statistic

CONFIG = replace(GateConfig.demo(), resamples=400)


def golden_set(rng, exams=400, cancers=130, auc=0.88, noise=0.3, **columns):
    """Champion and challenger of one AUC that differ by a little noise; one exam a patient."""
    labels = np.arange(exams) % exams < cancers
    champion = rng.normal(size=exams) + np.sqrt(2) * stats.norm.ppf(auc) * labels
    challenger = champion + noise * rng.normal(size=exams)
    columns = {name: np.asarray(value) for name, value in columns.items()}
    return Scored(labels, np.arange(exams).astype(str), champion, challenger, **columns)


def judge(golden, config=CONFIG, **changes):
    arguments = {"challenger_id": "r-3", "champion_id": "r-2", "target_recall_rate": 0.35}
    return decide(golden, None, config=config, **(arguments | changes))


def with_earlier(golden, **earlier):
    return replace(golden, earlier_scores=earlier)


@pytest.mark.parametrize(
    ("earlier", "state", "text"),
    [
        ([], "not judged", "No original champion was given."),
        (["r-2"], "not judged", "The champion r-2 is the original."),
        (["r-3", "r-2"], "not judged", "The challenger r-3 is the original."),
        (["r-1", "r-2"], "failed", "Golden AUC of the original champion r-1 1.000, now 0."),
    ],
    ids=["none", "champion", "challenger", "another"],
)
def test_the_original_champion_is_the_first_release_given(earlier, state, text):
    golden = golden_set(np.random.default_rng(0))
    perfect = golden.labels.astype(float)
    scores = {"r-1": perfect, "r-2": golden.champion_scores, "r-3": golden.challenger_scores}
    decision = judge(
        with_earlier(golden, **{name: scores[name] for name in earlier}),
        config=replace(CONFIG, margin_original=0.05),
    )
    clause = decision.clause("original_auc_non_inferior")
    assert clause.state == state
    assert text in clause.text


def test_small_losses_against_each_champion_add_up_against_the_original():
    rng = np.random.default_rng(1)
    golden = golden_set(rng, 3000, 500)
    original = golden.champion_scores + 0.9 * golden.labels
    decision = judge(with_earlier(golden, first=original), config=GateConfig(resamples=400))
    assert decision.failed == ["original_auc_non_inferior"]


SITE = np.where(np.arange(400) % 2, "north", "south")
PERIOD = np.where(np.arange(400) % 4 < 2, "2024", "2025")


def forgetful(rng):
    """The challenger guesses at south in 2024; at north in 2025 an earlier one was the best."""
    golden = golden_set(rng, site=SITE, period=PERIOD)
    lost = (SITE == "south") & (PERIOD == "2024")
    guessed = np.where(lost, rng.normal(size=400), golden.challenger_scores)
    best = (SITE == "north") & (PERIOD == "2025")
    first = np.where(best, golden.champion_scores + 0.5 * golden.labels, rng.normal(size=400))
    return replace(golden, challenger_scores=guessed, earlier_scores={"r-1": first})


def test_what_is_forgotten_is_named_by_site_and_period():
    decision = judge(forgetful(np.random.default_rng(2)))
    clause = decision.clause("forgetting")
    assert clause.state == "failed"
    assert "not shown for south 2024." in clause.text
    assert clause.limit == -CONFIG.margin_forgetting


def test_the_matrix_holds_every_release_and_who_was_best_in_each_cell():
    matrix = json.loads(json.dumps(judge(forgetful(np.random.default_rng(2))).to_dict()))[
        "forgetting"
    ]
    assert matrix["rows"] == ["r-1", "r-2", "r-3"]
    assert matrix["cells"] == ["north 2024", "north 2025", "south 2024", "south 2025"]
    assert matrix["best"] == ["r-2", "r-1", "r-2", "r-2"]
    assert matrix["auc"][0][1] > matrix["auc"][1][1] > matrix["auc"][0][0]
    assert matrix["auc"][2][2] < 0.7 < matrix["auc"][1][2]
    assert matrix["exams"] == [100] * 4
    assert sum(matrix["cancers"]) == 130


def test_a_release_that_was_in_service_before_is_not_compared_with_itself():
    golden = forgetful(np.random.default_rng(2))
    again = with_earlier(golden, **{"r-1": golden.champion_scores, "r-3": golden.champion_scores})
    assert judge(again).forgetting["rows"] == ["r-1", "r-2", "r-3"]


def test_a_cell_with_few_cancers_is_listed_and_not_judged():
    golden = golden_set(np.random.default_rng(3), site=SITE)
    site = np.array(SITE, dtype=object)
    site[:3] = "west"
    decision = judge(replace(golden, site=site))
    assert decision.clause("forgetting").state == "passed"
    assert "6 of each needed: west (3 with cancer, 0 without)" in decision.clause("forgetting").text
    column = decision.forgetting["cells"].index("west")
    assert [row[column] for row in decision.forgetting["auc"]] == [None, None]
    assert decision.forgetting["best"][column] is None


@pytest.mark.parametrize(
    ("checks", "state", "text"),
    [
        ((), "not judged", "The installation was not checked."),
        ((Check("loads", True, "Loaded."),), "passed", "1 of 1 checks passed. loads: Loaded."),
        (
            (Check("loads", True, "Loaded."), Check("leak", False, "3 golden images.")),
            "failed",
            "1 of 2 checks passed, all must. leak: 3 golden images.",
        ),
    ],
    ids=["none", "all", "one fails"],
)
def test_every_check_of_the_installation_must_pass(checks, state, text):
    decision = judge(golden_set(np.random.default_rng(0)), infrastructure=checks)
    clause = decision.clause("infrastructure")
    assert (clause.state, clause.text) == (state, text)
    assert decision.passed == (state != "failed")


def test_the_level_is_the_ledgers_and_every_bound_is_read_at_it():
    golden = golden_set(np.random.default_rng(4), scanner=SITE, site=SITE)
    golden = with_earlier(golden, first=golden.champion_scores + 0.01)
    account = {"number": 3, "alpha": 0.002, "left": 0.1}
    loose, strict = judge(golden), judge(golden, alpha=0.002, ledger=account)
    assert (loose.alpha, strict.alpha, strict.ledger) == (CONFIG.alpha, 0.002, account)
    for name in ("golden_auc_non_inferior", "original_auc_non_inferior", "sensitivity_at_recall",
                 "subgroups", "forgetting"):  # fmt: skip
        assert strict.clause(name).low < loose.clause(name).low
    assert strict.power["probability"] <= loose.power["probability"]


def test_a_golden_set_too_small_for_the_margin_says_how_many_exams_would_do():
    golden = golden_set(np.random.default_rng(5), 60, 20, noise=1.0)
    golden = replace(golden, challenger_scores=golden.champion_scores + 0.6 * golden.labels
                     + 0.5 * np.random.default_rng(6).normal(size=60))  # fmt: skip
    decision = judge(golden, config=replace(CONFIG, margin_auc=0.02, min_power=0.5))
    wanted = f"{decision.power['exams_for_80_percent']:.0f}"
    assert decision.passed
    assert decision.power["probability"] < 0.5
    assert f"with {wanted} exams of this mix" in decision.clause("golden_auc_non_inferior").text
    assert "below 50% a person must approve" in decision.approval
    assert f"{wanted} golden exams of this mix, instead of 60" in decision.approval


def test_numbers_that_are_enough_need_no_approval():
    assert judge(golden_set(np.random.default_rng(0))).approval is None


def test_a_refused_challenger_is_not_sent_to_a_person():
    golden = golden_set(np.random.default_rng(5), 60, 20)
    flipped = replace(golden, challenger_scores=-golden.champion_scores)
    assert judge(flipped, config=replace(CONFIG, margin_auc=0.02)).approval is None


def test_a_broken_column_of_an_earlier_release_is_named():
    with pytest.raises(ValueError, match="earlier_scores of r-1: 3 scores for 400 labels"):
        with_earlier(golden_set(np.random.default_rng(0)), **{"r-1": np.zeros(3)})


def test_a_bound_beyond_the_resamples_goes_on_and_never_jumps():
    loss = Loss(0.0, np.random.default_rng(0).normal(size=2000), 10**6)
    levels = np.array([0.02, 0.014, 0.0125, 0.011, 1e-3, 1e-4, 1e-6])
    lows = np.array([loss.low(level) for level in levels])
    assert np.all(np.diff(lows) < 0)
    assert np.max(np.abs(lows - stats.norm.ppf(levels))) < 0.35
    assert loss.high(1e-4) == pytest.approx(-loss.low(1e-4), abs=0.4)


def test_holm_judges_the_worst_at_alpha_and_the_best_at_a_share_of_it():
    rng = np.random.default_rng(0)
    losses = {
        name: Loss(mean, mean + 0.01 * rng.normal(size=2000), 1000)
        for name, mean in {"a": 0.0, "b": -0.02, "c": -0.05}.items()
    }
    found = holm(losses, 0.06, 0.025)
    assert (found.order, found.failed, found.worst) == (["a", "b", "c"], ["c"], "c")
    assert found.low["c"] == losses["c"].low(0.025)
    assert found.low["a"] == losses["a"].low(0.025 / 3)


def test_auc_and_sensitivity_are_the_usual_ones_with_ties_and_several_exams_a_patient():
    rng = np.random.default_rng(7)
    golden = golden_set(rng)
    golden = replace(
        golden,
        challenger_scores=np.round(golden.challenger_scores),
        patients=rng.integers(0, 150, 400).astype(str),
    )
    found = measure(golden, {"r": golden.challenger_scores}, CONFIG, 0.1).sensitivity["r"][0]
    fast = measure(golden, {"r": golden.challenger_scores}, CONFIG).auc["r"]
    assert fast == pytest.approx(
        measure(golden, {"r": golden.challenger_scores}, CONFIG, 0.1).auc["r"], abs=1e-12
    )
    usual = sensitivity_at_recall_statistic(golden.labels, golden.challenger_scores, 0.1)
    assert found == pytest.approx(usual(np.ones((1, 400)))[0], abs=1e-12)
