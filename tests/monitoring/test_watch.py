"""The watch over one release: resumed at any exam, begun anew where it must be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.prediction_log import exam_frame
from mammo.settings import Settings
from monitoring.config import MonitorConfig
from monitoring.watch import Watch
from tests.monitoring.conftest import KNOWN, NEW, Hospital
from tests.monitoring.programmes import arrays_of

CONFIG = MonitorConfig(evidently_on="never", streams=20, stream_exams=1000, mmd_draws=100)


class Exams:
    """Makes reference and stream of one hospital."""

    def __init__(self, seed: int = 3) -> None:
        self.home = Hospital(Settings(home=Path("unused")), np.random.default_rng(seed))

    def __call__(self, count: int, *scanners: str, **changes: object) -> pd.DataFrame:
        names = scanners or KNOWN
        rows = [self.home.exam(names[at % len(names)], **changes) for at in range(count)]
        return exam_frame(rows).reset_index(drop=True)


@pytest.fixture
def exams() -> Exams:
    return Exams()


@pytest.fixture
def reference(exams) -> pd.DataFrame:
    return exams(180)


def begin(reference: pd.DataFrame, state: dict | None = None, **how) -> Watch:
    config = how.pop("config", CONFIG)
    return Watch.resume(how.get("release", "r-1"), reference, state or {}, [], config)


def through_json(watch: Watch) -> dict:
    return json.loads(json.dumps(watch.to_state(), allow_nan=False))


def states(watch: Watch) -> dict[str, str]:
    return {one.name: one.state for one in watch.nodes()}


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_watch_resumed_after_any_batch_is_the_watch_that_went_on(exams, reference, size):
    frame = pd.concat([exams(45), exams(75, NEW, images=1.5, shift=1.5)], ignore_index=True)
    if size == 1:
        frame = frame.iloc[50:62].reset_index(drop=True)
    whole = begin(reference)
    whole.take(frame, [])
    state: dict = {}
    for at in range(0, len(frame), size):
        watch = begin(reference, state)
        watch.take(frame.iloc[at : at + size].reset_index(drop=True), [])
        state = through_json(watch)
    last, expected = begin(reference, state), begin(reference, through_json(whole))
    for name, values in arrays_of(expected.control).items():
        # products of embeddings are rounded otherwise in batches of another size
        np.testing.assert_allclose(arrays_of(last.control)[name], values, rtol=1e-6, atol=1e-9)
    assert states(last) == states(expected)
    assert last.seen == expected.seen


def test_the_nodes_are_those_that_met_an_exam(exams, reference):
    watch = begin(reference)
    assert (watch.nodes(), watch.confirmed()) == ([], [])
    watch.take(exams(30, KNOWN[0]), [])
    watch.take(exams(30, NEW), [])
    names = [one.name for one in watch.nodes()]
    assert names[0] == "site-1"
    assert set(names[1:]) == {f"site-1 · {KNOWN[0]} · 1.0", f"site-1 · {NEW} · 1.0"}
    for one in watch.nodes():
        assert one.summary()["exams"] == one.exams in (30, 60)
        assert one.trace.shape == (one.exams, 2 + len(one.channels))


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({}, {}),
        ({"release": "r-2"}, {}),
        ({"values": True}, {"REFERENCE_CHANGED": 1}),
        ({"config": MonitorConfig(**(CONFIG.to_dict() | {"clip": 3.0}))}, {"REFERENCE_CHANGED": 1}),
    ],
    ids=["same", "another release", "another reference", "other settings"],
)
def test_what_was_seen_counts_only_against_the_same_reference(exams, reference, change, codes):
    watch = begin(reference)
    watch.take(exams(60), [])
    other = reference
    if change.pop("values", False):
        other = reference.assign(logit=reference["logit"] + 1)
    again = begin(other, through_json(watch), **change)
    assert dict(+again.counts) == codes
    assert bool(again.nodes()) == (other is reference and not change)


@pytest.mark.parametrize(
    ("scanner", "columns", "codes"),
    [
        (KNOWN[0], {}, ()),
        (NEW, {}, ("SCANNER_NEW",)),
        (KNOWN[0], {"software_version": "2.0"}, ("VERSION_NEW",)),
    ],
)
def test_what_is_special_about_a_stratum_is_told(exams, reference, scanner, columns, codes):
    watch = begin(reference)
    watch.take(exams(5, scanner, **columns), [])
    (one,) = [one for one in watch.nodes() if one.level == "version"]
    assert (one.codes, one.starts_new) == (codes, bool(codes))


@pytest.mark.parametrize(("images", "state"), [(0.0, "in_control"), (3.0, "confirmed")])
def test_a_thin_scanner_is_compared_with_all_from_its_first_exam(exams, images, state):
    reference = pd.concat([exams(90), exams(5, "Thin/T")], ignore_index=True)
    watch = begin(reference)
    watch.take(exams(39, "Thin/T", images=images), [])
    (one,) = [one for one in watch.nodes() if one.level == "version"]
    assert one.state == state


def test_a_new_scanner_joins_a_large_reference(exams):
    watch = begin(exams(600))
    assert watch.take(exams(40, NEW, images=2.0), []) == 40
    assert [one.stratum.scanner for one in watch.confirmed()] == [NEW]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (lambda frame: frame, None),
        (lambda frame: frame.assign(f_contrast=np.nan), "VALUE_MISSING"),
        (lambda frame: frame.assign(f_contrast=np.inf), "VALUE_MISSING"),
        (lambda frame: frame.assign(logit=np.nan), "VALUE_MISSING"),
        (
            lambda frame: frame.drop(columns=[f"e_{at:02d}" for at in range(32)]),
            "EMBEDDING_MISSING",
        ),
        (lambda frame: frame.drop(columns=["e_31"]), "EMBEDDING_MISSING"),
        (lambda frame: frame.assign(e_32=0.0), "EMBEDDING_MISSING"),
        (lambda frame: frame.assign(e_05=np.nan), "EMBEDDING_MISSING"),
    ],
    ids=["whole", "no contrast", "infinite", "no score", "none", "31 wide", "33 wide", "a gap"],
)
def test_what_exams_lack_is_counted_and_moves_nothing(exams, reference, changed, code):
    watch = begin(reference)
    assert watch.take(changed(exams(30)), []) == 30
    assert {name for name, count in watch.counts.items() if count} == ({code} if code else set())
    assert watch.counts[code] in (30, 0)
    assert set(states(watch).values()) <= {"in_control", "alert"}


@pytest.mark.parametrize("exams_at_once", [0, 1])
def test_no_exam_and_one_exam_are_no_trouble(exams, reference, exams_at_once):
    watch = begin(reference)
    assert watch.take(exams(3).iloc[:exams_at_once], []) == exams_at_once
    assert len(watch.nodes()) == 2 * exams_at_once


@pytest.mark.parametrize("again", ["in one batch", "in the next"])
def test_an_exam_that_is_sent_again_counts_once(exams, reference, again):
    watch, frame = begin(reference), exams(20)
    if again == "in one batch":
        taken = watch.take(pd.concat([frame, frame], ignore_index=True), [])
    else:
        taken = watch.take(frame, [])
        watch = begin(reference, through_json(watch))
        taken += watch.take(frame, [])
    assert (taken, watch.counts["EXAM_REPEATED"]) == (20, 20)


def test_a_note_becomes_the_baseline_after_its_exams(exams, reference):
    config = MonitorConfig(**(CONFIG.to_dict() | {"note_exams": 60}))
    watch = begin(reference, config=config)
    watch.take(exams(40, KNOWN[0]), [])
    watch.take(exams(50, KNOWN[0], shift=3.0), [])
    (held,) = watch.confirmed()
    assert watch.end_notes({held.name}) == []
    watch.take(exams(80, KNOWN[0], shift=3.0), [])
    assert watch.end_notes({"another"}) == []
    assert watch.end_notes({held.name}) == [held.name]
    assert watch.confirmed() == []
    assert "BASELINE_LEARNT" in watch.codes[f"site-1 · {KNOWN[0]} · 1.0"]
    watch.take(exams(150, KNOWN[0], shift=3.0), [])
    assert watch.confirmed() == [], "its own level is normal now"


def test_without_strata_all_exams_are_one_node(exams, reference):
    config = MonitorConfig(**(CONFIG.to_dict() | {"strata": ()}))
    watch = begin(reference, config=config)
    watch.take(exams(30), [])
    watch.take(exams(90, NEW, images=3.0), [])
    (one,) = watch.nodes()
    assert (one.name, one.exams, one.state) == ("all exams", 120, "confirmed")


def test_a_reference_of_any_index_is_read_by_position(exams, reference):
    shuffled = reference.set_index(pd.Index(range(1000, 1000 + len(reference))))
    watch, other = begin(reference), begin(shuffled)
    frame = exams(60)
    watch.take(frame, [])
    other.take(frame, [])
    assert through_json(watch)["control"] == through_json(other)["control"]
