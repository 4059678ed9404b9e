"""Boxes, matching, average precision, FROC: against pycocotools and by hand."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from scipy import stats

from mammo.appraisal.detection import summarise_detections
from mammo.appraisal.detection_draws import DetectionDraws
from mammo.detection.average_precision import average_precision, mean_overlap
from mammo.detection.boxes import (
    boxes_of,
    check_boxes,
    has_size,
    overlaps,
    to_original,
    to_prepared,
)
from mammo.detection.finding_groups import by_size
from mammo.detection.froc import froc_curve, score_shown, sensitivity_at
from mammo.detection.matching import (
    CENTRE,
    IOU_STEPS,
    ImageDetections,
    match_image,
    match_images,
    second_marks,
)
from mammo.errors import BoxInvalid, NoBoxes
from mammo.exam import Finding
from mammo.geometry import Geometry

ONE = np.ones((1, 1))


def finding(x: float, y: float, width: float, height: float, score: float = 1.0) -> Finding:
    return Finding(x, y, x + width, y + height, "mass", score)


def image(name: str, truth: list[Finding], found: list[Finding]) -> ImageDetections:
    return ImageDetections(name, f"p-{name}", tuple(truth), tuple(found))


def drawn(seed: int, images: int = 40) -> list[ImageDetections]:
    """Return findings and detections that lie more or less on them, with tied scores."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(images):
        truth = [finding(*rng.uniform(0, 400, 2), *rng.uniform(20, 90, 2))
                 for _ in range(rng.integers(0, 4))]  # fmt: skip
        near = [finding(one.x_min + rng.normal(0, 9), one.y_min + rng.normal(0, 9),
                        one.x_max - one.x_min, one.y_max - one.y_min,
                        round(rng.uniform(0.2, 1), 2))
                for one in truth for _ in range(rng.integers(0, 3))]  # fmt: skip
        wild = [finding(*rng.uniform(0, 400, 2), 40, 40, round(rng.uniform(0, 0.9), 2))
                for _ in range(rng.integers(0, 3))]  # fmt: skip
        made.append(image(str(number), truth, near + wild))
    return made


def coco_precision(images: list[ImageDetections], most: int = 100) -> list[float]:
    """Return pycocotools' average precision at each of `IOU_STEPS`; ``most`` detections count."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def rows(which: str) -> list[dict]:
        told = []
        for number, one in enumerate(images, start=1):
            for box in getattr(one, which):
                width, height = box.x_max - box.x_min, box.y_max - box.y_min
                told.append(
                    {"image_id": number, "category_id": 1, "id": len(told) + 1, "iscrowd": 0,
                     "bbox": [box.x_min, box.y_min, width, height], "area": width * height,
                     "score": box.score}
                )  # fmt: skip
        return told

    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": number + 1} for number in range(len(images))],
            "categories": [{"id": 1}], "annotations": rows("truth"),
        }  # fmt: skip
        known.createIndex()
        judged = COCOeval(known, known.loadRes(rows("found")), "bbox")
        judged.params.maxDets = [1, 10, most]
        judged.evaluate()
        judged.accumulate()
    return [float(judged.eval["precision"][step, :, 0, 0, 2].mean()) for step in range(10)]


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_that_of_coco(seed: int) -> None:
    images = drawn(seed)
    ones = np.ones((1, len(images)))
    ours = [average_precision(match_images(images, step), ones)[0] for step in IOU_STEPS]
    assert ours == pytest.approx(coco_precision(images), abs=1e-9)
    assert 0.05 < ours[0] < 0.95


def test_more_than_a_hundred_detections_an_image_all_count() -> None:
    """COCO's default looks at 100 an image; ours has no limit, as theirs with a higher one."""
    many = [
        ImageDetections(
            one.image_id, one.patient_id, one.truth,
            one.found + tuple(finding(500 + 3 * n, 500, 2, 2, 0.91) for n in range(150)),
        )
        for one in drawn(2, images=12)
    ]  # fmt: skip
    ones = np.ones((1, len(many)))
    ours = [average_precision(match_images(many, step), ones)[0] for step in IOU_STEPS]
    assert ours == pytest.approx(coco_precision(many, most=1000), abs=1e-9)
    assert ours[0] > coco_precision(many)[0] + 5e-4


