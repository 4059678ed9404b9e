"""The whole page: self-contained, quiet in a browser, whole or not there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from flows.cli_explore import add_explore_commands
from mammo.data.index import index_from_rows, write_index
from mammo.data.likeness import perceptual_hash
from mammo.explore.counts import Share
from mammo.explore.page import Origin, render_page, summarise
from mammo.explore.plots import bar_plot, interval_plot, share_grid
from mammo.explore.report import explore_frame, explore_index
from mammo.explore.section import Plot, Section, Table
from mammo.settings import Settings

ORIGIN = Origin("abc", "mammo explore", "2026-11-23 00:00 UTC", "0.1.0")
PATIENTS, HEIGHT, WIDTH = 30, 64, 32


def prepared(seed: int, scanner: int) -> np.ndarray:
    """Return a breast of 64 x 32 whose noise depends on the scanner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    inside = ((y - 32) / rng.uniform(20, 30)) ** 2 + (x / rng.uniform(18, 30)) ** 2 < 1
    tissue = np.kron(rng.normal(0, 6000, (8, 4)), np.ones((8, 8)))
    noise = rng.normal(0, 500 + 1500 * scanner, (HEIGHT, WIDTH))
    return np.where(inside, 30_000 + tissue + noise, 0).clip(0, 65_535).astype(np.uint16)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An index of two scanners in which one image stands under two patients."""
    settings = Settings(home=tmp_path / "home", _env_file=None)
    settings.shards_dir.mkdir(parents=True)
    pixels = [prepared(row // 2, row // 2 % 2) for row in range(2 * PATIENTS)]
    for row in range(1, 2 * PATIENTS, 2):
        pixels[row] = prepared(1000 + row, row // 2 % 2)
    pixels[9] = pixels[2]
    np.save(settings.shards_dir / "s.npy", np.stack(pixels))
    rows = [_row(row, image) for row, image in enumerate(pixels)]
    write_index(index_from_rows(rows), settings.index_path)
    return settings


def _row(row: int, image: np.ndarray) -> dict[str, object]:
    patient, scanner = row // 2, row // 2 % 2
    breast = image[image > 0].astype(float) / 65_535
    geometry = {"x0": 0, "y0": 0, "x1": 320, "y1": 640, "scale": 0.1, "pad_x": 0, "pad_y": 0,
                "rows": 640, "columns": 320 + 40 * scanner}  # fmt: skip
    box = {"x_min": 50, "y_min": 250, "x_max": 120, "y_max": 330, "kind": "mass", "score": 1.0}
    return {
        "image_id": f"I-{row:016x}", "exam_id": f"E-{patient:016x}",
        "patient_id": f"P-{patient:016x}", "laterality": "LR"[row % 2], "view": "CC",
        "scanner": f"Maker/<Model {scanner}>", "site": "site-1", "source": "made", "shard": "s",
        "sha256": f"{row:064x}", "shard_row": row, "rows": 640, "columns": 320 + 40 * scanner,
        "spacing_mm": 0.05 + 0.05 * scanner, "cancer": int(patient % 3 == 0),
        "quality": "SATURATED" if row % 7 == 0 else "", "geometry": json.dumps(geometry),
        "findings": json.dumps([box] if patient % 3 == 0 else []),
        "phash": perceptual_hash(image), "f_breast_fraction": float((image > 0).mean()),
        "f_mean_intensity": breast.mean(), "f_contrast": breast.std(), "f_skewness": 0.1,
        "f_sharpness": float(np.abs(np.diff(image.astype(float))).mean() / 1e4),
        "f_noise": 0.01 + 0.02 * scanner + row * 1e-5,
    }  # fmt: skip


class Addresses(HTMLParser):
    """Every address that an element of the page could load or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.alts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        loads = ("src", "href", "xlink:href", "action", "data", "poster", "srcset")
        self.found += [str(named[name]) for name in loads if name in named]
        if tag == "img":
            self.alts.append(named.get("alt"))


def read_page(page: Path) -> tuple[str, Addresses]:
    text, addresses = page.read_text(), Addresses()
    addresses.feed(text)
    return text, addresses


@pytest.mark.slow
def test_the_page_of_an_index_tells_its_images(settings: Settings) -> None:
    report = explore_index(settings)
    text, addresses = read_page(report.path)
    assert {"images", "intensity", "codes", "duplicates", "gallery"} <= set(report.chapters)
    assert all(one.startswith(("#", "data:")) for one in addresses.found)
    assert "script" not in addresses.tags
    assert addresses.alts
    assert all(addresses.alts)
    assert not re.search(r"url\((?!#)", text)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {f"#{key}" for key in report.chapters} <= set(addresses.found)
    assert "<Model" not in text  # a header's text is escaped
    told = " ".join(report.warnings)
    assert "1 pair of near-identical images is of different patients" in told
    assert "Pixel spacings differ by up to 2.0 times" in told
    assert "SATURATED is on" in text
    assert "names the scanner of an unseen patient" in text


