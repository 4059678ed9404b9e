"""Takes the pictures of the viewer for the docs, from a service that is running.

    python -m tests.viewer.pictures http://127.0.0.1:3000 E-0123456789abcdef docs/pictures

The exam is one whose images may be shown to everybody: a phantom's, or one of CBIS-DDSM, whose
licence (CC BY 3.0) the text beside the picture names. Look at each picture before it is
committed. A token, where the service wants one, is read from ``MAMMO_TOKEN``.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.viewer.reading import wait_ready

FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
LAPTOP = {"width": 1366, "height": 768}
Shoot = Callable[[Any, str], None]


def of_exam(page: Any, shoot: Shoot) -> None:
    """Take the hanging, another window, heat, boxes and the form of the outcome."""
    wait_ready(page)
    page.wait_for_timeout(3500)  # what was said at the foot has faded
    shoot(page, "hanging")
    for _ in range(6):
        page.keyboard.press("ArrowUp")
    page.wait_for_timeout(3500)
    shoot(page, "window")
    page.keyboard.press("r")
    page.keyboard.press("h")
    page.wait_for_selector(".heat:not([hidden])")
    page.wait_for_timeout(3500)
    shoot(page, "heat")
    page.keyboard.press("h")
    page.keyboard.press("b")
    page.wait_for_timeout(3500)
    shoot(page, "boxes")
    page.keyboard.press("o")
    page.wait_for_timeout(500)
    shoot(page, "outcome")
    page.keyboard.press("Escape")


def take(address: str, exam: str, folder: Path) -> None:
    """Write ``viewer_*.png`` into a folder."""
    from playwright.sync_api import sync_playwright

    def shoot(page: Any, name: str) -> None:
        page.screenshot(path=folder / f"viewer_{name}.png")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_context(viewport=LAPTOP).new_page()
        page.set_default_timeout(90_000)
        page.goto(address)
        page.evaluate("token => sessionStorage.setItem('mammo.token', token)", _token())
        page.reload()
        page.wait_for_selector("#search")
        page.wait_for_timeout(1500)
        shoot(page, "list")
        page.goto(f"{address}/#/exam/{exam}")
        of_exam(page, shoot)
        page.goto(f"{address}/#/exam/E-0000000000000000")
        page.wait_for_selector(".problem")
        page.wait_for_timeout(500)
        shoot(page, "error")
        browser.close()


def _token() -> str:
    return os.environ.get("MAMMO_TOKEN", "")


if __name__ == "__main__":
    take(sys.argv[1].rstrip("/"), sys.argv[2], Path(sys.argv[3]))
