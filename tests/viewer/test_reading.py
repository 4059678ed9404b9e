"""A reader's way through the viewer, clicked through: send, look, measure, record, find again."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mammo.settings import Settings
from tests.viewer.reading import (
    VIEWS,
    canvas_of,
    changed,
    phantom_exam,
    real_exam,
    send,
    serving,
    settle,
    wait_count,
    wait_ready,
    wait_until,
)

pytestmark = pytest.mark.slow
Open = Callable[..., Any]


def test_a_newcomer_sends_an_exam_reads_it_and_records_its_outcome(
    tmp_path: Path, open_page: Open, phantom: list[Path]
) -> None:
    with serving(tmp_path / "home") as (address, _):
        page = open_page(address)
        page.wait_for_selector("text=No exam yet")
        page.set_input_files("#files", [str(path) for path in phantom])
        wait_ready(page)
        exam = page.url.rpartition("/")[2]
        answer = page.request.get(f"{address}/v1/exams/{exam}").json()
        assert page.inner_text(".big") == f"{answer['score']:.3f}"
        assert page.locator(".tile canvas").count() == 4
        facts = page.inner_text(".facts")
        for code in (*answer["quality"], *answer["abstention"], answer["release"]):
            assert code in facts
        assert answer["intended_use"] in facts
        unjudged = "Not judged whether the images look like" in facts
        assert unjudged == (answer.get("familiarity_judged") is False)
        _record(page)
        page.click("nav >> text=Exams")
        row = page.locator(f'tr:has(a[href="#/exam/{exam}"])')
        assert "cancer, pathology" in row.inner_text()
        assert answer["decision"] in row.inner_text()


def _record(page: Any) -> None:
    page.keyboard.press("o")
    page.check("input[name=result][value=yes]")
    page.fill("#source", "pathology")
    page.click("dialog >> text=Record")
    page.wait_for_selector("text=Recorded.")
    page.click("dialog >> text=Record")
    page.wait_for_selector("text=already recorded")
    page.keyboard.press("Escape")


@pytest.fixture(scope="module")
def exam(hospital: tuple[str, Settings], phantom: list[Path]) -> str:
    sent: str = send(hospital[0], [path.read_bytes() for path in phantom])["exam"]
    return sent


@pytest.fixture
def page(hospital: tuple[str, Settings], exam: str, open_page: Open) -> Any:
    page = open_page(f"{hospital[0]}/#/exam/{exam}")
    wait_ready(page)
    return page


def test_heat_and_boxes_start_hidden_and_come_by_a_key(page: Any) -> None:
    shown = ".boxes rect", ".heat:not([hidden])"
    assert [page.locator(one).count() for one in shown] == [0, 0]
    page.keyboard.press("h")
    wait_count(page, ".heat:not([hidden])", 4)
    page.keyboard.press("b")
    page.wait_for_selector(".boxes rect")
    assert "of the evidence" in page.locator(".boxes text").first.text_content()
    assert page.locator("[data-does=heat]").get_attribute("aria-pressed") == "true"
    page.keyboard.press("h")
    page.keyboard.press("b")
    wait_count(page, ".boxes rect", 0)
    assert page.locator(".heat:not([hidden])").count() == 0


def test_chest_walls_hang_together(page: Any) -> None:
    """What is bright at the inner edge of each tile is breast; at the outer edge there is none."""
    for view in VIEWS:
        drawn = canvas_of(page, view).astype(float)
        inner, outer = (drawn[:, -8:], drawn[:, :8])[:: 1 if view[0] == "R" else -1]
        assert inner.mean() > 5 * outer.mean() + 5, view


def test_mirrored_images_are_hung_the_right_way_round_and_say_so(
    hospital: tuple[str, Settings], open_page: Open, tmp_path: Path
) -> None:
    def mirror(dataset: Any, view: str) -> None:
        if view == "L CC":
            dataset.PixelData = dataset.pixel_array[:, ::-1].tobytes()

    files = changed(phantom_exam(tmp_path, seed=12), mirror)
    page = open_page(f"{hospital[0]}/#/exam/{send(hospital[0], files)['exam']}")
    wait_ready(page)
    captions = {view: page.inner_text(f'.tile[data-view="{view}"] .foot') for view in VIEWS}
    assert [view for view in VIEWS if "mirrored" in captions[view]] == ["L CC"]
    test_chest_walls_hang_together(page)


def test_window_invert_zoom_and_reset(page: Any) -> None:
    view = "R CC"
    foot = page.locator(f'.tile[data-view="{view}"] .foot')
    first, words = canvas_of(page, view), foot.inner_text()
    page.keyboard.press("ArrowUp")
    wait_until(page, lambda: foot.inner_text() != words)
    darker = "a higher centre is darker"
    wait_until(page, lambda: canvas_of(page, view).mean() < first.mean(), darker)
    page.keyboard.press("r")
    page.keyboard.press("i")
    wait_until(page, lambda: "inverted" in foot.inner_text())
    inside = first > 20
    wait_until(
        page, lambda: np.abs(255.0 - canvas_of(page, view)[inside] - first[inside]).max() <= 2
    )
    page.keyboard.press("r")
    wait_until(page, lambda: np.array_equal(canvas_of(page, view), first))


def test_dragging_windows_and_measuring_is_in_mm_at_the_detector(page: Any) -> None:
    box = page.locator('.tile[data-view="L CC"]').bounding_box()
    x, y = box["x"] + 40, box["y"] + box["height"] / 2
    words = page.inner_text('.tile[data-view="L CC"] .foot')
    _drag(page, (x, y), (x + 60, y + 10))
    wait_until(page, lambda: page.inner_text('.tile[data-view="L CC"] .foot') != words)
    page.keyboard.press("l")
    _drag(page, (x, y), (x + 100, y))
    page.wait_for_selector("text=/\\d+\\.\\d mm at the detector/")


def _drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=3)
    page.mouse.move(*end, steps=3)
    page.mouse.up()


def test_one_view_alone_and_back(page: Any) -> None:
    page.keyboard.press("3")
    settle(page, "R MLO")
    assert page.locator(".tile").count() == 1
    page.keyboard.press("Escape")
    settle(page, "R MLO")
    assert [one.get_attribute("data-view") for one in page.locator(".tile").all()] == [*VIEWS]


def test_an_exam_that_is_not_there_says_so(hospital: tuple[str, Settings], open_page: Open) -> None:
    page = open_page(f"{hospital[0]}/#/exam/E-0000000000000000")
    page.wait_for_selector(".problem")
    told = page.inner_text(".problem")
    assert "EXAM_UNKNOWN" in told and "Look for it in the list" in told


def test_refused_files_say_why_and_stand_in_the_list(
    hospital: tuple[str, Settings], open_page: Open, tmp_path: Path
) -> None:
    bad = tmp_path / "Doe^Jane.dcm"
    bad.write_bytes(b"no mammogram")
    page = open_page(hospital[0])
    page.set_input_files("#files", str(bad))
    page.wait_for_selector(".problem")
    told = page.inner_text(".problem")
    assert "NOTHING_READABLE" in told and "NOT_DICOM" in told and "Doe" not in told
    page.select_option("#state", "failed")
    page.wait_for_selector("tr[data-state=failed]")
    assert page.locator("tbody tr:not([data-state=failed])").count() == 0


def test_the_list_is_searched(hospital: tuple[str, Settings], open_page: Open, exam: str) -> None:
    page = open_page(hospital[0])
    page.fill("#search", exam)
    wait_count(page, "tbody tr", 1)
    page.fill("#search", "nobody's")
    page.wait_for_selector("text=No exam fits")


def test_real_mammograms_are_sent_as_a_zip_and_shown(
    hospital: tuple[str, Settings], open_page: Open, tmp_path: Path
) -> None:
    archive = tmp_path / "exam.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in real_exam("sfm-malign-0", tmp_path):
            packed.write(path, path.name)
    page = open_page(hospital[0])
    page.set_input_files("#files", str(archive))
    wait_ready(page)
    assert page.locator(".tile[data-ready=yes]").count() == 4
    test_chest_walls_hang_together(page)
    assert "not calibrated" in page.inner_text('.tile[data-view="R CC"] .foot')
    page.keyboard.press("h")
    wait_count(page, ".heat:not([hidden])", 4)