@pytest.mark.slow
def test_a_table_alone_says_what_it_cannot_tell(settings: Settings, tmp_path: Path) -> None:
    frame = pd.read_parquet(settings.index_path)
    blank = [name for name in frame if name.startswith("f_")]
    blank += ["rows", "columns", "spacing_mm", "phash"]
    frame[blank] = None
    frame["shard_row"], frame["shard"] = -1, ""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    table = index_from_rows(rows)
    report = explore_frame(table, "A table", to=tmp_path / "t.html", version="none")
    assert not {"images", "intensity", "codes", "duplicates", "gallery"} & set(report.chapters)
    text = report.path.read_text()
    assert "Without pixels nothing is said here of image sizes and pixel spacing" in text


@pytest.mark.slow
def test_no_pseudonym_is_shown_whole(settings: Settings) -> None:
    text = explore_index(settings).path.read_text()
    assert not re.search(r"\b[IEP]-[0-9a-f]{16}", text)


@pytest.mark.slow
def test_the_same_index_gives_the_same_page_but_for_the_time(settings: Settings) -> None:
    pages = [explore_index(settings).path.read_text() for _ in range(2)]
    first, second = (re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", page) for page in pages)
    assert first == second


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammo.explore.report.CHAPTERS", ("overview", "codes"))
    page = tmp_path / "out" / "page.html"
    explore_index(settings, to=page)
    before = page.read_bytes()
    monkeypatch.setattr(
        "mammo.explore.report.render_page", lambda *_: (_ for _ in ()).throw(RuntimeError("broken"))
    )
    with pytest.raises(RuntimeError, match="broken"):
        explore_index(settings, to=page)
    assert page.read_bytes() == before
    assert [one.name for one in page.parent.iterdir()] == ["page.html"]


def test_the_summary_has_each_sections_first_warning_first() -> None:
    sections = [
        Section("overview", "O", ("What it is.",), warnings=("a1", "a2")),
        Section("labels", "L", ("b1",), warnings=("b1",)),
    ]
    warnings, leads = summarise(sections)
    assert warnings == ("a1", "b1", "a2")
    assert leads == ("What it is.",)  # what is a warning already is not told twice


def test_hostile_texts_are_escaped() -> None:
    evil = '<script>alert(1)</script>"'
    section = Section(
        "overview", evil, (evil,), (Plot(evil, "", evil, b"\x89PNG"),),
        (Table((evil,), ((evil,),), evil),), (evil,),
    )  # fmt: skip
    assert "<script" not in render_page(evil, [section], ORIGIN)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_asks_for_nothing_and_complains_of_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    page = explore_index(settings, to=tmp_path / "page.html").path
    log, shot = tmp_path / "net.json", tmp_path / "shot.png"
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--enable-logging=stderr", "--v=0", "--window-size=1000,1400",
         f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}",
         f"--screenshot={shot}", page.as_uri()],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    asked = re.findall(r'"url":"([^"]+)"', log.read_text())
    outside = [one for one in asked if one.startswith(("http", "ws"))]
    assert [one for one in outside if "google" not in one] == []  # the browser's own errands
    with Image.open(shot) as picture:
        assert len(picture.convert("L").getcolors(256) or ()) > 20


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    app = typer.Typer()
    add_explore_commands(app)
    app.command("other")(lambda: None)
    return lambda *words: CliRunner().invoke(app, ["explore", *map(str, words)])


@pytest.mark.slow
def test_the_command_writes_the_page(run: Callable[..., object], tmp_path: Path) -> None:
    done = run("--to", tmp_path / "p.html", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (tmp_path / "p.html").exists()
    assert any("near-identical" in one for one in told["warnings"])


@pytest.mark.slow
def test_the_command_draws_a_contact_sheet(run: Callable[..., object], tmp_path: Path) -> None:
    sheets = []
    for name, preset in (("a", "strong"), ("b", "strong"), ("c", "light")):
        sheet = tmp_path / f"{name}.png"
        done = run("augment", "--preset", preset, "--each", 2, "--to", sheet, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["boxes"] == 1
        sheets.append(sheet.read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("augment", "--preset", "wild"), "no preset 'wild'; allowed are light, standard, strong"),
        (("augment", "--image", "999"), "the index has no row 999; allowed are 0 to 59"),
        (("augment", "--image", "absent.dcm"), "SOURCE_NOT_FOUND"),
        (("--source", "rsna", "absent.csv"), "SOURCE_NOT_FOUND"),
        (("--source", "nowhere", "x"), "nowhere"),
    ],
)
def test_bad_input_is_refused_and_writes_nothing(
    run: Callable[..., object], tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    target = tmp_path / "out"
    done = run(*words, "--to", target)
    assert done.exit_code == 2
    assert told in done.stderr
    assert not target.exists()


def test_names_with_two_dollars_are_no_formulas() -> None:
    name = "A $\\x_$"
    share = Share(3, 9, 0.1, 0.6, 9)
    drawn = [
        interval_plot("a", "T", "t", [(name, share), ("B", share)], "x"),
        bar_plot("b", "T", "t", [(name, 3.0, "3"), ("B", 2.0, "2")], "x"),
        share_grid("c", "T", "t", [name, "B"], ["C", name], [[0.1, 0.2], [0.3, 0.4]], "x"),
    ]
    assert [one.svg.count(f">{name}</text>") for one in drawn] == [1, 1, 2]