def test_a_weight_counts_as_often_as_the_image() -> None:
    images = drawn(3, images=12)
    weights = np.array([0, 2, 1, 0, 3, 1, 1, 1, 0, 2, 1, 1], np.float64)
    again = [one for one, count in zip(images, weights, strict=True) for _ in range(int(count))]
    ones = np.ones((1, len(again)))
    for rule in (0.5, CENTRE):
        weighed, repeated = match_images(images, rule), match_images(again, rule)
        for measure in (average_precision, mean_overlap):
            left = measure(weighed, weights[None])[0]
            assert left == pytest.approx(measure(repeated, ones)[0])
        left = sensitivity_at(weighed, weights[None], 0.5)[0]
        assert left == pytest.approx(sensitivity_at(repeated, ones, 0.5)[0])


T = finding(100, 100, 50, 50)
TAKEN = [
    ("the same box", [T], [finding(100, 100, 50, 50, 0.9)], 0.5, [0]),
    ("the higher score takes it", [T],
     [finding(101, 100, 50, 50, 0.4), finding(110, 100, 50, 50, 0.8)], 0.5, [None, 0]),
    ("each its own", [T, finding(300, 100, 50, 50)],
     [finding(300, 100, 50, 50, 0.9), finding(100, 100, 50, 50, 0.8)], 0.5, [1, 0]),
    ("too far by overlap", [T], [finding(130, 100, 50, 50, 0.9)], 0.5, [None]),
    ("a small box inside, by overlap", [T], [finding(120, 120, 8, 8, 0.9)], 0.5, [None]),
    ("a small box inside, by its middle", [T], [finding(120, 120, 8, 8, 0.9)], CENTRE, [0]),
    ("the middle on the lower edge", [T], [finding(120, 145, 10, 10, 0.9)], CENTRE, [None]),
    ("the middle on the right edge", [T], [finding(145, 120, 10, 10, 0.9)], CENTRE, [None]),
    ("the middle on the upper left", [T], [finding(95, 95, 10, 10, 0.9)], CENTRE, [0]),
    ("the last of two alike, as COCO does", [T, T], [finding(100, 100, 50, 50, 0.9)], 0.5, [1]),
    ("the middle beside it", [T], [finding(140, 100, 50, 50, 0.9)], CENTRE, [None]),
    ("nothing marked", [T], [], 0.5, []),
    ("nothing there", [], [finding(1, 1, 5, 5, 0.9)], CENTRE, [None]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "truth", "found", "rule", "taken"), TAKEN)
def test_which_finding_a_box_takes(name, truth, found, rule, taken) -> None:
    assert match_image(image(name, truth, found), rule) == taken


def test_froc_by_hand() -> None:
    """Two images, two findings: hit at .9, false at .8, hit at .7; again at .6 costs nothing."""
    images = [
        image("a", [T], [finding(100, 100, 50, 50, 0.9), finding(102, 100, 50, 50, 0.6)]),
        image("b", [T], [finding(400, 400, 50, 50, 0.8), finding(100, 100, 50, 50, 0.7)]),
    ]
    matches, ones = match_images(images, CENTRE), np.ones((1, 2))
    told = {marks: sensitivity_at(matches, ones, marks)[0] for marks in (0.1, 0.25, 0.5, 1.0)}
    assert told == {0.1: 0.5, 0.25: 0.5, 0.5: 1.0, 1.0: 1.0}
    marks, sensitivity = froc_curve(matches)
    assert marks.tolist() == [0, 0, 0.5, 0.5, 0.5]
    assert sensitivity.tolist() == [0, 0.5, 0.5, 1, 1]


def test_marks_of_equal_score_are_shown_together() -> None:
    images = [image("a", [T], [finding(100, 100, 50, 50, 0.5), finding(400, 400, 9, 9, 0.5)])]
    assert sensitivity_at(match_images(images, CENTRE), ONE, 0.5)[0] == 0.0
    assert sensitivity_at(match_images(images, CENTRE), ONE, 1.0)[0] == 1.0


def test_the_threshold_of_a_number_of_false_marks_counts_as_the_table_does() -> None:
    """A second mark is not false; marks of equal score are shown together."""
    again = [finding(100, 100, 50, 50, 0.9), finding(102, 100, 50, 50, 0.8)]
    images = [
        image("a", [T], [*again, finding(400, 400, 9, 9, 0.7)]),
        image("b", [T], [finding(100, 100, 50, 50, 0.6), finding(400, 400, 9, 9, 0.6)]),
    ]
    matches = match_images(images, CENTRE)
    assert [score_shown(matches, at) for at in (0.4, 0.5, 0.9, 1.0)] == [0.8, 0.7, 0.7, 0.6]
    assert second_marks(images[0], CENTRE) == [False, True, False]
    for seed in range(4):
        drawn_ones = match_images(drawn(seed), CENTRE)
        for at in (0.1, 0.25, 0.5):
            least = score_shown(drawn_ones, at)
            told = drawn_ones.hit[drawn_ones.score >= least].sum() / len(drawn_ones.owner)
            assert told == sensitivity_at(drawn_ones, np.ones((1, 40)), at)[0]
    assert score_shown(match_images([image("a", [T], [])], CENTRE), 1.0) == 0.0
    assert score_shown(match_images(images[1:], CENTRE), 0.5) > 0.6


