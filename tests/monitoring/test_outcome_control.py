from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from monitoring.config import MonitorConfig
from monitoring.outcome_arm import concept_curve
from monitoring.outcome_bets import Detector, RankBook, RateBook, fall_gains, rank_scores
from monitoring.outcome_blocks import Waiting, ready_blocks
from monitoring.outcome_control import OutcomeControl
from monitoring.outcome_estimates import NO_RATIO, concept_log_odds, rank_estimate, rate_estimate
from monitoring.outcome_findings import OutcomeConfig, ScoredExams
from monitoring.placement import placements

CONFIG = OutcomeConfig()


class Year(NamedTuple):
    day: np.ndarray
    logit: np.ndarray
    recall: np.ndarray
    cancer: np.ndarray
    outcome_day: np.ndarray

    @property
    def exams(self) -> ScoredExams:
        return ScoredExams.of(*self)


def year(
    seed: int,
    exams: int = 12_000,
    *,
    rate: float = 0.02,
    late_rate: float | None = None,
    auc: float = 0.9,
    late_auc: float | None = None,
    late_score: float = 0.0,
    late_days: float = 0.0,
) -> Year:
    """A year with twice the usual cancers, to be quick; what is "late" holds from day 100 on."""
    rng = np.random.default_rng(seed)
    day = np.arange(exams) / exams * 365
    late = day >= 100
    cancer = rng.random(exams) < np.where(late, late_rate or rate, rate)
    skill = np.sqrt(2) * ndtri(np.where(late, late_auc or auc, auc))
    logit = rng.standard_normal(exams) + skill * cancer + late_score * late
    recall = logit > ndtri(0.9)
    wait = np.where(recall, rng.uniform(10, 60, exams), rng.uniform(365, 730, exams))
    return Year(day, logit, recall, cancer, day + wait + late_days * late)


REFERENCE = year(1)


@pytest.fixture(scope="module")
def control() -> OutcomeControl:
    return OutcomeControl.start(REFERENCE.logit, REFERENCE.cancer, REFERENCE.recall, CONFIG)


@pytest.mark.parametrize(
    ("change", "rank", "direction"),
    [
        ({}, False, ""),
        ({"late_rate": 0.05}, False, "up"),
        ({"late_rate": 0.007}, False, "down"),
        # there are fewer cancers as well, but the ranks tell why
        ({"late_auc": 0.6}, True, ""),
        ({"late_score": 0.5}, False, ""),  # a scanner scores higher: more recalls, no concept
        ({"late_days": 91}, False, ""),  # outcomes come three months later, nothing else
    ],
)
def test_what_changed_is_named(control, change, rank, direction):
    found = control.run(*year(2, **change))
    assert (found.rank_confirmed, found.direction) == (rank, direction)
    assert found.confirmed == (rank or bool(direction))


def test_estimates_hold_the_truth(control):
    held = 0
    for seed in range(30, 40):
        value, low, high = control.run(*year(seed, rate=0.04)).rate_ratio
        assert low < value < high
        held += low < 2 < high
    assert held >= 8
    found = control.run(*year(3))
    assert found.rank_low < 0 < found.rank_high
    lost = control.run(*year(3, late_auc=0.6))
    assert lost.rank_high < 0
    assert lost.concept_log_odds > 1
    assert control.run(*year(3, late_rate=0.007)).concept_log_odds < 0


def test_more_recalls_are_no_more_cancers(control):
    # twice as many recalls find some more cancers, all of them low
    exams = year(15, 24_000)
    recall = exams.logit > ndtri(0.8)
    told = np.where(recall, exams.day + 30, exams.outcome_day)
    more = exams._replace(recall=recall, outcome_day=told)
    found, usual = control.run(*more), control.run(*exams)
    assert found.rate_ratio[0] == pytest.approx(usual.rate_ratio[0], abs=0.1)
    assert found.rank_shift == pytest.approx(usual.rank_shift, abs=0.1)
    assert found.ppv_ratio[0] < 0.7
    assert not found.confirmed


def test_the_order_in_which_outcomes_come_is_no_evidence(control):
    exams = year(4)
    sooner = np.where(exams.cancer, exams.day + 5, exams.outcome_day)
    quick = control.run(*exams._replace(outcome_day=sooner), until=400)
    usual = control.run(*exams, until=400)
    assert quick.rate_ratio == usual.rate_ratio
    assert quick.evidence == usual.evidence


