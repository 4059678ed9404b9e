"""Report and slides as files: HTML always, PDF where a Chromium is installed."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

from benchmarks.paper.deck import to_html, write_deck
from benchmarks.paper.render import fill
from benchmarks.paper.results import ROOT

STYLE = Path(__file__).parent / "report.css"


def write_pages(to: Path) -> list[Path]:
    """Write report and slides below a folder, and return what was written."""
    to.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "docs" / "pictures", to / "pictures", dirs_exist_ok=True)
    report, deck, notes = (to / f"{name}.html" for name in ("report", "slides", "slides-notes"))
    write_report(fill("report.md"), report)
    slides = fill("slides.md")
    write_deck(slides, deck)
    write_deck(slides, notes, notes=True)
    return [report, deck, notes]


def write_report(text: str, to: Path) -> None:
    """Write the report as one printable HTML file; links go to the site's pages."""
    title = text.splitlines()[0].lstrip("# ")
    linked = re.sub(r"\]\(([a-z_]+)\.md(#[^)]*)?\)", r"](../\1/\2)", text)
    to.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE.read_text()}</style><body><main>{to_html(linked)}</main></body></html>\n"
    )


def print_pdf(pages: list[Path]) -> list[Path]:
    """Print each page into a PDF beside it with the system's Chromium.

    Raises FileNotFoundError where there is none, with what to install.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise FileNotFoundError("PDF needs Chromium: apt-get install chromium; HTML is written")
    printed = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for one in pages:
            page = browser.new_page()
            page.goto(one.resolve().as_uri())
            page.pdf(path=one.with_suffix(".pdf"), prefer_css_page_size=True, print_background=True)
            page.close()
            printed.append(one.with_suffix(".pdf"))
        browser.close()
    return printed
