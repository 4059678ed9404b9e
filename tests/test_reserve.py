"""What is told beside a probability: the scale, and when not to rely on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.abstention import ABSTENTION_CODES, abstention_codes
from mammo.exam import OperatingPoint
from mammo.exam_report import Refused, ViewScore
from mammo.familiarity import FALSE_RATE, MIN_EXAMS, Familiarity, shrunk_covariance
from mammo.preprocess import FEATURE_NAMES, PreprocessConfig
from mammo.quality import QUALITY_CODES, REFUSALS
from mammo.reference_exams import ReferenceExams
from mammo.release import Release
from mammo.scale import MIN_EXAMS as MIN_SCALE
from mammo.scale import DecileScale
from tests.bentos.releases import write_reference


@pytest.mark.parametrize(
    ("probability", "told"),
    [(0.0, 1), (0.0949, 1), (0.105, 2), (0.55, 6), (0.8951, 9), (0.9049, 10), (1.0, 10)],
)
def test_a_class_holds_a_tenth_of_the_reference(probability: float, told: int) -> None:
    scale = DecileScale.fit(np.arange(1000) / 1000)
    assert scale is not None
    assert scale.of(probability) == told
    classes = [scale.of(one) for one in np.arange(1000) / 1000]
    assert [classes.count(one) for one in range(1, 11)] == [100] * 10


def test_too_few_exams_have_no_scale() -> None:
    assert DecileScale.fit([0.5] * (MIN_SCALE - 1)) is None
    assert DecileScale.fit([0.5] * (MIN_SCALE - 1) + [float("nan")]) is None


def test_equal_probabilities_are_of_one_class() -> None:
    scale = DecileScale.fit([0.1] * 50 + [0.9] * 50)
    assert scale is not None
    assert {scale.of(one) for one in (0.1, 0.9)} == {5, 10}


def reference(rng: np.random.Generator, exams: int) -> tuple[np.ndarray, list[str]]:
    """Two scanners whose exams vary along the same slanted directions."""
    mix = np.random.default_rng(0).normal(size=(12, 12))
    places = np.arange(exams) % 2
    points = rng.normal(size=(exams, 12)) @ mix + 8.0 * places[:, np.newaxis]
    return points, [f"scanner {place}" for place in places]


def test_the_false_rate_is_as_stated_and_what_is_foreign_is_found() -> None:
    rng = np.random.default_rng(1)
    fitted = Familiarity.fit(*reference(rng, 300))
    assert fitted is not None and len(fitted.means) == 2
    like, _ = reference(rng, 1500)
    wrongly = np.mean([fitted.is_foreign(one) for one in like])
    assert FALSE_RATE / 4 < wrongly < 2 * FALSE_RATE
    between = like[::2] + 4.0  # an average of both scanners is neither
    far = like[::2] + 40.0 * np.eye(12)[3]
    assert np.mean([fitted.is_foreign(one) for one in far]) > 0.9
    assert np.mean([fitted.is_foreign(one) for one in between]) > 3 * wrongly


def test_leaving_one_out_is_what_fitting_without_it_gives() -> None:
    from mammo.familiarity import _left_out

    points, _ = reference(np.random.default_rng(2), 60)
    beside = points - points.mean(axis=0)
    precision = np.linalg.inv(beside.T @ beside / 60)
    told = _left_out(beside, precision, np.full(60, 60), 0.0)
    for place in (0, 17, 59):
        others = np.delete(points, place, axis=0)
        centred = others - others.mean(axis=0)
        gap = points[place] - others.mean(axis=0)
        expected = gap @ np.linalg.inv(centred.T @ centred / 60) @ gap
        assert told[place] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("exams", [30, 100, 400])
def test_the_covariance_is_ledoit_and_wolfs(exams: int) -> None:
    from sklearn.covariance import ledoit_wolf

    points, _ = reference(np.random.default_rng(6), exams)
    told, shrinkage = shrunk_covariance(points)
    expected, part = ledoit_wolf(points, assume_centered=True)
    np.testing.assert_allclose(told, expected, rtol=1e-9, atol=1e-9)
    assert shrinkage == pytest.approx(part)


def test_few_or_damaged_references_judge_nobody() -> None:
    points, scanners = reference(np.random.default_rng(3), MIN_EXAMS)
    assert Familiarity.fit(points[1:], scanners[1:]) is None
    points[0, 0] = np.nan
    assert Familiarity.fit(points, scanners) is None


def test_a_scanner_of_few_exams_has_no_mean_of_its_own() -> None:
    points, scanners = reference(np.random.default_rng(4), 200)
    fitted = Familiarity.fit(points, [*scanners[:-1], "rare"])
    assert fitted is not None and len(fitted.means) == 2 and np.isfinite(fitted.threshold)


def view(*quality: str, pooled: bool = True) -> ViewScore:
    return ViewScore("I-1", "L", "CC", 0.0, quality, pooled)


@pytest.mark.parametrize(
    ("views", "refused", "quality", "foreign", "codes"),
    [
        ([view()], [], [], False, ()),
        ([view()], [], ["LOSSY_COMPRESSED", "FILE_REFUSED"], False, ()),
        ([view()], [], ["MISSING_VIEW", "UNKNOWN_SCANNER"], False, "MISSING_VIEW UNKNOWN_SCANNER"),
        ([view("WHOLE_IMAGE")], [], [], False, "NO_BREAST_FOUND"),
        ([view(), view("WHOLE_IMAGE", pooled=False)], [], [], False, ()),
        ([view()], ["NO_BREAST_FOUND"], [], False, "NO_BREAST_FOUND"),
        ([view()], ["TOMOSYNTHESIS"], ["FILE_REFUSED"], False, ()),
        ([view("SATURATED", "LOW_CONTRAST")], [], [], True,
         "LOW_CONTRAST OUT_OF_DISTRIBUTION SATURATED"),
    ],
)  # fmt: skip
def test_reasons_not_to_rely_on_a_score(
    views: list[ViewScore],
    refused: list[str],
    quality: list[str],
    foreign: bool,
    codes: str | tuple[str, ...],
) -> None:
    left_out = [Refused("1", code, "") for code in refused]
    found = abstention_codes(views, left_out, quality, foreign=foreign)
    assert found == tuple(codes.split() if isinstance(codes, str) else codes)
    assert set(found) <= set(ABSTENTION_CODES)


def test_every_reason_but_one_is_a_code_known_before() -> None:
    assert set(ABSTENTION_CODES) - {*QUALITY_CODES, *REFUSALS} == {"OUT_OF_DISTRIBUTION"}


def release(offset: float) -> Release:
    point = OperatingPoint("*", 1.0, offset, 0.5, 0.1)
    return Release(
        "r-1", None, "trained", "", "cancer", "", "d1", "", PreprocessConfig(), {"*": point}
    )


def test_the_reference_is_calibrated_by_the_release_that_serves(tmp_path: Path) -> None:
    write_reference(tmp_path, 120)
    for offset in (0.0, -2.0):  # the child has the parent's file, and its own offset
        one = release(offset)
        known = ReferenceExams.read(tmp_path, one)
        middle = one.operating_point("A/B").probability(0.05)
        assert known.scale_of(middle) == 6
    features = dict.fromkeys(FEATURE_NAMES, 0.0)
    assert not known.is_foreign(np.zeros(32), features)
    assert known.is_foreign(np.full(32, 9.0), features)


@pytest.mark.parametrize(("exams", "judged"), [(MIN_EXAMS - 1, False), (MIN_EXAMS, True)])
def test_too_few_reference_exams_judge_no_exam_and_say_so(
    tmp_path: Path, exams: int, judged: bool
) -> None:
    write_reference(tmp_path, exams)
    known = ReferenceExams.read(tmp_path, release(0.0))
    far = known.is_foreign(np.full(32, 1e6), dict.fromkeys(FEATURE_NAMES, 1e6))
    assert (known.judges_familiarity, far) == (judged, judged)
    assert known.scale_of(0.5) is not None, "a scale takes fewer"


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("e_07", "a number"),
        (f"f_{FEATURE_NAMES[0]}", "a number"),
        (f"f_{FEATURE_NAMES[0]}", "the column"),
    ],
)
def test_exams_without_their_numbers_are_not_counted(tmp_path: Path, name: str, lacks: str) -> None:
    write_reference(tmp_path, MIN_EXAMS)
    path = tmp_path / "reference.parquet"
    frame = pd.read_parquet(path)
    assert ReferenceExams.read(tmp_path, release(0.0)).judges_familiarity
    frame.loc[0, name] = np.nan
    (frame if lacks == "a number" else frame.drop(columns=[name])).to_parquet(path)
    assert not ReferenceExams.read(tmp_path, release(0.0)).judges_familiarity


def test_a_release_without_a_reference_says_nothing(tmp_path: Path) -> None:
    known = ReferenceExams.read(tmp_path, release(0.0))
    assert known.scale_of(0.5) is None and not known.judges_familiarity
    assert not known.is_foreign(np.zeros(32), {})