def test_what_was_taken_is_not_taken_again_and_goes_through_json(control):
    exams = year(5, late_auc=0.6)
    at_once = control.run(*exams)
    step = OutcomeControl.from_dict(json.loads(json.dumps(control.to_dict())), CONFIG)
    for until in (20, 90, 90, 91.5, 200, 365):
        seen = exams.day <= until
        step.take(ScoredExams.of(*(one[seen] for one in exams)), until)
        step = OutcomeControl.from_dict(json.loads(json.dumps(step.to_dict())), CONFIG)
    found = step.findings()
    assert found.evidence == pytest.approx(at_once.evidence, abs=2e-3)
    assert (found.rank_day, found.exams_taken) == (at_once.rank_day, at_once.exams_taken)
    assert step.take(exams.exams, 365) == 0


def test_state_does_not_grow(control):
    sizes = []
    for exams in (12_000, 60_000):
        one = OutcomeControl.from_dict(control.to_dict(), CONFIG)
        one.take(year(6, exams).exams, 365)
        sizes.append(len(json.dumps(one.to_dict())))
    assert sizes[1] < 3 * sizes[0]
    assert sizes[1] < 200_000


def test_a_restart_forgets_the_evidence(control):
    one = OutcomeControl.from_dict(control.to_dict(), CONFIG)
    one.take(year(2, late_auc=0.6).exams, 365)
    assert one.findings().rank_confirmed
    taken = one.taken
    one.restart()
    found = one.findings()
    assert not found.confirmed
    assert set(found.evidence.values()) == {0.0}
    assert one.taken == taken


@pytest.mark.parametrize("unknown", [[None] * 300, pd.array([pd.NA] * 300, "Int8"), [0] * 300])
def test_a_reference_without_cancers_learns_from_production(unknown):
    logit = np.linspace(-2, 2, 300)
    one = OutcomeControl.start(logit, unknown, logit > 1.5, CONFIG)
    found = one.run(*year(7))
    assert found.rate_ratio == NO_RATIO
    assert not found.confirmed
    # what changes in production is found all the same, against what came before it
    fewer = one.run(*year(7, late_rate=0.004))
    assert (fewer.rank_confirmed, fewer.direction) == (False, "down")
    assert fewer.rate_ratio[2] < 1
    assert one.run(*year(7, 60_000, late_auc=0.6)).rank_confirmed


def test_no_exam_and_one_exam(control):
    nothing = control.run([], [], [], [], [])
    assert (nothing.confirmed, nothing.exams_taken, nothing.rank_shift) == (False, 0, None)
    assert control.run([0.0], [3.0], [True], [True], [1.0], until=500).exams_taken == 0


def test_a_reference_verified_throughout_ranks_every_cancer():
    rng = np.random.default_rng(8)
    cancer = rng.random(200) < 0.3
    logit = rng.standard_normal(200) + 2.5 * cancer
    one = OutcomeControl.start(logit, cancer, logit > 1, CONFIG)
    blind = rng.standard_normal(150) * 1.5 + 0.75
    told = rng.random(150) < 0.3
    found = one.run(np.zeros(150), blind, blind > 1, told, np.full(150, 0.5), until=1)
    assert found.evidence["everyone rank"] >= 1
    assert found.rank_confirmed
    assert found.rank_high < 0


def test_the_share_of_the_budget_is_the_monitors():
    config = OutcomeConfig.of(MonitorConfig(false_alarms_a_year=2.0, outcome_share=0.2))
    assert config.false_alarms_a_year == pytest.approx(0.4)


@pytest.mark.slow
def test_a_quiet_year_keeps_the_budget():
    confirmed = 0
    for seed in range(60):
        reference, quiet = year(1000 + seed, 6000), year(5000 + seed, 6000)
        one = OutcomeControl.start(reference.logit, reference.cancer, reference.recall, CONFIG)
        confirmed += one.run(*quiet).confirmed
    # a budget of 0.05 a year at 55,000 exams: 0.3 expected in 60 such years at most
    assert confirmed <= 3


# bets


