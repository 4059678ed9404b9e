"""Heat and detector as one list: which places are one, whose box, how far they agree."""

from __future__ import annotations

import pytest

from mammo.exam import Finding
from mammo.findings import (
    BOTH,
    DETECTOR,
    HEAT,
    SourcedFinding,
    measure_agreement,
    merge_findings,
    tell_sources,
)
from mammo.heat_findings import HeatFinding


def region(x: float, y: float, size: float = 100.0, share: float = 0.4) -> HeatFinding:
    return HeatFinding(x, y, x + size, y + size, share, 2 * share)


def mark(x: float, y: float, size: float = 40.0, score: float = 0.5) -> Finding:
    return Finding(x, y, x + size, y + size, "detected", score)


def named(findings: tuple[SourcedFinding, ...]) -> list[tuple[str, ...]]:
    return [one.sources for one in findings]


@pytest.mark.parametrize(
    ("regions", "marks", "sources"),
    [
        ([], [], []),
        ([region(0, 0)], [], [(HEAT,)]),
        ([], [mark(0, 0)], [(DETECTOR,)]),
        ([region(0, 0)], [mark(30, 30)], [BOTH]),
        # the region's centre in a mark that is larger than it
        ([region(100, 100, 20)], [mark(60, 60, 100)], [BOTH]),
        # they overlap, yet neither centre is in the other box
        ([region(0, 0)], [mark(85, 85)], [(DETECTOR,), (HEAT,)]),
        # half-open: a centre on the far edge is outside
        ([region(0, 0)], [mark(80, 30)], [(DETECTOR,), (HEAT,)]),
        # one region is not two findings: the surest mark has it
        ([region(0, 0)], [mark(10, 10, score=0.2), mark(50, 50, score=0.9)], [BOTH, (DETECTOR,)]),
        ([region(0, 0), region(300, 0)], [mark(330, 30)], [BOTH, (HEAT,)]),
    ],
)
def test_which_places_are_one(
    regions: list[HeatFinding], marks: list[Finding], sources: list[tuple[str, ...]]
) -> None:
    found = merge_findings(regions, marks)
    assert named(found) == sources
    assert sum(one.score is not None for one in found) == len(marks)
    assert sum(one.share is not None for one in found) == len(regions)


def test_what_both_name_has_the_finer_box_and_both_numbers() -> None:
    (found,) = merge_findings([region(0, 0, share=0.7)], [mark(30, 30.04, score=0.8)])
    assert (found.x_min, found.x_max) == (30, 70)
    assert found.to_dict() == {
        "x_min": 30.0, "y_min": 30.0, "x_max": 70.0, "y_max": 70.0, "kind": "region",
        "sources": ["heat", "detector"], "source": "heat+detector",
        "share": 0.7, "logit": 1.4, "score": 0.8,
    }  # fmt: skip
    assert tell_sources(found.to_dict()) == "70% of the evidence, detector 0.80"


def test_a_mark_takes_the_region_that_fits_it_best() -> None:
    near, wide = region(100, 100, 60, share=0.1), region(0, 0, 300, share=0.9)
    both, rest = merge_findings([wide, near], [mark(105, 105, 50)])
    assert (both.share, rest.share) == (0.1, 0.9)


def test_the_order_is_both_then_marks_then_regions() -> None:
    regions = [region(0, 0, share=0.1), region(500, 0, share=0.2), region(900, 0, share=0.3)]
    marks = [mark(30, 30, score=0.3), mark(30, 900, score=0.4), mark(300, 900, score=0.6)]
    found = merge_findings(regions, marks)
    assert named(found) == [BOTH, (DETECTOR,), (DETECTOR,), (HEAT,), (HEAT,)]
    assert [one.score for one in found] == [0.3, 0.6, 0.4, None, None]
    assert [one.share for one in found] == [0.1, None, None, 0.3, 0.2]


HERE, THERE = region(0, 0, share=0.6), region(500, 0, share=0.2)


@pytest.mark.parametrize(
    ("views", "counts", "share", "top"),
    [
        ([((), ())], (0, 0, 0), None, None),
        ([((HERE,), ())], (0, 1, 0), 0.0, None),
        ([((), (mark(0, 0),))], (0, 0, 1), 0.0, None),
        ([((HERE,), (mark(30, 30),))], (1, 0, 0), 1.0, True),
        # the surest mark is at the weaker region
        ([((HERE, THERE), (mark(530, 30),))], (1, 1, 0), 0.5, False),
        # in the view where the detector is surest the heat names another place
        (
            [((HERE,), (mark(30, 30, score=0.2),)), ((HERE,), (mark(900, 0, score=0.9),))],
            (1, 1, 1), 1 / 3, False,
        ),
        # only the other view has a region: nothing to agree with where the detector is surest
        ([((HERE,), ()), ((), (mark(30, 30),))], (0, 1, 1), 0.0, False),
    ],
)  # fmt: skip
def test_agreement_of_a_breast(
    views: list[tuple[tuple[HeatFinding, ...], tuple[Finding, ...]]],
    counts: tuple[int, int, int], share: float | None, top: bool | None,
) -> None:  # fmt: skip
    found = measure_agreement("L", [merge_findings(*view) for view in views])
    assert (found.both, found.heat_only, found.detector_only) == counts
    assert found.share == (share if share is None else pytest.approx(share))
    assert found.top is top
    assert "laterality" not in found.to_dict()