def test_summary_brackets_its_values_and_knows_patients() -> None:
    images = [
        ImageDetections(one.image_id, f"p{number // 2}", one.truth, one.found)
        for number, one in enumerate(drawn(5, images=60))
    ]
    told = summarise_detections(images, resamples=200)
    assert (told.images, told.patients) == (60, 30)
    for one in (told.map50, told.map50_95, told.mean_iou, *told.froc[CENTRE].values()):
        assert 0 < one.low < one.value < one.high < 1
    rates = [one.value for one in told.froc["iou"].values()]
    assert rates == sorted(rates)
    assert told.map50_95.value < told.map50.value
    assert told.to_dict()["froc"]["centre"]["0.25"]["n_patients"] == 30


def test_a_detector_that_finds_nothing_has_zeros_and_no_overlap() -> None:
    told = summarise_detections([image("a", [T], []), image("b", [], [])], resamples=20)
    assert told.map50.value == told.froc[CENTRE][1.0].value == 0.0
    assert np.isnan(told.mean_iou.value)
    assert told.to_dict()["mean_iou"]["value"] is None


@pytest.mark.parametrize(("with_finding", "bound"), [(21, 0.161), (1, 0.975)])
def test_nothing_found_is_not_certain(with_finding: int, bound: float) -> None:
    images = [image(str(number), [T], []) for number in range(with_finding)]
    told = summarise_detections([*images, image("b", [], [])], resamples=20).froc[CENTRE][1.0]
    assert (told.low, told.high) == (0.0, pytest.approx(bound, abs=1e-3))


TRUE_SHARE = float(stats.norm.sf(0.8 / np.sqrt(2)))


def found_in(number: int, of: int, others: int = 20) -> list[ImageDetections]:
    """Return images of as many patients: the first ``number`` findings are hit, shifted alike."""
    hit = [finding(105, 100, 50, 50, 0.9)]
    images = [image(str(place), [T], hit if place < number else []) for place in range(of)]
    return images + [image(f"n{place}", [], []) for place in range(others)]


@pytest.mark.parametrize(
    ("number", "of", "bounds"),
    [
        (0, 10, (0.0, 0.308)), (1, 30, (0.0008, 0.172)), (10, 10, (0.692, 1.0)),
        (20, 21, (0.762, 0.999)), (1, 1, (0.025, 1.0)), (60, 100, (0.497, 0.697)),
    ],
)  # fmt: skip
def test_a_share_has_the_bounds_of_a_binomial(number, of, bounds) -> None:
    """One finding a patient: Clopper and Pearson's bounds, by hand."""
    told = summarise_detections(found_in(number, of), resamples=2000)
    for rates in told.froc.values():
        assert (rates[1.0].low, rates[1.0].high) == pytest.approx(bounds, abs=0.02)
    kind = told.by_kind["mass"]
    assert kind.findings == of
    assert kind.sensitivity[1.0] == told.froc[CENTRE][1.0]


@pytest.mark.slow
def test_intervals_hold_what_they_promise() -> None:
    """150 tables of 12 patients with a finding, two images each: 95% intervals, simulated."""
    rng, held = np.random.default_rng(1), []
    for table in range(150):
        images = []
        for patient in range(24):
            ease = rng.normal()
            for side in range(2):
                truth = [T] if patient < 12 and (side == 0 or rng.random() < 0.5) else []
                hit = [finding(102, 100, 50, 50, 0.9)] if ease + rng.normal() > 0.8 else []
                false = [finding(400, 400, 9, 9, 0.3)] if rng.random() < 0.5 else []
                name = f"{patient}-{side}"
                found = (*(hit if truth else []), *false)
                images.append(ImageDetections(name, str(patient), tuple(truth), found))
        told = summarise_detections(images, resamples=200, seed=table).froc[CENTRE][1.0]
        held.append(told.low <= TRUE_SHARE <= told.high)
    assert 0.92 <= np.mean(held) < 1