@pytest.mark.parametrize("reference", [0, 5, 60])
@pytest.mark.parametrize("shift", [0.25, 1.0])
def test_a_bet_on_ranks_is_fair(reference, shift):
    rng = np.random.default_rng(9)
    finals = []
    for _ in range(400):
        book = RankBook.start(np.round(rng.standard_normal(reference), 1), 1000)
        intervals = book.ranks(np.round(rng.standard_normal(12), 1))  # ties
        finals.append(np.exp(fall_gains(intervals, np.array([shift])).sum()))
    assert np.mean(finals) < 1 + 4 * np.std(finals) / np.sqrt(len(finals))


def test_ranks_score_as_a_normal_does():
    book = RankBook.start(np.linspace(0, 1, 1000), 1000)
    intervals = book.ranks(np.array([0.025, 0.5, 0.975, -1.0]))
    assert rank_scores(intervals)[:3] == pytest.approx([-1.96, 0, 1.96], abs=0.02)
    assert rank_scores(intervals)[3] < -3


@pytest.mark.parametrize(("rate", "others", "ratio"), [(0.3, 120, 0.5), (0.02, 2000, 2.0)])
def test_a_bet_on_the_rate_pays_where_it_is_right(rate, others, ratio):
    rng = np.random.default_rng(10)
    cancers = rate * others
    for truth, sign in ((rate * ratio, 1), (rate, -1)):
        exams = (rng.random(4000) < truth).astype(float)
        book = RateBook(cancers, others - cancers, others)  # full: learns nothing
        gain = book.gains(exams, np.ones(4000), np.array([ratio])).sum()
        assert np.sign(gain) == sign
        assert (book.cancers, book.others) == (cancers, others - cancers)


def test_a_book_learns_until_it_is_full():
    book = RateBook(1, 9, 13)
    book.gains(np.array([1.0, 0, 1, 1, 1]), np.array([1.0, 1, 0.5, 1, 1]), np.array([2.0]))
    assert (book.cancers, book.others) == (3, 10)
    ranks = RankBook.start(np.array([0.1, 0.9]), 3)
    ranks.ranks(np.array([0.5, 0.7]))
    assert ranks.placements == [0.1, 0.5, 0.9]
    assert RankBook.start(np.linspace(0, 1, 101), 3).placements == [0, 0.5, 1]


def test_exams_without_a_known_outcome_bet_nothing():
    book = RateBook(20, 980, 1e6)
    gains = book.gains(np.ones(3), np.zeros(3), np.array([2.0]))
    assert gains == pytest.approx(0)
    assert (book.cancers, book.others) == (20, 980)


def test_blocks_taken_together_are_blocks_taken_one_by_one():
    rng = np.random.default_rng(11)
    gains, years = rng.normal(-0.1, 0.5, (40, 3)), np.full(40, 0.01)
    together, single = Detector.start(3), Detector.start(3)
    logs = together.take(gains, years).log_sum
    for row in range(40):
        last = single.take(gains[row : row + 1], years[row : row + 1]).log_sum[0]
        assert last == pytest.approx(logs[row])
    assert single.cusum == pytest.approx(together.cusum)
    assert (single.since == together.since).all()
    total = np.zeros(3)
    for row in gains:
        total = np.maximum(0, total + row)
    assert together.cusum == pytest.approx(total)


# blocks


@pytest.mark.parametrize(
    ("outcomes", "day", "passed"),
    [
        ((10, 20), 20, False),  # complete
        ((10, np.inf), 91, False),  # half of them known at maturity
        ((100, np.inf), 100, False),  # half of them known later
        ((np.inf, np.inf), 365, True),  # given up
    ],
)
def test_a_block_waits_for_its_recalled(outcomes, day, passed):
    needed = np.array([True, False, True, False])
    known = np.array([outcomes[0], np.inf, outcomes[1], np.inf])
    ready = ready_blocks(np.zeros(4), known, needed, 4, Waiting(91, 365))
    assert (ready.day[0], bool(ready.passed[0])) == (day, passed)


def test_blocks_keep_their_order_and_half_blocks_wait():
    needed, known = np.array([True, True, False, False, True]), np.array([50.0, 9, 99, 99, 1])
    ready = ready_blocks(np.zeros(5), known, needed, 1, Waiting(91, 365))
    assert ready.day.tolist() == [50, 50, 50, 50, 50]
    assert len(ready_blocks(np.zeros(5), known, needed, 2, Waiting(91, 365)).day) == 2


# placements and estimates


