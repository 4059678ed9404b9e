"""The benchmark of decisions: its world, its learner, its gates and its figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.continual.decisions import judging
from benchmarks.continual.decisions.__main__ import main
from benchmarks.continual.decisions.compare import Asked, compare, read_kept
from benchmarks.continual.decisions.exams import SEALED, Exams
from benchmarks.continual.decisions.figures import describe, ratio, regained
from benchmarks.continual.decisions.happenings import turned
from benchmarks.continual.decisions.judging import TOO_SMALL, Gate, Release, is_higher
from benchmarks.continual.decisions.known import SETTLED_DAYS, Known
from benchmarks.continual.decisions.learner import (
    Labelled,
    Lines,
    calibrated,
    first_lines,
    fit_lines,
    for_training,
    thin,
)
from benchmarks.continual.decisions.page import PAGE, write_page
from benchmarks.continual.decisions.planted import WRONG_JOIN, spoil
from benchmarks.continual.decisions.plots import draw_all
from benchmarks.continual.decisions.points import set_points
from benchmarks.continual.decisions.policies import POLICIES, Policy, policy
from benchmarks.continual.decisions.programme import Programme, draw_programme
from benchmarks.continual.decisions.record import make_record
from benchmarks.continual.decisions.result import Mended, summarise
from benchmarks.continual.decisions.service import is_harm, run
from benchmarks.continual.decisions.skill import Judge
from benchmarks.continual.scores import RECALL_RATE

DAYS = 400


@pytest.fixture(scope="module")
def programme() -> Programme:
    """Two years, one event in the first."""
    return draw_programme(number=0, years=2, seed=11)


@pytest.fixture(scope="module")
def first(programme: Programme) -> Lines:
    return first_lines(programme, np.random.default_rng(0))


@pytest.fixture(scope="module")
def known(programme: Programme, first: Lines) -> Known:
    """What is known after `DAYS` days of the first release."""
    known = Known(programme)
    rows = known.rows(int(programme.exams.day[0]), DAYS)
    exams = programme.exams.at(np.arange(rows.start, rows.stop))
    points = set_points(known, first, 0)
    known.take(rows, Release(0, first, points).recalls(exams))
    return known


def drilled(lines: Lines, by: float) -> Lines:
    """Return lines of which a part is noise."""
    noise = np.random.default_rng(3).standard_normal(lines.shared.shape)
    return Lines(lines.shared + by * noise * np.linalg.norm(lines.shared), lines.own)


def test_turned_cancers_are_as_far_away_and_the_old_direction_keeps_the_cosine() -> None:
    rng = np.random.default_rng(1)
    root = rng.standard_normal((32, 32))
    covariance, direction = root @ root.T + np.eye(32), rng.standard_normal(32)
    inner = np.linalg.inv(covariance)
    new = direction + turned(direction, 0.7, covariance, rng)
    length = direction @ inner @ direction
    assert new @ inner @ new == pytest.approx(length)
    assert new @ inner @ direction == pytest.approx(np.cos(0.7) * length)


def test_a_change_costs_auc_where_it_acts_and_nowhere_else(first: Lines) -> None:
    programme = draw_programme(number=1, years=2, seed=11)  # an upgrade
    event = programme.happenings[0]
    assert event.change is not None
    judge = Judge(programme)
    before = judge.skill(first_lines(programme, np.random.default_rng(0)), -1)
    lines = first_lines(programme, np.random.default_rng(0))
    after = Judge(programme).skill(lines, event.change.day + event.change.ramp_days)
    concerned = programme.concerned(event)
    others = [place for place in range(programme.fleet) if place not in concerned]
    if event.turn:
        assert after.of(concerned) < before.of(concerned) - 0.01
    assert np.array_equal(after.auc[others], before.auc[others])


def test_the_truth_is_that_of_the_years(programme: Programme, first: Lines) -> None:
    """AUC and recall rate computed from the truth's sample, and counted on 78,000 exams."""
    exams = programme.exams
    rows = np.flatnonzero((exams.day < 0) & (exams.stratum == 0))
    scores = first.logit(exams.features[rows], exams.stratum[rows])
    counted = roc_auc_score(exams.cancer[rows], scores)
    judge = Judge(programme)
    assert judge.skill(first, -1).auc[0] == pytest.approx(counted, abs=0.04)
    cut = np.full(len(programme.strata), np.quantile(scores, 1 - RECALL_RATE))
    assert judge.recall_rates(first, cut, -1)[0] == pytest.approx(RECALL_RATE, rel=0.06)


