"""What the charts say of a change: where, which channels, since when, how it came."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.config import MonitorConfig
from monitoring.programme import ProgrammeControl
from monitoring.sightings import absent_rate, by_group, evidence_at, since_change
from tests.monitoring.programmes import Programme, Stream, feed

FOUR = {"s/A/1": 300, "s/B/1": 300, "t/C/1": 300, "t/D/1": 300}
NAMES = ("score", "missing", "contrast", "sharpness", "age_years")
SMALL = MonitorConfig(mmd_draws=100)


def alarmed(
    made: Programme, stream: Stream, more: Stream | None = None
) -> tuple[ProgrammeControl, int]:
    """Return the control after a first alarm, and the node that has it."""
    control = made.control()
    feed(control, made.stream(200))
    found = feed(control, stream, once=True)
    if more is not None:
        feed(control, more)
    return control, found[0].node


@pytest.mark.parametrize(
    ("channel", "shift", "group"),
    [(0, 1.5, "score"), (2, 9.0, "image"), (4, 20.0, "population"), (1, 1.0, "missing")],
)
def test_the_channel_that_moved_is_named(channel, shift, group):
    made = Programme(FOUR, SMALL, channels=NAMES)
    control, node = alarmed(made, made.stream(600, "s/A", shift=shift, channel=channel))
    seen = evidence_at(control, node)
    assert NAMES[channel] in seen.moved[group]
    assert seen.shifts[NAMES[channel]] > 1
    means, counts = since_change(control, node)
    assert seen.exams == counts.max() > 2
    assert means[channel] == max(means)


@pytest.mark.parametrize(
    ("moved", "level", "carried", "watched"),
    [(("s/A",), "version", 1, 1), (("s/",), "site", 2, 2)],
)
def test_where_a_change_is_and_how_many_strata_carry_it(moved, level, carried, watched):
    made = Programme(FOUR, SMALL)
    control, node = alarmed(
        made, made.stream(600, *moved, shift=1.0), made.stream(200, *moved, shift=1.0)
    )
    seen = evidence_at(control, node)
    assert (seen.level, seen.strata_moved) == (level, carried)
    assert watched <= seen.strata_watched <= 4


def test_a_few_exams_of_a_stratum_tell_nothing_of_it():
    made = Programme(FOUR, SMALL)
    control, node = alarmed(made, made.stream(200, "s/A", shift=4.0))
    assert evidence_at(control, node).strata_watched < 4


@pytest.mark.parametrize(
    ("ramp", "onset"), [(False, "abrupt"), (True, "gradual")], ids=["at once", "slowly"]
)
def test_how_a_change_came(ramp, onset):
    made = Programme({"s/A/1": 1500}, SMALL)
    stream = made.stream(60)
    stream.values[:, 0] += np.linspace(0, 4.0, 60) if ramp else 1.2
    control = made.control()
    feed(control, made.stream(100))
    (found,) = feed(control, stream)
    assert evidence_at(control, found.node).onset == onset


def test_the_rates_of_missing_views_are_those_since_the_change():
    made = Programme({"s/A/1": 300}, SMALL)
    stream = made.stream(60)
    stream.values[:, 1] = np.arange(60) % 4 > 0
    control, node = alarmed(made, stream)
    seen = evidence_at(control, node)
    assert seen.incomplete_rate == pytest.approx(0.75, abs=0.15)
    assert seen.incomplete_rate_reference == pytest.approx(0.16, abs=0.06)
    assert seen.refused_rate == 0.0


@pytest.mark.parametrize(("gone", "rate"), [(0, 0.0), (5, 0.25), (20, 1.0), (400, 1.0)], ids=str)
def test_how_many_of_the_newest_exams_lack_a_channel(gone, rate):
    made = Programme({"s/A/1": 300}, SMALL)
    control, stream = made.control(), made.stream(400)
    stream.values[400 - gone :, 2] = np.nan
    feed(control, stream)
    assert absent_rate(control, 0) == rate


def test_a_channel_that_the_reference_lacks_is_not_absent():
    made = Programme({"s/A/1": 300}, SMALL)
    made.starts["s/A/1"].values[:, 2] = np.nan
    control, stream = made.control(), made.stream(40)
    stream.values[:, 2] = np.nan
    feed(control, stream)
    assert absent_rate(control, 0) == 0.0


@pytest.mark.parametrize("exams", [0, 1, 19])
def test_few_exams_have_no_absent_rate(exams):
    made = Programme({"s/A/1": 300}, SMALL)
    control, stream = made.control(), made.stream(exams)
    stream.values[:] = np.nan
    feed(control, stream)
    assert absent_rate(control, 0) == 0.0


def test_a_node_that_saw_nothing_has_evidence_of_nothing():
    made = Programme(FOUR, SMALL)
    control = made.control()
    for node in range(len(control.nodes)):
        seen = evidence_at(control, node)
        assert (seen.exams, seen.strata_moved, seen.strata_watched) == (0, 0, 0)
        assert (seen.shifts, seen.onset, seen.absent_rate) == ({}, "", 0.0)


def test_codes_and_groups_are_as_triage_reads_them():
    made = Programme({"s/A/1": 300}, SMALL)
    control, node = alarmed(made, made.stream(60, "s/A", shift=2.0))
    seen = evidence_at(control, node, ("SCANNER_NEW", "REFERENCE_SMALL"), moved=["contrast"])
    assert (seen.scanner_new, seen.version_new, seen.codes) == (True, False, ("REFERENCE_SMALL",))
    assert seen.moved == {"image": ("contrast",)}
    assert by_group(["score", "score_ks", "kvp"]) == {
        "score": ("score", "score_ks"),
        "header": ("kvp",),
    }
