"""The machine code against the formulas, and one pass against any number of calls."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from monitoring.charts import Charts, from_text, lanes_of, to_text
from monitoring.config import MonitorConfig
from monitoring.programme import Thresholds
from tests.monitoring.oracle import Oracle
from tests.monitoring.programmes import HEIGHTS, NEVER, Programme, Stream, arrays_of, feed

SMALL = MonitorConfig(calibration_cap=70, mmd_draws=100)
THREE = {"s/A/1": 60, "s/B/1": 25, "t/C/1": 90}
NODES = [(0,), (1,), (2,), (0, 1), (0, 1, 2)]


def with_gaps(stream: Stream) -> Stream:
    """Take values and embeddings away, some of them as an infinity."""
    stream.values[3::7, 0] = np.nan
    stream.values[5::11, 2] = np.inf
    stream.phi[2::9] = np.nan
    return stream


@pytest.mark.parametrize(
    ("moved", "how"),
    [
        ((), {}),
        (("s/A",), {"shift": 1.2}),
        (("s/",), {"shift": -0.8}),
        (("s/", "t/"), {"shift": 0.7, "channel": 2}),
        (("t/C",), {"shift": 1.0, "channel": 1}),
        (("s/B",), {"shift": 15.0, "channel": 3}),
        (("s/", "t/"), {"phi": 1.2}),
    ],
    ids=["quiet", "scanner", "site down", "all, contrast", "a rate", "age", "embedding"],
)
def test_the_machine_code_tells_what_the_formulas_tell(moved, how):
    made = Programme(THREE, SMALL)
    control, starts = made.control(), list(made.starts.values())
    oracle = Oracle(starts, NODES, SMALL, HEIGHTS, made.channels)
    stream = with_gaps(made.stream(420, *moved, **how))
    confirmed = oracle.take(stream)
    found = feed(control, stream[: len(stream) if confirmed is None else confirmed + 1], once=True)
    assert [one.exam for one in found[:1]] == ([] if confirmed is None else [confirmed])
    assert bool(found) == bool(moved), "the case shows what it is meant to show"
    assert control.base.rows.tolist() == [one.rows for one in oracle.known]
    if not found:  # a confirmation is handed to its owner, and nodes above begin anew
        check(control.charts, oracle.charts, slice(None))


def check(charts: Charts, told: list, nodes: slice) -> None:
    for at, one in list(enumerate(told))[nodes]:
        assert charts.exams[at] == one.exams
        np.testing.assert_allclose(lanes_of(charts.cusum[at]), one.cusum, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(lanes_of(charts.sr[at]), one.sr, rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(lanes_of(charts.zero_exam[at]), one.zero)
        np.testing.assert_array_equal(lanes_of(charts.zero_clock[at]), one.zero_clock)
        assert charts.evidence[at] == pytest.approx(one.evidence, rel=1e-6, abs=1e-9)
        assert charts.state[at] == one.state


def test_charts_of_every_node_are_those_of_the_formulas_up_to_alerts():
    made = Programme(THREE, SMALL)
    heights = Thresholds((6.0, 3.0), 500.0)
    control = made.control(heights)
    oracle = Oracle(list(made.starts.values()), NODES, SMALL, heights, made.channels)
    stream = with_gaps(made.stream(700, "s/", shift=0.3, phi=0.5))
    assert oracle.take(stream) is None
    assert feed(control, stream) == []
    check(control.charts, oracle.charts, slice(None))
    assert (control.charts.alerts > 0).all(), "alerts came and went"
    for at, one in enumerate(oracle.charts):
        names = ("alert_at", "change_at", "change_clock")
        assert [getattr(control.charts, name)[at] for name in names] == [
            getattr(one, name) for name in names
        ]
    for at, known in enumerate(oracle.known):
        for channel, values in enumerate(known.values):
            size = control.base.size[at, channel]
            assert control.base.ordered[at, channel, :size].tolist() == sorted(values)


@pytest.mark.parametrize(("learn_first", "known_start"), [(False, True), (True, False)])
def test_new_strata_are_those_of_the_formulas(learn_first, known_start):
    how = {"t/C/1": {"learn_first": learn_first, "known_start": known_start}}
    made = Programme(THREE, SMALL, how=how)
    control = made.control(Thresholds((8.0, 4.0), 500.0))
    oracle = Oracle([*made.starts.values()], [(2,)], SMALL, control.thresholds, made.channels)
    stream = made.stream(60, only=("t/C/1",))
    assert oracle.take(stream) is None
    feed(control, stream)
    chart = oracle.charts[0]
    assert control.charts.exams[2] == (chart.exams if known_start else 60 - SMALL.learn_exams)
    assert control.charts.evidence[2] == pytest.approx(chart.evidence, rel=1e-6, abs=1e-12)
    if known_start:
        product = lanes_of(control.charts.start[2])
        np.testing.assert_allclose(product, chart.product, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_any_number_of_calls_and_restarts_gives_the_same_bits(size):
    made = Programme(THREE, SMALL, how={"s/B/1": {"known_start": True}})
    stream = with_gaps(made.stream(500, "s/B", shift=0.6, phi=0.5))
    whole, parts = made.control(), made.control()
    expected, found = feed(whole, stream), []
    for begin in range(0, len(stream), size):
        found += [replace(one, exam=one.exam + begin) for one in feed(parts, stream[begin:][:size])]
        if size > 1 or begin % 25 == 0:
            parts = made.resumed(json.loads(json.dumps(parts.to_dict(), allow_nan=False)))
    assert found == expected
    assert len(found) == 1
    for name, value in arrays_of(whole).items():
        np.testing.assert_array_equal(arrays_of(parts)[name], value, err_msg=name)
    assert (parts.under, parts.nodes) == (whole.under, whole.nodes)


def test_memory_does_not_grow_with_exams():
    made = Programme(THREE, SMALL)
    control, sizes, texts = made.control(NEVER), [], []
    for exams in (600, 600, 3000):
        feed(control, made.stream(exams))
        sizes.append(sum(value.nbytes for value in arrays_of(control).values()))
        texts.append(len(json.dumps(control.to_dict())))
    assert len(set(sizes)) == 1
    assert texts[2] < 1.6 * texts[1], "rings that were empty compress better, nothing more"
    assert control.base.rows.max() == 90, "what was larger than the cap stays as it was"


def test_no_exam_changes_nothing():
    made = Programme(THREE, SMALL)
    control = made.control()
    before = {name: value.copy() for name, value in arrays_of(control).items()}
    assert feed(control, made.stream(0)) == []
    for name, value in arrays_of(control).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("gone", ["values", "embedding", "no embedding at all"])
def test_what_is_missing_moves_no_chart(gone):
    made = Programme(THREE, SMALL)
    control, stream = made.control(HEIGHTS), made.stream(200)
    if gone == "values":
        stream.values[:, 2] = np.nan
        feed(control, stream)
        assert not lanes_of(control.charts.cusum)[:, 2].any()
        assert control.base.size[0, 2] == 60, "and is not learnt"
    else:
        nothing = np.full_like(stream.phi, np.nan) if gone == "embedding" else None
        control.take(stream.values, nothing, stream.strata, stream.draws)
        assert not lanes_of(control.charts.cusum)[:, -1].any()
    assert control.charts.exams.tolist() == [67, 67, 66, 134, 200]


@pytest.mark.parametrize(
    ("value", "moved"), [(5.0, False), (5.1, True), (np.nan, False)], ids=["same", "other", "none"]
)
def test_a_constant_channel_says_something_only_when_it_is_constant_no_more(value, moved):
    made = Programme({"s/A/1": 60}, SMALL)
    made.starts["s/A/1"].values[:, 3] = 5.0
    control, stream = made.control(), made.stream(120)
    stream.values[:, 3] = value
    assert bool(feed(control, stream, once=True)) == moved


@pytest.mark.parametrize("at", [0, 10, 50])
def test_one_outlier_never_confirms(at):
    made = Programme(THREE)
    stream = made.stream(120)
    stream.values[at] = 1e9
    assert feed(made.control(), stream) == []


def test_the_change_point_is_near_the_change():
    made = Programme({"s/A/1": 400})
    control, stream = made.control(), made.stream(140)
    stream.values[100:, 2] = -1.0  # below any
    (found,) = feed(control, stream)
    assert control.lead_of(found.node) == (2, 1)
    assert 95 <= control.charts.change_at[0] <= 101
    assert 100 < control.charts.alert_at[0] <= found.exam + 1 <= 112


@pytest.mark.parametrize(
    "wrong",
    [
        {"strata": np.array([0, 3, 0])},
        {"strata": np.array([0, -1, 0])},
        {"strata": np.array([0])},
        {"values": np.zeros((3, 5))},
        {"draws": np.zeros((3, 3))},
        {"phi": np.zeros((3, 8))},
        {"phi": np.zeros((2, 64))},
    ],
    ids=lambda wrong: "-".join(f"{name}{value.shape}" for name, value in wrong.items()),
)
def test_arrays_that_do_not_fit_never_reach_the_machine_code(wrong):
    made = Programme(THREE, SMALL)
    stream = replace(made.stream(3), **wrong)
    with pytest.raises(ValueError, match="exams"):
        feed(made.control(), stream)


@pytest.mark.parametrize("part", [0, 0.3, 0.9])
def test_a_state_that_was_cut_short_is_refused(part):
    text = to_text(Programme({"s/A/1": 5}, SMALL).control().charts)
    with pytest.raises(ValueError, match=r"cut short|pickled"):
        from_text(Charts, text[: int(part * len(text)) // 5 * 5])
