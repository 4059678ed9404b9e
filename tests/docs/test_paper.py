"""Report, slides and the README's table say what the results files say, and nothing by hand."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

pytest.importorskip("markdown")

from benchmarks.paper import __main__ as paper
from benchmarks.paper import committed, deck, results
from benchmarks.paper.render import fill

# a figure of each results file that a page shows: where it is, and on which pages
SHOWN: dict[str, tuple[tuple[str | int, ...], tuple[str, ...]]] = {
    "reading": (("rows", 0, "ratio"), ("docs/report.md", "README.md")),
    "reading_before": (("rows", 0, "ratio"), ("README.md",)),
    "index_scale": ((8, "ours", "seconds"), ("README.md",)),
    "known_truth": (("runs", 3, "efficiency", "low"), ("docs/report.md", "README.md")),
    "mini_mias": (("patients",), ("docs/report.md", "README.md")),
    "rsna": (("record_alone", "auc", "value"), ("README.md",)),
    "exports": (("models", "resnet50", "onnx_int8", "ratio"), ("README.md",)),
    "shortcuts": (("run", "commit"), ("docs/benchmarks.md",)),
    "strategies": (("strategies", "replay", "average", 0), ("docs/report.md",)),
    "detectors": (
        ("detectors", "ssd", "mini-mias", "map50", "value"),
        ("docs/report.md", "README.md"),
    ),
    "service": (
        ("graphs", "onnx_fp32", "overhead", 0, "wall_ratio"),
        ("docs/report.md", "README.md"),
    ),
    "chaos": (("books", "lost"), ("docs/report.md", "README.md")),
    "faults": (("faults", 3, "passed"), ("docs/report.md",)),
    "guarded": (("cases", 0, "seconds"), ("docs/report.md", "README.md")),
    "soak": (("growth", "mib_per_1000"), ("docs/report.md", "README.md")),
    "stack_soak": (("sent",), ("README.md",)),
    "continual": (("figures", "named_rightly", "value"), ("docs/report.md", "README.md")),
    "decisions": (("policies", "ours", "auc_end", "low"), ("docs/report.md", "README.md")),
    "monitor": (("beside", 1, "ratio"), ("README.md",)),
    "gate": (("bad", "found", "kinds", 0, "passed"), ("docs/report.md", "README.md")),
    "gateway": (("kills", "acknowledged"), ("docs/report.md", "README.md")),
    "recorded": (("demo", "summary", "champion", "auc"), ("docs/report.md", "README.md")),
}
RECORDED: dict[tuple[str | int, ...], tuple[str, ...]] = {
    ("demo", "summary", "stages", 3, "seconds"): ("README.md",),
    ("demo", "summary", "phases", 1, "recall", "high"): ("README.md",),
    ("demo", "summary", "gates", "spent"): ("README.md",),
    ("demo", "summary", "requests", "sent"): ("README.md",),
    ("demo", "exams_to_set_threshold"): ("docs/report.md", "README.md"),
    ("tests", "quick", "passed"): ("README.md",),
    ("drills", "right"): ("docs/report.md", "README.md"),
    ("int8", "auc_change", "low"): ("README.md",),
    ("viewer", "largest_difference_webgl"): ("README.md",),
    ("mini_mias_tries", "variants"): ("README.md",),
}
"""The same for each part of the recorded runs."""


def test_committed_pages_say_what_was_measured() -> None:
    assert committed.stale_pages() == []


@pytest.fixture
def fresh_results() -> Iterator[None]:
    """Forget what was read, before and after a test that puts another file in place."""
    results.results.cache_clear()
    yield
    results.results.cache_clear()


def other(value: Any) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    return f"{value}0" if isinstance(value, str) else value + 3


def test_each_results_file_has_a_figure_here() -> None:
    assert set(SHOWN) == set(results.FILES)
    parts = json.loads((results.ROOT / results.FILES["recorded"]).read_text())
    assert {str(path[0]) for path in RECORDED} == set(parts) - {"about"}


@pytest.mark.parametrize(
    ("name", "path", "pages"),
    [
        *((name, path, pages) for name, (path, pages) in SHOWN.items()),
        *(("recorded", path, pages) for path, pages in RECORDED.items()),
    ],
)
@pytest.mark.usefixtures("fresh_results")
def test_a_figure_changed_in_a_results_file_fails_the_check(
    name: str,
    path: tuple[str | int, ...],
    pages: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = json.loads((results.ROOT / results.FILES[name]).read_text())
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = other(at[path[-1]])
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    monkeypatch.setitem(results.FILES, name, str(tmp_path / "changed.json"))
    monkeypatch.setattr("sys.argv", ["paper", "--check"])
    assert paper.main() == 1
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == list(pages)


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