@pytest.mark.parametrize("move", [lambda one: one, lambda one: 3 * one - 1])
def test_a_placement_is_the_share_of_neighbours_below(move: Callable[[np.ndarray], np.ndarray]):
    logit = move(np.array([0.0, 1, 2, 3, 2.5, 9]))
    cancer = np.array([False, False, False, False, True, True])
    found = placements(np.array([4]), logit, cancer, least=2)
    assert found.tolist() == [0.75]
    assert np.isnan(placements(np.array([4]), logit, cancer, least=5)).all()


def test_a_placement_is_among_the_same_stratum_and_the_nearest():
    logit = np.concatenate([np.zeros(50), np.ones(50), [0.5], np.zeros(10)])
    cancer = np.arange(111) == 100
    stratum = np.array(["a"] * 50 + ["b"] * 51 + ["a"] * 10)
    assert placements(np.array([100]), logit, cancer, stratum).tolist() == [0.0]
    assert placements(np.array([100]), logit, cancer, neighbours=20).tolist() == [0.5]


def test_mean_placement_is_the_auc():
    from sklearn.metrics import roc_auc_score

    exams = year(12, 400, rate=0.2)
    rows = np.flatnonzero(exams.cancer)
    found = placements(rows, exams.logit, exams.cancer, neighbours=400)
    assert found.mean() == pytest.approx(roc_auc_score(exams.cancer, exams.logit))


@pytest.mark.parametrize(
    ("count", "among", "before", "before_among", "ratio"),
    [(20, 1000, 10, 1000, 2.0), (0, 100, 10, 1000, 0.0), (10, 1000, 0, 1000, None)],
)
def test_the_ratio_of_two_rates(count, among, before, before_among, ratio):
    found = rate_estimate(count, among, before, before_among)
    assert (found is None) if ratio is None else found[0] == pytest.approx(ratio)
    assert found is None or found[1] <= found[0] <= found[2]


def test_the_ratio_of_equal_rates_covers_one_as_often_as_stated():
    rng = np.random.default_rng(13)
    pairs = rng.poisson(8, (300, 2))
    found = [rate_estimate(a, 1000, b, 1000) for a, b in pairs]
    held = [one is None or one[1] <= 1 <= one[2] for one in found]
    assert np.mean(held) >= 0.93


def test_ranks_need_cancers():
    assert rank_estimate(0, 0.0, 50) is None
    assert rank_estimate(4, -4.0, 1e9) == pytest.approx((-1, -1.98, -0.02), abs=0.01)


@pytest.mark.parametrize(
    ("cancers", "mean_rank", "sign"),
    [
        (70, -0.3, 1),  # fewer and lower
        (70, 0.1, -1),  # fewer, ranked as before
        (200, 0.0, -1),  # more
        (200, -0.3, -1),  # more and lower: lost ground does not find more
    ],
)
def test_ranks_and_rate_together_name_the_cause(cancers, mean_rank, sign):
    ranked = min(cancers, 90)
    sums = np.array([10_000, cancers, 1000, ranked, ranked * mean_rank])
    assert np.sign(concept_log_odds(sums, 100, 10_000, 0.7)) == sign


def test_few_cancers_before_convince_of_nothing():
    sums = np.array([10_000, 70, 1000, 70, -0.4 * 70])
    many, few = (concept_log_odds(sums, n, n * 100, 0.7) for n in (400, 4))
    assert abs(few) < many
    assert concept_log_odds(sums, 0, 100, 0.7) == 0


@pytest.mark.parametrize("sensitivity", [0.3, 0.7, 0.95])
def test_cancers_that_lose_ground_are_fewer_and_lower(sensitivity):
    rng = np.random.default_rng(14)
    ratios, falls = concept_curve(sensitivity)
    score = rng.standard_normal(200_000)
    threshold = ndtri(1 - sensitivity)
    before, after = score[score > threshold], score[score - 0.5 > threshold] - 0.5
    ranks = np.searchsorted(np.sort(before), after) / len(before)
    fall = -ndtri(ranks.clip(1e-6, 1 - 1e-6)).mean()
    assert np.interp(0.5, np.linspace(0, 2.5, 26), ratios) == pytest.approx(
        len(after) / len(before), abs=0.01
    )
    assert np.interp(0.5, np.linspace(0, 2.5, 26), falls) == pytest.approx(fall, abs=0.03)
