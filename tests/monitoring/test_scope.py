"""The tree of nodes, whose alarm a change is, and what follows when it is closed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from monitoring.config import MonitorConfig
from monitoring.programme import EVERY, ProgrammeControl
from monitoring.strata import Stratum, strata_of
from monitoring.tree import LEVELS, tree_of
from tests.monitoring.programmes import HEIGHTS, Programme, feed

FOUR = {"s/A/1": 300, "s/B/1": 300, "t/C/1": 300, "t/D/1": 300}
SMALL = MonitorConfig(mmd_draws=100)
ALL = ("version", "scanner", "site", "programme")


def names(control: ProgrammeControl) -> list[tuple[str, str]]:
    return [(one.level, one.stratum.name) for one in control.nodes]


def at(control: ProgrammeControl, name: str) -> int:
    return [one.stratum.name for one in control.nodes].index(name)


def fed(control: ProgrammeControl) -> list[set[str]]:
    """Return the names of the nodes that each stratum feeds."""
    rows = control.base.parents
    assert all(len(row[row >= 0]) == len(set(row[row >= 0])) for row in rows), "once each"
    return [{control.nodes[node].stratum.name for node in row[row >= 0]} for row in rows]


@pytest.mark.parametrize(
    ("strata", "levels", "nodes"),
    [
        ([], ALL, []),
        (["s/A/1"], ALL, ["s · A · 1"]),
        (["//"], ALL, ["all exams"]),
        (["s/A/1", "s/A/2"], ALL, ["s · A · 1", "s · A · 2", "s · A"]),
        (["s/A/1", "s/B/1"], ALL, ["s · A · 1", "s · B · 1", "s"]),
        (["s/A/1", "t/A/1"], ALL, ["s · A · 1", "t · A · 1", "all exams"]),
        (
            ["s/A/1", "s/A/2", "s/B/1", "t/C/1"],
            ALL,
            ["s · A · 1", "s · A · 2", "s · B · 1", "t · C · 1", "s · A", "s", "all exams"],
        ),
        (["s/A/1", "s/A/2", "t/C/1"], ("version",), ["s · A · 1", "s · A · 2", "t · C · 1"]),
        (["s/A/1", "s/A/2", "t/C/1"], ("site",), ["s", "t"]),
        (["s/A/1", "s/A/2", "t/C/1"], ("scanner", "programme"), ["s · A", "t · C", "all exams"]),
        (["s/A/1", "t/C/1"], (), ["all exams"]),
    ],
)
def test_the_tree_has_one_node_for_each_set_of_strata(strata, levels, nodes):
    made = [Stratum(*one.split("/")) for one in strata]
    assert [one.stratum.name for one in tree_of(made, levels)] == nodes


def test_without_strata_all_exams_are_one(make_reference):
    frame = make_reference(2)
    assert set(strata_of(frame, MonitorConfig(strata=()))) == {Stratum("", "", "")}


@pytest.mark.parametrize("levels", [ALL, ("version",), ("scanner", "programme"), ("site",), ()])
def test_strata_that_join_later_make_the_tree_of_those_known_from_the_start(levels):
    made = Programme(FOUR | {"s/A/2": 40, "u/E/1": 40}, replace(SMALL, levels=levels))
    whole = made.control()
    grown = ProgrammeControl.start(
        made.channels, list(made.starts.values())[:1], HEIGHTS, made.config
    )
    for one in list(made.starts.values())[1:]:
        grown.join(one)
    assert sorted(names(grown)) == sorted(names(whole))
    assert fed(grown) == fed(whole)
    for name, level in ((one.stratum.name, one.level) for one in whole.nodes):
        pair = [one.nodes[names(one).index((level, name))].leaves for one in (grown, whole)]
        assert pair[0] == pair[1]
    assert made.resumed(grown.to_dict()).nodes == grown.nodes
    feed(grown, made.stream(60))
    assert grown.charts.exams.max() <= 60, "no node counts an exam twice"


def test_a_stratum_with_a_larger_baseline_than_any_known_joins():
    made = Programme({"s/A/1": 30, "s/N/1": 900}, SMALL)
    starts = list(made.starts.values())
    control = ProgrammeControl.start(made.channels, starts[:1], HEIGHTS, made.config)
    assert feed(control, made.stream(10, only=("s/A/1",))) == []
    assert control.join(starts[1]) == 1
    assert control.base.rows.tolist() == [40, 900]
    assert feed(control, made.stream(10)) == []


@pytest.mark.parametrize(
    ("moved", "owners"),
    [
        (("s/A",), {"s · A · 1"}),
        (("s/",), {"s"}),
        (("s/", "t/"), {"all exams"}),
        (("s/A", "t/C"), {"s · A · 1", "t · C · 1"}),
        (("s/A", "t/"), {"s · A · 1", "t"}),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, (set, tuple)) else None,
)
@pytest.mark.parametrize("how", [{"shift": 0.6}, {"shift": -1.5}], ids=str)
def test_the_alarm_is_given_to_the_nodes_that_carry_the_change(moved, owners, how):
    made = Programme(FOUR, SMALL)
    control = made.control()
    feed(control, made.stream(200))
    found = feed(control, made.stream(900, *moved, **how))
    assert {control.nodes[one.node].stratum.name for one in found} == owners
    held = {leaf for one in found for leaf in one.leaves}
    last = {
        leaf: LEVELS.index(control.nodes[one.node].level) for one in found for leaf in one.leaves
    }
    assert control.base.feeds.tolist() == [last.get(leaf, EVERY) for leaf in range(4)]
    for node, one in enumerate(control.nodes):
        assert (node in control.under) == (set(one.leaves) <= held)
    tops = {control.nodes[node].stratum.name for node in set(control.under.values())}
    assert tops == owners
    assert all(control.charts.state[one.node] == 2 for one in found)


def test_a_held_stratum_feeds_only_itself_and_those_above_begin_anew():
    made = Programme(FOUR, SMALL)
    control = made.control()
    (found,) = feed(control, made.stream(600, "s/A", shift=1.5), once=True)
    above = [at(control, "s"), at(control, "all exams")]
    for node in above:
        assert control.charts.evidence[node] == control.charts.state[node] == 0
        assert not control.charts.sr[node].any()
    before = control.charts.exams.copy()
    assert feed(control, made.stream(400, "s/A", shift=1.5)) == []
    grown = control.charts.exams - before
    assert grown[found.node] == 100
    assert grown[above].tolist() == [100, 300]
    assert not control.charts.alerts[above[0]] > 1


def test_a_tiny_stratum_counts_in_the_pool():
    """Twelve scanners of an exam in twelve each: alone none can tell 0.5 SD so soon."""
    made = Programme({f"s/{at:02d}/1": 25 for at in range(12)}, SMALL, seed=3)
    control = made.control()
    found = feed(control, made.stream(700, "s/", shift=0.7))
    assert {control.nodes[one.node].stratum.name for one in found} == {"s"}
    alone = Programme(made.sizes, replace(SMALL, levels=("version",)), seed=3)
    assert feed(alone.control(), alone.stream(found[0].exam + 1, "s/", shift=0.7)) == []


def test_the_change_lies_where_it_was_though_its_exams_are_no_longer_kept():
    made = Programme(FOUR, replace(SMALL, recent_exams=8, ring_exams=4))
    control = made.control()
    streams = [made.stream(400), made.stream(2000, "s/A", "t/C", shift=0.6)]
    found = [one for stream in streams for one in feed(control, stream)]
    assert len(found) == 2
    strata = np.concatenate([one.strata for one in streams])
    for one in found:
        clock = control.charts.change_clock[one.node]
        before = np.isin(strata[:clock], one.leaves).sum()
        assert abs(control.charts.change_at[one.node] - before) <= made.config.ring_exams
        assert control.charts.confirmed_at[one.node] - before > made.config.recent_exams


@pytest.mark.parametrize("learn", [True, False])
def test_after_closing_the_strata_learn_or_meet_the_reference_again(learn):
    made = Programme(FOUR, SMALL)
    control = made.control()
    (found,) = feed(control, made.stream(600, "s/A", shift=1.5, phi=1.0), once=True)
    control.close(found.node, learn=learn)
    assert control.under == {}
    assert (control.base.feeds == EVERY).all()
    assert control.charts.state[found.node] == 0
    assert control.base.rows[0] == (0 if learn else 300)
    assert control.is_learning(found.node) == learn
    again = feed(control, made.stream(1200, "s/A", shift=1.5, phi=1.0))
    assert [control.nodes[one.node].stratum.name for one in again] == (
        [] if learn else ["s · A · 1"]
    ), "no pool sees the embeddings that stayed moved, either"
    if learn:
        more = feed(control, made.stream(400, "s/A", shift=3.0, phi=1.0))
        assert [one.leaves for one in more] == [(0,)], "a further change is seen"


def test_mended_data_after_a_fault_are_quiet():
    made = Programme(FOUR, SMALL)
    control = made.control()
    (found,) = feed(control, made.stream(600, "s/A", shift=9.0, channel=2), once=True)
    control.close(found.node, learn=False)
    assert feed(control, made.stream(1000)) == []


def test_what_was_learnt_is_compared_with_the_reference_again_after_a_fault():
    made = Programme({"s/A/1": 300}, SMALL)
    control = made.control()
    control.close(0, learn=True)
    feed(control, made.stream(100))
    control.close(0, learn=False)
    assert feed(control, made.stream(600, "s/A", phi=1.0), once=True), "its embeddings, too"


def test_an_alarm_stays_when_a_new_stratum_below_it_confirms():
    made = Programme(FOUR | {"s/N/1": 300}, SMALL)
    starts = list(made.starts.values())
    control = ProgrammeControl.start(made.channels, starts[:4], HEIGHTS, made.config)
    (site,) = feed(control, made.stream(600, "s/", shift=1.5, only=tuple(FOUR)), once=True)
    control.join(starts[4])
    (new,) = feed(control, made.stream(200, "s/N", shift=2.0, only=("s/N/1",)), once=True)
    assert new.leaves == (4,)
    assert control.charts.state[[site.node, new.node]].tolist() == [2, 2]
    assert control.charts.confirmed_at[site.node] > 0


@pytest.mark.parametrize(
    ("learn_first", "known_start", "first"),
    [(True, False, 41), (False, True, 1), (False, False, 1)],
)
def test_a_stratum_that_begins_is_learnt_or_watched_at_once(learn_first, known_start, first):
    how = {"s/N/1": {"learn_first": learn_first, "known_start": known_start}}
    made = Programme({"s/A/1": 300, "s/N/1": 100}, SMALL, how=how)
    control = made.control()
    node = at(control, "s · N · 1")
    assert feed(control, made.stream(first - 1, only=("s/N/1",))) == []
    assert control.charts.exams[node] == 0
    feed(control, made.stream(1, only=("s/N/1",)))
    assert control.charts.exams[node] == 1
    (found,) = feed(control, made.stream(300, "s/N", shift=2.0, only=("s/N/1",)), once=True)
    assert found.exam < 60


def test_a_known_start_needs_less_evidence():
    found: dict[bool, list[int]] = {True: [], False: []}
    for seed, known in itertools.product(range(8), found):
        made = Programme({"s/N/1": 300}, SMALL, seed=seed, how={"s/N/1": {"known_start": known}})
        (one,) = feed(made.control(), made.stream(300, "s/N", shift=1.0), once=True)
        found[known].append(one.exam)
    assert np.median(found[True]) < np.median(found[False])
    assert all(first <= later for first, later in zip(*found.values(), strict=True))


def test_a_tolerance_lets_scanners_differ_as_scanners_do():
    made = Programme({"s/N/1": 300}, SMALL)
    start = made.starts["s/N/1"]
    strict = made.control()
    made.starts["s/N/1"] = replace(start, tolerance=np.full(4, 0.5))
    lenient = made.control()
    stream = made.stream(80, "s/N", shift=0.6)
    assert (len(feed(strict, stream)), len(feed(lenient, stream))) == (1, 0)


@pytest.mark.parametrize("moved", [("s/",), ("s/", "t/")], ids=["site", "programme"])
def test_a_pool_in_alarm_goes_on_with_its_strata(moved):
    made = Programme(FOUR, SMALL)
    control = made.control()
    (found,) = feed(control, made.stream(600, *moved, shift=1.0), once=True)
    before = int(control.charts.exams[found.node])
    assert feed(control, made.stream(1000, *moved, shift=1.0)) == []
    grown = int(control.charts.exams[found.node]) - before
    assert grown == 250 * len(found.leaves), "else its note would never end"
    total, count = control.sums_since(found.node, int(control.charts.change_clock[found.node]))
    assert total[0] / count[0] == pytest.approx(1.0, abs=0.15), "not the first exams' mean alone"


def test_a_pool_of_the_name_of_a_stratum_is_left_out():
    names = ["s/A/", "s/A/1", "s//", "//", "t/B/1"]
    strata = [Stratum(*name.split("/")) for name in names]
    nodes = tree_of(strata, ("version", "scanner", "site", "programme"))
    slugs = [one.stratum.slug for one in nodes]
    assert len(slugs) == len(set(slugs))
