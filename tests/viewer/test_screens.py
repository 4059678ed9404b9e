"""The hanging on the screens that readers have: a laptop, and a 5-megapixel portrait pair."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mammo.settings import Settings
from tests.viewer.reading import VIEWS, send, wait_ready

pytestmark = pytest.mark.slow
LAPTOP, PORTRAIT_PAIR = (1366, 768), (2 * 2048, 2560)
SMALLEST_TEXT_PX = 11


@pytest.fixture(scope="module")
def exam(hospital: tuple[str, Settings], phantom: list[Path]) -> str:
    sent: str = send(hospital[0], [path.read_bytes() for path in phantom])["exam"]
    return sent


@pytest.mark.parametrize("screen", [LAPTOP, PORTRAIT_PAIR], ids=["laptop", "5-megapixel pair"])
def test_four_views_fit_with_their_chest_walls_together(
    hospital: tuple[str, Settings], exam: str, open_page: Callable[..., Any], screen: Any
) -> None:
    width, height = screen
    page = open_page(f"{hospital[0]}/#/exam/{exam}", width=width, height=height)
    wait_ready(page)
    boxes = [page.locator(f'.tile[data-view="{view}"]').bounding_box() for view in VIEWS]
    for box in boxes:
        assert box["x"] >= 0 and box["y"] >= 0
        assert box["x"] + box["width"] <= width and box["y"] + box["height"] <= height
    for right, left in (boxes[:2], boxes[2:]):  # R and L of a projection, side by side
        assert right["y"] == left["y"]
        assert 0 <= left["x"] - (right["x"] + right["width"]) <= 4
    areas = sum(box["width"] * box["height"] for box in boxes)
    assert areas > 0.55 * width * height, "the images get most of the screen"
    assert _scrolls(page) == [False, False]
    assert page.locator(".toolbar button").last.is_visible()
    assert page.locator(".score").is_visible()
    assert _smallest_text(page) >= SMALLEST_TEXT_PX


def _scrolls(page: Any) -> list[bool]:
    told: list[bool] = page.evaluate(
        """() => [document.scrollingElement, document.querySelector("main")].map((one) =>
            one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth + 1)"""
    )
    return told


def _smallest_text(page: Any) -> float:
    told: float = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll("body *")]
            .filter((one) => one.checkVisibility() && [...one.childNodes].some(
                (part) => part.nodeType === 3 && part.textContent.trim()))
            .map((one) => parseFloat(getComputedStyle(one).fontSize)))"""
    )
    return told


def test_a_view_alone_on_the_pair_shows_every_pixel(
    hospital: tuple[str, Settings], exam: str, open_page: Callable[..., Any]
) -> None:
    """One view alone is shown at the image's own resolution or above, within the screen."""
    width, height = PORTRAIT_PAIR
    page = open_page(f"{hospital[0]}/#/exam/{exam}", width=width, height=height)
    wait_ready(page)
    told = page.request.get(f"{hospital[0]}/v1/exams/{exam}/images").json()["images"]
    rows = {f"{one['laterality']} {one['view']}": one["rows"] for one in told}
    page.keyboard.press("1")
    page.locator(".tile").nth(1).wait_for(state="detached")
    box = page.locator(".tile").bounding_box()
    assert box["height"] >= min(rows["R CC"], 0.9 * height)


@pytest.mark.parametrize("screen", [LAPTOP, PORTRAIT_PAIR], ids=["laptop", "5-megapixel pair"])
def test_the_list_fits(
    hospital: tuple[str, Settings], exam: str, open_page: Callable[..., Any], screen: Any
) -> None:
    width, height = screen
    page = open_page(hospital[0], width=width, height=height)
    page.wait_for_selector("tbody tr")
    assert not page.evaluate(
        "document.scrollingElement.scrollWidth > document.scrollingElement.clientWidth"
    )
    heads = [one.bounding_box() for one in page.locator("thead th").all()]
    assert all(a["x"] + a["width"] <= b["x"] + 1 for a, b in pairwise(heads))
    assert heads[-1]["x"] + heads[-1]["width"] <= width
