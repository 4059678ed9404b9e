"""Report, slides and the README's table say what the results files say, and nothing by hand."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
from jinja2 import UndefinedError

pytest.importorskip("markdown")

from benchmarks.paper import committed, deck, results
from benchmarks.paper.render import TEMPLATES, fill

# aims and the words of a method, not measurements
STATED = [
    "0.25 SD",
    "0.25 standard",
    "0.5 false",
    "80 %",
    "95 %",
    "99 % at",
    "0.90 for",
    "asked: 1.15",
    "asked 1.15",
    "PSI > 0.1",
    "CC BY 3.0",
]


def test_committed_pages_say_what_was_measured() -> None:
    assert committed.stale_pages() == []


@pytest.mark.parametrize(
    ("name", "path", "pages"),
    [
        ("gate", ("bad", "found", "kinds", 0, "passed"), ["docs/report.md", "README.md"]),
        ("continual", ("figures", "named_rightly", "value"), ["docs/report.md", "README.md"]),
        ("chaos", ("books", "lost"), ["docs/report.md", "README.md"]),
        ("monitor", ("beside", 1, "ratio"), ["README.md"]),
        ("faults", ("faults", 3, "passed"), ["docs/report.md"]),
    ],
)
def test_a_figure_that_changes_shows(
    name: str, path: tuple[str | int, ...], pages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = copy.deepcopy(results.results(name))
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = 0.123 if not isinstance(at[path[-1]], bool) else not at[path[-1]]
    told = results.results
    monkeypatch.setattr(results, "results", lambda one: changed if one == name else told(one))
    assert committed.stale_pages() == pages


def test_a_page_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for page in (committed.REPORT, committed.BENCHMARKS, committed.README):
        shutil.copy(results.ROOT / page, tmp_path / page)
    assert committed.stale_pages(tmp_path) == []
    page = tmp_path / committed.REPORT
    page.write_text(page.read_text().replace("0.74", "0.47"))
    assert committed.stale_pages(tmp_path) == ["docs/report.md"]


@pytest.mark.parametrize("name", results.FILES)
def test_each_results_file_names_its_commit(name: str) -> None:
    assert re.search(r"[0-9a-f]{7}", results.commit_of(results.results(name)))


def test_a_results_file_without_commit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "figure.json").write_text(json.dumps({"auc": 0.9}))
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setitem(results.FILES, "figure", "figure.json")
    with pytest.raises(results.NoCommit, match=r"figure\.json names no commit"):
        results.results("figure")


def test_a_figure_that_is_not_there_fails_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    told = results.results
    less = {**told("continual"), "figures": {}}
    monkeypatch.setattr(results, "results", lambda one: less if one == "continual" else told(one))
    with pytest.raises(UndefinedError):
        fill("report.md")


@pytest.mark.parametrize("template", sorted(one.name for one in TEMPLATES.iterdir()))
def test_no_measured_number_is_typed(template: str) -> None:
    text = (TEMPLATES / template).read_text()
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", text, flags=re.DOTALL)
    for stated in STATED:
        text = text.replace(stated, "")
    headings = re.sub(r"^#+ .*$", "", text, flags=re.MULTILINE)
    assert re.findall(r"(?<![\w/.])\d+\.\d+|\d+ ?%", headings) == []


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        ({"value": 0.5, "low": 0.25, "high": 0.75}, 2, "0.50 (0.25 to 0.75)"),
        ({"value": 4.0, "low": 4.0, "high": 5.0}, 0, "4 (4 to 5)"),
        ({"value": -0.0004, "low": None, "high": None}, 2, "0.00"),
        ({"value": 1234.5, "low": -1.0, "high": 2.0}, 1, "1,234.5 (-1.0 to 2.0)"),
    ],
)
def test_intervals_are_written_alike(value: dict[str, float], digits: int, written: str) -> None:
    assert results.interval(value, digits) == written


def test_each_slide_has_notes() -> None:
    slides = deck.split_slides(fill("slides.md"))
    assert len(slides) >= 12
    with pytest.raises(ValueError, match="no notes below the slide that begins '## Two'"):
        deck.split_slides("# One\n\nNotes: said\n\n---\n\n## Two\n")


@pytest.mark.slow
def test_each_slide_fits_the_screen(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    from benchmarks.paper.pages import print_pdf, write_pages

    pages = write_pages(tmp_path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(pages[1].as_uri())
        page.keyboard.press("ArrowRight")
        assert page.evaluate("location.hash") == "#2"
        page.emulate_media(media="print")
        sizes = page.evaluate(
            "[...document.querySelectorAll('.slide')].map(s => [s.scrollHeight, s.scrollWidth])"
        )
        broken = page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
        browser.close()
    assert broken == []
    assert [at for at, (high, wide) in enumerate(sizes, 1) if high > 720 or wide > 1280] == []
    assert all(one.read_bytes()[:5] == b"%PDF-" for one in print_pdf(pages))
