"""Every scenario does what it says, where it says, and nothing before its day."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.continual.events import InjectedEvent
from benchmarks.continual.scenarios import NAMED, SCENARIOS
from benchmarks.continual.volumes import is_open
from benchmarks.continual.world import SimYear, World

WORLD = World()
LARGE = World(exams_per_open_day=900)
MOVES = {
    # scenario: channel, least and largest change in its SD where the event is
    "shift_all": ("score", 0.2, 0.3),
    "shift_half": ("score", 0.2, 0.3),
    "shift_random_half": ("score", 0.08, 0.17),
    "shift_fifth": ("score", 0.12, 0.28),
    "software_upgrade": ("sharpness", 0.4, 1.5),
    "detector_ageing": ("noise", 0.2, 1.5),
    "population_ageing": ("age_years", 0.15, 0.6),
    "fault_inverted": ("mean_intensity", 2.5, 9.0),
    "fault_window": ("contrast", 1.3, 8.0),
    "fault_missing": ("missing", 0.8, 10.0),
    "several": ("missing", 0.8, 10.0),
}
SEEDS = (1, 2)


@cache
def draw(scenario: str, seed: int = 1, world: World = WORLD) -> SimYear:
    return world.year(np.random.default_rng(seed), scenario)


def inside(year: SimYear, event: InjectedEvent) -> np.ndarray:
    return np.isin(year.stratum, event.strata) if event.strata else np.ones(len(year), bool)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_before_its_day_a_scenario_is_the_quiet_year(scenario: str) -> None:
    quiet, year = draw("none"), draw(scenario)
    assert len(quiet) == len(year)
    early = year.day < min([event.day for event in year.truth], default=90)
    for name, values in quiet.columns.items():
        assert np.array_equal(values[early], year.columns[name][early], equal_nan=True), name
    assert np.array_equal(quiet.embedding[early], year.embedding[early])
    assert np.array_equal(quiet.stratum[early], year.stratum[early])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_truth_is_told_with_an_open_day_and_real_strata(scenario: str) -> None:
    for seed in range(4):
        year = draw(scenario, seed)
        assert bool(year.truth) == (scenario not in ("none", "label_delay"))
        for event in year.truth:
            assert 90 <= event.day < 190  # some days later where a scanner has no exam
            assert is_open(np.array([event.day])).all()
            assert (inside(year, event) & (year.day == event.day)).any()
            assert all(0 <= place < len(year.strata) for place in event.strata)
            assert (inside(year, event) & (year.day >= event.day)).sum() > 50
        assert [event.day for event in year.truth] == sorted(event.day for event in year.truth)


def test_every_named_cause_is_in_some_scenario() -> None:
    causes = {event.cause for name in NAMED for event in draw(name).truth}
    assert causes == {"data_fault", "acquisition", "prevalence", "concept", "software_version"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", MOVES)
def test_a_change_moves_its_channel_where_it_is_and_nowhere_else(scenario: str, seed: int) -> None:
    channel, least, largest = MOVES[scenario]
    quiet, year = draw("none", seed), draw(scenario, seed)
    event = year.truth[0] if scenario != "several" else _lost_views(year)
    before, after = quiet.columns[channel], year.columns[channel]
    there = inside(year, event) & (year.day >= event.day)
    sd = np.nanstd(before[np.isin(quiet.stratum, quiet.stratum[there])])
    size = np.nanmean(after[there] - before[there]) / sd
    assert least < size < largest
    if scenario != "several":
        assert np.array_equal(after[~there], before[~there], equal_nan=True)


def _lost_views(year: SimYear) -> InjectedEvent:
    (event,) = [event for event in year.truth if "lost" in event.what]
    return event


@pytest.mark.parametrize(
    ("scenario", "ratio", "auc"),
    [
        ("none", 1.0, 0.90),
        ("prevalence_up", 2.0, 0.90),
        ("prevalence_down", 0.5, 0.90),
        ("concept", 1.0, 0.82),
    ],
)
def test_cancers_and_how_well_they_are_ranked(scenario: str, ratio: float, auc: float) -> None:
    quiet, year = draw("none", 5, LARGE), draw(scenario, 5, LARGE)
    late = year.day >= 180
    assert year.cancer[late].mean() == pytest.approx(ratio * quiet.cancer[late].mean(), rel=0.08)
    assert roc_auc_score(year.cancer[late], year.logit[late]) == pytest.approx(auc, abs=0.02)


def test_concept_leaves_all_inputs_as_before() -> None:
    quiet, year = draw("none"), draw("concept")
    for name in set(year.columns) - {"score", "recall"}:
        assert np.array_equal(quiet.columns[name], year.columns[name], equal_nan=True)
    healthy = ~year.cancer
    assert np.array_equal(quiet.logit[healthy], year.logit[healthy])


@pytest.mark.parametrize("scenario", ["scanner_replaced", "software_upgrade", "version_only"])
def test_a_new_stratum_takes_the_exams_of_the_old(scenario: str) -> None:
    quiet, year = draw("none"), draw(scenario)
    (event,) = year.truth
    *old, new = event.strata
    assert new == len(quiet.strata) == len(year.strata) - 1
    moved = year.stratum == new
    assert np.array_equal(moved, np.isin(quiet.stratum, old) & (year.day >= event.day))
    assert not (np.isin(year.stratum, old) & (year.day >= event.day)).any()
    assert year.strata[new].site == year.strata[old[0]].site
    same_scanner = year.strata[new].scanner == year.strata[old[0]].scanner
    assert same_scanner == (scenario != "scanner_replaced")
    if scenario == "scanner_replaced":  # nobody has tuned it yet
        assert set(year.threshold[moved]) == {WORLD.programme_threshold}


def test_a_mere_version_changes_nothing_else() -> None:
    quiet, year = draw("none"), draw("version_only")
    for name, values in quiet.columns.items():
        assert np.array_equal(values, year.columns[name], equal_nan=True)
    assert np.array_equal(quiet.embedding, year.embedding)


def test_late_labels_are_late_and_all_else_is_as_before() -> None:
    quiet, year = draw("none"), draw("label_delay")
    assert np.array_equal(quiet.logit, year.logit)
    assert np.array_equal(quiet.cancer, year.cancer)
    both = np.isfinite(quiet.outcome_day) & np.isfinite(year.outcome_day)
    late = year.outcome_day[both] - quiet.outcome_day[both]
    assert set(np.round(late, 6)) == {0.0, 91.0}
    assert np.isfinite(year.outcome_day).sum() < np.isfinite(quiet.outcome_day).sum()


def test_ageing_comes_slowly() -> None:
    quiet, year = draw("none"), draw("detector_ageing")
    (event,) = year.truth
    there = inside(year, event)
    change = (np.log(year.columns["noise"]) - np.log(quiet.columns["noise"]))[there]
    since = year.day[there] - event.day
    assert (change[since < 0] == 0).all()
    assert change[(since >= 0) & (since < 5)].max() < 0.05 * change.max()
    assert np.corrcoef(since[since >= 0], change[since >= 0])[0, 1] > 0.99


def test_an_event_in_the_scores_alone_does_not_show_in_the_embedding() -> None:
    assert np.array_equal(draw("shift_all").embedding, draw("none").embedding)
    assert not np.array_equal(draw("software_upgrade").embedding, draw("none").embedding)


def test_unknown_scenario_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ValueError, match=re.escape("'shfit'. Known: none, shift_all")):
        draw("shfit")