def test_nothing_is_known_before_its_day(known: Known) -> None:
    everyone = np.arange(known.rows(0, DAYS).stop)
    told = known.cancers(everyone, DAYS)
    exams = known.programme.exams.at(everyone)
    assert 0 < told.sum() < exams.cancer.sum()
    assert not (told & ~exams.cancer).any()
    assert (known.outcome_day[everyone][told] <= DAYS).all()
    later = known.cancers(everyone, DAYS + 700).sum()
    assert told.sum() < later <= exams.cancer.sum()


def test_sealed_women_are_never_trained_on(known: Known) -> None:
    golden, _ = known.golden(DAYS)
    trained = known.training([0], 0, DAYS, replay=True, rng=np.random.default_rng(0))
    newest, _ = known.newest([0], 0, DAYS)
    sealed = set(golden.part)
    assert sealed.isdisjoint(trained.exams.part)
    assert sealed.isdisjoint(newest.part)
    assert set(newest.part).isdisjoint(trained.exams.part)
    assert trained.exams.day.max() < DAYS - SETTLED_DAYS


def test_without_replay_only_the_focus_is_seen(known: Known) -> None:
    rng = np.random.default_rng(0)
    alone = known.training([0], 100, DAYS, replay=False, rng=rng)
    both = known.training([0], 100, DAYS, replay=True, rng=rng)
    assert set(alone.exams.stratum) == {0}
    assert alone.exams.day.min() >= 100
    assert len(set(both.exams.stratum)) > 5


def test_an_opened_set_holds_women_since(known: Known) -> None:
    opened = replace_opened(known, 50)
    golden, cancer = opened.golden(DAYS)
    assert golden.day.min() >= 50
    assert (golden.part < SEALED).all()
    assert 0 < cancer.sum() <= golden.cancer.sum()


def replace_opened(known: Known, day: int) -> Known:
    other = Known(known.programme)
    other.recall, other.outcome_day, other.opened = known.recall, known.outcome_day, day
    return other


def test_the_learner_finds_a_planted_line() -> None:
    rng = np.random.default_rng(0)
    n, strata = 6000, 3
    truth = rng.standard_normal(33)
    x = rng.standard_normal((n, 33)).astype(np.float32)
    cancer = rng.random(n) < 1 / (1 + np.exp(-x @ truth))
    exams = Exams(np.arange(n), np.arange(n) % strata, x, cancer, np.ones(n), np.zeros((2, n)))
    lines = fit_lines(Labelled(exams, cancer, np.ones(n)), Lines.zero(strata))
    assert np.corrcoef(lines.shared[:-1], truth)[0, 1] > 0.99
    with pytest.raises(ValueError, match="both classes"):
        fit_lines(Labelled(exams, np.zeros(n, bool), np.ones(n)), Lines.zero(strata))


def test_a_strong_ridge_keeps_the_parent(programme: Programme, first: Lines) -> None:
    exams = programme.exams.at(np.flatnonzero(for_training(programme.exams))[:20_000])
    rows = thin(Labelled(exams, exams.cancer, np.ones(len(exams))), np.random.default_rng(0))
    kept = fit_lines(rows, first, strength=1e9)
    assert np.allclose(kept.shared[:-1], first.shared[:-1], atol=1e-3)


def test_thinned_rows_count_for_those_left_out(programme: Programme) -> None:
    exams = programme.exams.at(np.arange(30_000))
    rows = Labelled(exams, exams.cancer, np.ones(len(exams)))
    for most in (None, 1000):
        few = thin(rows, np.random.default_rng(0), most)
        assert len(few) <= (most or 11 * exams.cancer.sum())
        for cancer in (True, False):
            total = few.weight[few.cancer == cancer].sum()
            assert total == pytest.approx((exams.cancer == cancer).sum())


def test_calibration_takes_a_stretch_back(programme: Programme, first: Lines) -> None:
    exams = programme.exams.at(np.flatnonzero(programme.exams.day < 0))
    steep = Lines(3 * first.shared, 3 * first.own)
    mended = calibrated(steep, exams)
    assert np.linalg.norm(mended.shared) == pytest.approx(np.linalg.norm(first.shared), rel=0.2)
    none = exams.at(np.flatnonzero(~exams.cancer)[:100])
    assert calibrated(steep, none) is steep


