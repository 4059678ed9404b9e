"""From files to a report with heat, in steps that a challenger can share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from mammo.continual.golden import write_golden
from mammo.contract import ScoredExam
from mammo.errors import DeadlineExceeded, ScoreNotFinite
from mammo.familiarity import MIN_EXAMS
from mammo.geometry import Geometry
from mammo.heat_findings import MIN_LOGIT, HeatFinding, find_regions
from mammo.heat_map import Grid, HeatMap
from mammo.patience import Patience
from mammo.preprocess import PreprocessConfig
from mammo.screening import ReadExam, Screener
from tests.bentos.releases import write_reference
from tests.heat_release import DARK, KEY, load, one_exam, write_heat_release

WHOLE = Geometry(0, 0, 640, 1280, 0.1, 0, 0, 1280, 640)
"""The prepared image (128, 64) is the original (1280, 640), ten times smaller."""
GRID = Grid.even((128, 64), (8, 4))


def heat(cells: dict[tuple[int, int], float], geometry: Geometry = WHOLE) -> HeatMap:
    grid = np.zeros((8, 4), np.float32)
    for place, value in cells.items():
        grid[place] = value
    return HeatMap(grid, geometry, GRID)


@pytest.mark.parametrize(
    ("cells", "boxes"),
    [
        ({}, []),
        ({(2, 1): -3.0}, []),
        ({(2, 1): MIN_LOGIT * 0.9}, []),
        ({(2, 1): 1.0}, [(160, 320, 320, 480)]),
        ({(2, 1): 1.0, (2, 2): 0.6, (3, 1): 0.4, (1, 0): 0.4}, [(160, 320, 480, 480)]),
        ({(0, 0): 0.5, (7, 3): 1.0}, [(480, 1120, 640, 1280), (0, 0, 160, 160)]),
        ({(0, 0): 9.0, (7, 3): 0.3}, [(0, 0, 160, 160)]),
        ({(0, 0): 1.0, (2, 2): 0.9, (5, 0): 0.8, (7, 3): 0.7},
         [(0, 0, 160, 160), (320, 320, 480, 480), (0, 800, 160, 960)]),
    ],
    ids=["nothing", "against", "too weak", "one", "neighbour below half", "two", "too small a part",
         "three at most"],
)  # fmt: skip
def test_boxes_lie_around_the_heat(
    cells: dict[tuple[int, int], float], boxes: list[tuple[int, ...]]
) -> None:
    found = find_regions(heat(cells))
    assert [(one.x_min, one.y_min, one.x_max, one.y_max) for one in found] == boxes
    total = sum(max(value, 0.0) for value in cells.values())
    for one in found:
        assert one.share == pytest.approx(one.logit / total)


def test_a_box_is_in_pixels_of_the_original_and_within_the_crop() -> None:
    # the crop's corner is at 100, 200 of the original and at 16, 0 of the prepared image
    place = Geometry(100, 200, 500, 1480, 0.1, 16, 0, 2000, 1000)
    (found,) = find_regions(heat({(1, 1): 1.0}, place))
    assert (found.x_min, found.y_min, found.x_max, found.y_max) == (100, 360, 260, 520)
    assert find_regions(heat({(1, 0): 1.0}, place)) == ()  # beside the mammogram, in the padding
    assert find_regions(heat({(1, 3): 1.0}, place))[0].x_max == 500


def test_places_are_told_to_a_tenth_of_a_pixel() -> None:
    told = HeatFinding(1.23, 2.0, 3.456, 4.0, 0.5, 0.7).to_dict()
    assert (told["x_min"], told["x_max"], told["source"]) == (1.2, 3.5, "heat")


@pytest.fixture(scope="module")
def screener(tmp_path_factory: pytest.TempPathFactory) -> Screener:
    return load(write_heat_release(tmp_path_factory.mktemp("releases"), "r-light"))


@pytest.fixture(scope="module")
def read(screener: Screener, tmp_path_factory: pytest.TempPathFactory) -> ReadExam:
    files = one_exam(tmp_path_factory.mktemp("phantom"))
    return screener.read_exam(files, key=KEY, site="s", identity=True)


@pytest.mark.slow
def test_heat_adds_up_to_the_logit_and_findings_follow_it(
    screener: Screener, read: ReadExam
) -> None:
    scoring = screener.score_read(read, role="canary")
    report = scoring.report
    assert scoring.role == "canary" and scoring.heat is not None and scoring.heat.shape == (4, 8, 4)
    for place, view in enumerate(report.views):
        assert view.logit == pytest.approx(float(scoring.heat[place].sum()), abs=1e-5)
        pixels = scoring.views[place].prepared.pixels.astype(np.float64) / 65535
        cells = pixels.reshape(8, 16, 4, 16).mean(axis=(1, 3)) - DARK
        np.testing.assert_allclose(scoring.heat[place], cells, atol=1e-6)
        assert view.findings == find_regions(scoring.heat_map(place))
        assert view.probability == report.operating_point.probability(view.logit)
    assert any(view.findings for view in report.views)
    told = report.to_json()
    assert told["views"][0]["findings"] == [one.to_dict() for one in report.views[0].findings]
    assert told["data_version"] == "d1" and told["operating_point"]["scanner"] == "*"
    assert report.abstention == ("UNKNOWN_SCANNER",)
    *breasts, exam = report.to_log_rows()
    assert (exam["scale"], exam["abstention"]) == (report.scale, "UNKNOWN_SCANNER")
    assert [one["scale"] for one in breasts] == [one.scale for one in report.breasts]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exams", "judged", "codes"),
    [
        (MIN_EXAMS - 1, False, ("UNKNOWN_SCANNER",)),
        (MIN_EXAMS, True, ("OUT_OF_DISTRIBUTION", "UNKNOWN_SCANNER")),
    ],
)
def test_an_answer_tells_whether_its_images_were_judged(
    screener: Screener, read: ReadExam, tmp_path: Path, exams: int, judged: bool,
    codes: tuple[str, ...],
) -> None:  # fmt: skip
    directory = copytree(screener.directory, tmp_path / screener.release.id)
    write_reference(directory, exams, middle=1e6)
    asked = load(directory)
    report = asked.score_read(read).report
    told = ScoredExam.of(report, ["1.dcm"] * 4)
    assert asked.familiarity_judged is report.familiarity_judged is judged
    assert told.familiarity_judged is judged and told.abstention == list(codes)


@pytest.mark.slow
def test_another_release_scores_what_was_read(
    read: ReadExam, screener: Screener, tmp_path: Path
) -> None:
    challenger = load(write_heat_release(tmp_path, "r-other", bias=1.0))
    assert screener.same_preparation(challenger)
    challenger.release = replace(challenger.release, preprocess=PreprocessConfig(height=256))
    assert not screener.same_preparation(challenger)
    challenger = load(tmp_path / "r-other")
    champions, other = screener.score_read(read).report, challenger.score_read(read).report
    assert other.logit == pytest.approx(champions.logit + 1.0, abs=1e-5)
    assert (other.exam_id, other.release_id) == (champions.exam_id, "r-other")


@pytest.mark.slow
@pytest.mark.parametrize("bias", [float("nan"), float("inf")], ids=str)
def test_a_score_that_is_no_number_is_no_report(
    read: ReadExam, tmp_path: Path, bias: float
) -> None:
    broken = load(write_heat_release(tmp_path, "r-broken", bias=bias))
    with pytest.raises(ScoreNotFinite, match="r-broken gave 4 of 4 logits") as caught:
        broken.score_read(read)
    assert caught.value.problem()["status"] == 500


@pytest.mark.slow
def test_a_release_without_heat_has_no_findings(read: ReadExam, tmp_path: Path) -> None:
    from tests.bentos.releases import write_release

    scoring = load(write_release(tmp_path, "r-plain")).score_read(read)
    assert scoring.heat is None and scoring.heat_map(0) is None
    assert [view.findings for view in scoring.report.views] == [()] * 4


@pytest.mark.slow
def test_the_heat_lies_where_the_release_measured_it(
    read: ReadExam, screener: Screener, tmp_path: Path
) -> None:
    assert screener.score_read(read).grid == GRID  # nothing was measured: evenly
    measured = Grid(-1.5, 5.6, 16.0, 16.0)
    directory = write_heat_release(tmp_path, "r-measured")
    write_golden(directory, load(directory), measured)
    assert load(directory).score_read(read).grid == measured


@pytest.mark.slow
def test_nobody_is_scored_after_the_deadline(read: ReadExam, screener: Screener) -> None:
    patience = Patience(1e-9)
    with pytest.raises(DeadlineExceeded):
        screener.score_read(read, patience=patience)
