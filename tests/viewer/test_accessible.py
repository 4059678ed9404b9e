"""Everybody can use it: axe finds nothing serious on any page, and the keyboard reaches all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mammo.settings import Settings
from tests.viewer.reading import send, serving, wait_ready

pytestmark = pytest.mark.slow
Open = Callable[..., Any]
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
BAD = ("serious", "critical")
MOST_TABS = 80
INSIDE = """() => document.querySelector("dialog").contains(document.activeElement)
    || document.activeElement === document.body"""
"""The browser itself is one stop of the tab ring of a dialog."""


@pytest.fixture(scope="module")
def exam(hospital: tuple[str, Settings], phantom: list[Path]) -> str:
    address, _ = hospital
    httpx.post(f"{address}/v1/exams", files=[("files", ("1.dcm", b"no mammogram"))])
    sent: str = send(address, [path.read_bytes() for path in phantom])["exam"]
    return sent


def require_accessible(page: Any) -> None:
    """Fail with what axe finds to be serious or worse: rule, how bad, and the first place."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options=RULES).response["violations"]
    told = [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:120]}"
        for one in found
        if one["impact"] in BAD
    ]
    assert told == []


def press(*keys: str) -> Callable[[Any], None]:
    def act(page: Any) -> None:
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(400)

    return act


@pytest.mark.parametrize(
    "act",
    [press(), press("h", "b"), press("1"), press("f"), press("?"), press("o")],
    ids=["hanging", "overlays", "alone", "no facts", "help", "outcome"],
)
def test_axe_finds_nothing_on_an_exam(
    hospital: tuple[str, Settings], exam: str, open_page: Open, act: Callable[[Any], None]
) -> None:
    page = open_page(f"{hospital[0]}/#/exam/{exam}")
    wait_ready(page)
    act(page)
    require_accessible(page)


@pytest.mark.parametrize(
    ("path", "waits_for"),
    [("", "tbody tr"), ("#/exam/E-0000000000000000", ".problem")],
    ids=["list", "unknown exam"],
)
def test_axe_finds_nothing_beside_an_exam(
    hospital: tuple[str, Settings], exam: str, open_page: Open, path: str, waits_for: str
) -> None:
    page = open_page(f"{hospital[0]}/{path}")
    page.wait_for_selector(waits_for)
    require_accessible(page)
    page.click("#open-token")
    page.wait_for_selector("dialog[open]")
    require_accessible(page)


def test_axe_finds_nothing_on_an_empty_list_nor_without_images(
    tmp_path: Path, phantom: list[Path], open_page: Open
) -> None:
    with serving(tmp_path / "home", image_days=0) as (address, _):
        page = open_page(address)
        page.wait_for_selector("text=No exam yet")
        require_accessible(page)
        sent = send(address, [path.read_bytes() for path in phantom])["exam"]
        page = open_page(f"{address}/#/exam/{sent}")
        page.wait_for_selector(".stage.none .problem")
        assert "MAMMO_IMAGE_DAYS" in page.inner_text(".problem")
        require_accessible(page)


def focused(page: Any) -> str:
    told: str = page.evaluate(
        """() => {
            const one = document.activeElement;
            return one.dataset.view ?? one.dataset.does ?? one.id ?? one.tagName;
        }"""
    )
    return told


def test_the_keyboard_reaches_every_tool_and_view_and_comes_back(
    hospital: tuple[str, Settings], exam: str, open_page: Open
) -> None:
    page = open_page(f"{hospital[0]}/#/exam/{exam}")
    wait_ready(page)
    wanted = {one.get_attribute("data-does") for one in page.locator(".toolbar button").all()}
    wanted |= {one.get_attribute("data-view") for one in page.locator(".tile").all()}
    first, reached = focused(page), list[str]()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        reached.append(focused(page))
        if reached[-1] == first:
            break
    assert wanted <= set(reached)
    order = [one for one in reached if one in ("R CC", "L CC", "R MLO", "L MLO")]
    assert order == ["L CC", "R MLO", "L MLO", "R CC"]


@pytest.mark.parametrize("key", ["?", "o"])
def test_a_dialog_takes_the_focus_and_gives_it_back(
    hospital: tuple[str, Settings], exam: str, open_page: Open, key: str
) -> None:
    page = open_page(f"{hospital[0]}/#/exam/{exam}")
    wait_ready(page)
    before = focused(page)
    page.keyboard.press(key)
    page.wait_for_selector("dialog[open]")
    for _ in range(12):
        assert page.evaluate(INSIDE)
        page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    assert focused(page) == before