@pytest.mark.parametrize(("number", "of"), [(0, 8), (1, 8), (8, 8), (1, 1), (2, 2)])
def test_no_measure_is_certain(number: int, of: int) -> None:
    told = summarise_detections(found_in(number, of), resamples=50)
    assert told.map50.high - told.map50.low > 0.1
    assert told.map50_95.high - told.map50_95.low > 0.1
    assert told.map50.low <= told.map50.value <= told.map50.high
    if number == of:  # an overlap of 9/11 reaches 7 of the 10 steps
        assert (told.map50.value, told.map50_95.value) == pytest.approx((1, 0.7))
    if number:
        assert told.mean_iou.value == pytest.approx(45 / 55)
        assert 0.5 <= told.mean_iou.low < told.mean_iou.value < told.mean_iou.high <= 1
        assert told.mean_iou.high - told.mean_iou.low > 0.1
        assert told.mean_iou.n_positive == number


def test_the_overlap_has_students_width() -> None:
    """Of 30 patients with a hit each: the interval of a mean, by hand."""
    shifts = np.random.default_rng(4).uniform(0, 14, 30)
    images = [
        image(str(number), [T], [finding(100 + shift, 100, 50, 50, 0.9)])
        for number, shift in enumerate(shifts)
    ]
    told = summarise_detections(images).mean_iou
    known = (50 - shifts) / (50 + shifts)
    assert told.value == pytest.approx(known.mean())
    width = 2 * stats.t.ppf(0.975, 29) * known.std(ddof=1) / np.sqrt(30)
    assert told.high - told.low == pytest.approx(width, rel=0.1)


def test_patients_with_a_finding_are_drawn_apart() -> None:
    """One of 51 has a finding: she is in every resample, once."""
    drawn_apart = DetectionDraws.of(found_in(1, 1, others=50), {}, resamples=60, seed=0)
    assert np.isfinite(drawn_apart.draws).all()
    assert (drawn_apart.draws[:, -1] == 1).all()


def test_groups_by_kind_and_size_share_the_threshold() -> None:
    """A mass is hit above the one false mark, a calcification below it."""
    small = Finding(300, 300, 310, 310, "CALC-M")
    images = [
        image("a", [T, small], [finding(100, 100, 50, 50, 0.9), finding(300, 300, 10, 10, 0.2)]),
        image("b", [], [finding(1, 1, 5, 5, 0.5)]),
    ]
    told = summarise_detections(images, resamples=20)
    rates = {kind: one.sensitivity for kind, one in told.by_kind.items()}
    assert [rates["mass"][marks].value for marks in (0.1, 0.5)] == [1, 1]
    assert [rates["CALC"][marks].value for marks in (0.1, 0.5)] == [0, 1]
    assert list(told.by_size) == ["to 10 px", "over 10 px"]
    assert told.by_size["to 10 px"].sensitivity == rates["CALC"]
    assert told.to_dict()["by_kind"]["mass"]["findings"] == 1


def test_thirds_of_size_keep_equal_findings_together() -> None:
    sides = [5, 5, 5, 9, 20, 30]
    truth = [finding(0, 0, side, side) for side in sides]
    told = by_size([image("a", truth, []), image("b", [], [])])
    assert {name: one.tolist() for name, one in told.items()} == {
        "to 5 px": [True, True, True, False, False, False],
        "to 9 px": [False, False, False, True, False, False],
        "over 9 px": [False, False, False, False, True, True],
    }
    close = by_size([image("a", [finding(0, 0, side, side) for side in (4.5, 4.6, 4.7)], [])])
    assert {name: one.sum() for name, one in close.items()} == {"to 5 px": 3}
    alike = by_size([image("a", truth[:3], [])])
    assert {name: one.tolist() for name, one in alike.items()} == {"to 5 px": [True] * 3}


def test_a_groups_interval_rests_on_its_own_patients() -> None:
    """Of 21 calcifications in 14 women none is found, of 30 masses all."""
    small = Finding(300, 300, 310, 310, "CALC-B")
    images = [
        ImageDetections(f"c{n}", f"pc{n % 14}", (small,), (finding(9, 9, 2, 2, 0.1),))
        for n in range(21)
    ] + [image(f"m{n}", [T], [finding(100, 100, 50, 50, 0.9)]) for n in range(30)]
    told = summarise_detections(images, resamples=50)
    none, every = (told.by_kind[kind].sensitivity[1.0] for kind in ("CALC", "mass"))
    assert (none.value, every.value, none.n_positive, every.n_positive) == (0, 1, 14, 30)
    assert (none.low, none.high) == pytest.approx((0, 0.2316), abs=1e-4)
    assert (every.low, every.high) == pytest.approx((0.8843, 1), abs=1e-4)