def test_a_wrong_join_moves_labels_and_makes_none(programme: Programme) -> None:
    exams = programme.exams.at(np.arange(20_000))
    rows = Labelled(exams, exams.cancer, np.ones(len(exams)))
    wrong = spoil(rows, WRONG_JOIN, np.random.default_rng(0))
    assert wrong.cancer.sum() == rows.cancer.sum()
    assert (wrong.cancer & rows.cancer).sum() < 0.6 * rows.cancer.sum()
    assert spoil(rows, None, np.random.default_rng(0)) is rows


@pytest.mark.parametrize(
    ("recalled", "harm"), [(100, False), (125, False), (160, True), (80, False), (55, True)]
)
def test_the_guard_stops_a_rate_beyond_a_quarter(recalled: int, harm: bool) -> None:
    assert is_harm(recalled, 1000) == harm


def test_our_gate_refuses_the_worse_and_the_ledger_tells(known: Known, first: Lines) -> None:
    points = set_points(known, first, 0)
    champion = Release(0, first, points)
    gate = Gate(known, [champion])
    worse = Release(1, drilled(first, 0.25), set_points(known, drilled(first, 0.25), DAYS))
    verdict = gate.judge(worse, [0], 0, DAYS)
    assert not verdict.passed
    assert "golden_auc_non_inferior" in verdict.failed
    assert verdict.spent == verdict.alpha == pytest.approx(0.025)
    same = gate.judge(Release(2, first, points), [0], 0, DAYS)
    assert same.passed
    assert same.spent == 0 < same.alpha < verdict.alpha
    assert not is_higher(known, champion, worse, DAYS).passed


def test_a_set_that_is_too_small_spends_nothing(known: Known, first: Lines) -> None:
    opened = replace_opened(known, DAYS - SETTLED_DAYS - 10)
    gate = Gate(opened, [Release(0, first, set_points(known, first, 0))])
    verdict = gate.judge(Release(1, first, gate.served[0].thresholds), [0], 0, DAYS)
    assert verdict.failed == (TOO_SMALL,)
    assert verdict.alpha == 0 == len(gate.looks)


@pytest.mark.slow
def test_policies_run_and_the_page_tells_them(
    programme: Programme, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(judging, "CONFIG", replace(judging.CONFIG, resamples=200))
    judge = Judge(programme)
    names = ("frozen", "no_gate", "yearly")
    kept = [summarise(programme, one, run(programme, policy(one), judge), judge) for one in names]
    frozen, ungated, yearly = kept
    assert frozen.trained == 0
    assert yearly.trained == 1
    assert yearly.alpha_spent in (0, pytest.approx(0.025))
    assert ungated.served + ungated.stopped == ungated.trained
    assert {len(one.auc_quarters) for one in kept} == {8}
    record = make_record(kept, {"programmes": 1, "years": 2, "seed": 11, "policy": names}, 1.0)
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    write_page(record, page)
    assert "A first look only" in page.read_text()
    assert policy("yearly").title in page.read_text()
    assert all(path.stat().st_size > 10_000 for path in draw_all(record, tmp_path))


def test_a_finished_programme_is_not_run_again(tmp_path: Path) -> None:
    kept, asked = tmp_path / "runs.jsonl", Asked.of(years=2, seed=11, names=["frozen"])
    assert read_kept(kept, asked) == []
    results = compare(0, asked, kept)
    assert [one.to_dict() for one in read_kept(kept, asked)] == [one.to_dict() for one in results]
    with pytest.raises(ValueError, match="name another file"):
        read_kept(kept, Asked.of(years=3, seed=11, names=["frozen"]))


@pytest.mark.parametrize("words", [["--years", "1"], ["--policy", "best"], ["--programmes", "0"]])
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "usage" in capsys.readouterr().err


def test_names_of_policies_are_distinct() -> None:
    assert len({one.name for one in POLICIES}) == len(POLICIES)
    assert isinstance(policy("ours"), Policy)
    with pytest.raises(KeyError, match="known: ours"):
        policy("best")


def test_what_was_regained_is_a_ratio_of_sums() -> None:
    events = [
        Mended("concept", 1.0, 0.90, 0.82, 0.88, None),
        Mended("scanner_replaced", 0.5, 0.90, 0.86, 0.86, 0.0),
        Mended("scanner_replaced", 0.5, 0.90, 0.899, 0.80, 0.0),  # lost next to nothing: not told
    ]
    found = regained(events)
    assert found.value == pytest.approx(0.06 / 0.10)
    assert found.units == 2
    assert ratio([], []).value is None
    assert ratio([1.0], [0.0]).value is None
    assert describe({}) == {}
