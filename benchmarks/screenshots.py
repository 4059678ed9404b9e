"""The pictures of the consoles and reports, taken from a stack that runs.

    make demo                          in a terminal: the stack stays up at its end
    python -m benchmarks.screenshots --home runs/demo/home     writes docs/pictures/*.png

Each page is opened in the system's Chromium, at the size of a screen, when it has come to rest.
Those of the viewer, of exams that everybody may see, are taken by `tests.viewer.pictures`.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mammo.settings import Settings

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WIDE, HIGH = 1440, 900
REST_MS = 4000
"""What the consoles take to draw after the last answer of their servers."""


def pages_of(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the picture's name and the address of each page that this stack has."""
    yield "prefect", f"{settings.prefect_ui_url}/runs"
    yield "mlflow", f"{settings.mlflow_url}/#/models"
    yield "openapi", f"{settings.service_url}/docs"
    reports = f"http://{settings.host}:{settings.reports_port}"
    wanted = {"data_docs": "data_docs/**/index.html", "evidently": "drift/**/evidently*.html"}
    wanted |= {"evidence": "drift/**/episode-*.html", "changes_demo": "changes/index.html"}
    for name, pattern in wanted.items():
        found = sorted(settings.reports_dir.glob(pattern), key=lambda one: one.stat().st_mtime)
        if found:
            yield name, f"{reports}/{found[-1].relative_to(settings.reports_dir)}"


def take(settings: Settings, to: Path) -> dict[str, str]:
    """Take all pictures; return name -> what came of it: the address, or why there is none.

    Raises FileNotFoundError where no Chromium is installed.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise FileNotFoundError("pictures need Chromium: apt-get install chromium")
    to.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDE, "height": HIGH})
        told = {name: _shoot(page, url, to / f"{name}.png") for name, url in pages_of(settings)}
        browser.close()
    return told


def _shoot(page: Any, url: str, to: Path) -> str:
    from playwright.sync_api import Error

    try:
        answer = page.goto(url, timeout=60_000)
    except Error as error:
        return f"no picture of {url}: {str(error).splitlines()[0]}"
    if answer is None or not answer.ok:
        return f"no picture of {url}: status {answer.status if answer else 'none'}"
    page.wait_for_timeout(REST_MS)
    _close_greetings(page)
    page.screenshot(path=str(to))
    return url


def _close_greetings(page: Any) -> None:
    """Close what a console opens by itself: MLflow greets with a dialog and with its assistant."""
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    for one in page.get_by_role("button", name=re.compile("^close", re.IGNORECASE)).all():
        if one.is_visible():
            one.click()
    page.wait_for_timeout(500)


def main() -> int:
    """Take the pictures; 1 where a page could not be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="MAMMO_HOME of the stack")
    parser.add_argument("--to", type=Path, default=PICTURES)
    given = parser.parse_args()
    settings = Settings(**({"home": given.home} if given.home else {}))
    told = take(settings, given.to)
    for name, line in told.items():
        print(f"{name}: {line}")
    return 1 if any(line.startswith("no picture") for line in told.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