@pytest.mark.parametrize("without", [0, 1, 100])
def test_few_patients_without_a_finding_do_not_widen_the_interval(without: int) -> None:
    """60 of 100 findings are marked: a binomial's interval is 0.50 to 0.70."""
    hit = [finding(100, 100, 50, 50, 0.9)]
    images = [image(str(number), [T], hit if number < 60 else []) for number in range(100)]
    others = [image(f"n{number}", [], []) for number in range(without)]
    told = summarise_detections(images + others, resamples=1000).froc[CENTRE][1.0]
    assert told.value == 0.6
    assert (told.low, told.high) == pytest.approx((0.505, 0.695), abs=0.02)


def test_copies_of_a_patients_images_do_not_narrow_the_interval() -> None:
    once = drawn(5, images=40)
    copies = [
        ImageDetections(f"{one.image_id}-{copy}", one.patient_id, one.truth, one.found)
        for one in once for copy in range(4)
    ]  # fmt: skip
    least, most = (summarise_detections(one, resamples=400) for one in (once, copies))
    for left, right in zip(least.froc[CENTRE].values(), most.froc[CENTRE].values(), strict=True):
        assert right.high - right.low == pytest.approx(left.high - left.low, rel=0.15)


def test_false_marks_are_counted_on_images_without_a_finding_too() -> None:
    images = [
        image("a", [T], [finding(100, 100, 50, 50, 0.5)]),
        image("b", [], [finding(1, 1, 5, 5, 0.9)]),
    ]
    told = [sensitivity_at(match_images(images, CENTRE), np.ones((1, 2)), at)[0]
            for at in (0.49, 0.5)]  # fmt: skip
    assert told == [0.0, 1.0]


def test_resamples_in_parts_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = drawn(4, images=30)
    whole = summarise_detections(images, resamples=50).to_dict()
    monkeypatch.setattr("mammo.appraisal.detection_draws.CELLS", 7 * 50)
    assert summarise_detections(images, resamples=50).to_dict() == whole


def test_a_set_without_boxes_is_refused() -> None:
    with pytest.raises(NoBoxes, match="none of 2 images") as caught:
        summarise_detections([image("a", [], []), image("b", [], [T])])
    assert caught.value.code == "NO_BOXES"


BAD = [
    ("outside, right", finding(90, 0, 20, 20), "lies outside"),
    ("outside, below", finding(0, 190, 20, 20), "lies outside"),
    ("negative", finding(-1, 0, 20, 20), "lies outside"),
    ("no size", finding(5, 5, 0, 10), "no size"),
    ("turned round", Finding(20, 20, 10, 30, "mass"), "no size"),
    ("no place", Finding(float("nan"), 1, 2, 3, "mass"), "no number"),
]


@pytest.mark.parametrize(("name", "bad", "told"), BAD)
def test_a_box_that_cannot_be_one_is_refused(name: str, bad: Finding, told: str) -> None:
    with pytest.raises(BoxInvalid, match=told) as caught:
        check_boxes([finding(0, 0, 100, 200), bad], rows=200, columns=100)
    assert "finding 2 of 2" in str(caught.value)


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.2])
def test_a_score_that_is_none_is_refused(score: float) -> None:
    with pytest.raises(BoxInvalid, match="score"):
        image("a", [T], [finding(0, 0, 5, 5, score)])


GEOMETRY = Geometry(x0=120, y0=40, x1=1120, y1=2040, scale=0.25, pad_x=3, pad_y=6,
                    rows=2100, columns=1300)  # fmt: skip


def test_boxes_go_to_the_prepared_image_and_back() -> None:
    boxes = boxes_of([finding(200, 300, 40, 80), finding(121, 41, 900, 1900)])
    there = to_prepared(boxes, GEOMETRY, height=512, width=256)
    assert there[0].tolist() == [23, 71, 33, 91]
    assert to_original(there, GEOMETRY) == pytest.approx(boxes, abs=1e-6)


def test_a_box_that_the_crop_left_out_has_no_size() -> None:
    boxes = boxes_of([finding(0, 0, 60, 20), finding(200, 300, 40, 80)])
    assert has_size(to_prepared(boxes, GEOMETRY, height=512, width=256)).tolist() == [False, True]


def test_a_box_beyond_the_breast_ends_at_the_original_edge() -> None:
    beyond = np.array([[-50.0, -50.0, 1000.0, 1000.0]])
    assert to_original(beyond, GEOMETRY).tolist() == [[0, 0, 1300, 2100]]


def test_overlap_of_every_pair() -> None:
    first = boxes_of([finding(0, 0, 10, 10), finding(0, 0, 0, 0)])
    second = boxes_of([finding(5, 0, 10, 10), finding(0, 0, 10, 10), finding(20, 20, 1, 1)])
    assert overlaps(first, second) == pytest.approx(np.array([[1 / 3, 1, 0], [0, 0, 0]]))
