from __future__ import annotations

import json
import re
import time
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data_checks.docs_site import without_outside
from data_checks.run import ValidationReport, require_valid, validate_index
from data_checks.statistics import index_statistics
from mammo.data.index import write_index
from mammo.data.query import query_frame
from mammo.errors import IndexMissing, ValidationFailed
from mammo.settings import Settings

from .broken import screening

pytestmark = pytest.mark.slow

pytest.importorskip("great_expectations", reason="the extra 'checks' is not installed")


def installed(home: Path, index: pd.DataFrame) -> Settings:
    settings = Settings(home=home, _env_file=None)
    write_index(index, settings.index_path)
    return settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One installation for all checks here, so that the engine starts once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def sound(home: Path) -> tuple[ValidationReport, float]:
    """The report on a thousand sound rows, and the seconds it took."""
    settings = installed(home, screening(250))
    start = time.perf_counter()
    return validate_index(settings), time.perf_counter() - start


@pytest.fixture(scope="module")
def faulty(home: Path, sound: object) -> ValidationReport:
    """The report on an index with every fault of `FAULTS`, each on rows of its own."""
    index = screening()
    for column, value, rows, _ in FAULTS:
        index.loc[rows, column] = value
    features = [name for name in index.columns if name.startswith("f_")]
    index.loc[0, features] = index.loc[239, features]
    index.loc[index.index[100:140], "view"] = "ML"
    return validate_index(installed(home, index))


FAULTS: list[tuple[str, Any, range, str]] = [
    ("laterality", "X", range(1, 2), "laterality is one of L, R (column laterality): 1 of 240"),
    ("laterality", None, range(2, 3), "every mammogram has its laterality (column laterality): 1"),
    ("view", "SIDE", range(3, 4), "(column view): 1 of 240 rows"),
    ("age_years", 150, range(4, 6), "ages are 0 to 120 years, or unknown (column age_years): 2"),
    ("density", "E", range(6, 7), "(column density): 1 of 240"),
    ("scanner", None, range(7, 8), "every mammogram has its scanner (column scanner): 1 of 240"),
    ("image_id", f"I-{9:016x}", range(8, 9), "image_id stands twice (column rows_of_image): 2"),
    ("sha256", f"{11:064x}", range(10, 12), "sha256 stands twice (column rows_of_file): 2 of"),
    ("exam_id", f"E-{50:016x}", range(20, 48), "an exam has 1 to 24 views, in 95% of rows (col"),
    ("exam_id", f"E-{12:016x}", range(60, 61), "two patients (column patients_differ)"),
    ("patient_id", "Jane Doe", range(64, 65), "never an original identifier (column orig"),
    ("acquired_on", date(2190, 1, 1), range(65, 66), "not in the future (column acquired_on): 1"),
    ("spacing_mm", 70.0, range(66, 67), "0.01 to 1 mm, or unknown (column spacing_mm): 1 of 240"),
    ("cancer", 1, range(230), "between 0% and 90% of images with an outcome show cancer"),
    (
        "findings", '[{"x_min": 5, "y_min": 5, "x_max": 9, "y_max": 9000}]', range(67, 68),
        "every marked finding lies inside its image (column boxes_outside): 1 of 240",
    ),
]  # fmt: skip


def test_no_index_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="mammo ingest"):
        validate_index(Settings(home=tmp_path, _env_file=None))


def test_sound_index_passes_with_its_statistics(sound: tuple[ValidationReport, float]) -> None:
    report, seconds = sound
    assert (report.passed, report.failed, report.warnings) == (True, [], [])
    assert sorted(report.statistics["scanner_mix"]) == [f"Maker/Model {n}" for n in range(3)]
    assert (report.statistics["patients"], report.statistics["cancer_images"]) == (250, 84)
    assert report.statistics["prevalence_of_breasts"] == pytest.approx(42 / 500, abs=1e-4)
    assert report.docs_url == "http://127.0.0.1:3080/data_docs/index.html"
    assert seconds < 60  # some five seconds where nothing else runs
    json.dumps(report.to_dict())


@pytest.mark.parametrize("words", [fault[3] for fault in FAULTS])
def test_broken_expectation_is_said_in_words(words: str, faulty: ValidationReport) -> None:
    assert not faulty.passed
    assert any(words in message for message in faulty.failed), faulty.failed


def test_same_pixels_under_two_patients_are_a_leak(faulty: ValidationReport) -> None:
    words = (
        "no image stands under two patients, by size and all features (column pixels_of_others): 2"
    )
    assert any(message.startswith(words) for message in faulty.failed)


def test_unusual_views_only_warn(faulty: ValidationReport) -> None:
    words = "at least 95% of images are standard views (column view): 41 of 240 rows break it"
    assert any(message.startswith(words) for message in faulty.warnings)


def test_report_quotes_no_value_of_a_row(faulty: ValidationReport) -> None:
    assert "Jane" not in str(faulty.to_dict())
    assert not any("Jane" in page.read_text() for page in faulty.docs_path.parent.rglob("*.html"))


def test_unlabelled_index_passes(home: Path, faulty: object) -> None:
    index = screening()
    told = ["cancer", "abnormal", "birads", "biopsied", "invasive", "difficult"]
    told += ["outcome_known_at", "age_years", "density", "acquired_on", "spacing_mm"]
    index[told] = None
    index["findings"] = "[]"
    report = validate_index(installed(home, index))
    assert report.failed == []
    assert report.statistics["prevalence_of_breasts"] is None


def test_refusal_names_the_expectation_and_the_docs(home: Path, faulty: object) -> None:
    settings = installed(home, screening().head(0))
    with pytest.raises(ValidationFailed) as caught:
        require_valid(settings)
    assert re.fullmatch(
        r"1 of \d+ expectations on the exam index \(0 rows\) did not hold: the exam index has at "
        r"least one row: found 0 \[.+\]\. "
        r"Details: http://127\.0\.0\.1:3080/data_docs/index\.html",
        caught.value.message,
    )


def test_statistics_of_an_empty_index() -> None:
    with query_frame(screening(1).head(0)) as query:
        statistics = index_statistics(query)
    assert (statistics["images"], statistics["scanner_mix"]) == (0, {})


# --- pages


def test_pages_fetch_nothing_from_outside(faulty: ValidationReport) -> None:
    pages = list(faulty.docs_path.parent.rglob("*.html"))
    assert len(pages) >= 4
    for page in pages:
        text = page.read_text()
        assert not re.search(r"(?:src|url)\s*[=(]\s*[\"']?https?:", text), page.name
        assert not re.search(r"<link[^>]*https?:", text), page.name
        (style,) = re.findall(r'href="([./]*mammo\.css)"', text)
        assert (page.parent / style).is_file(), page.name


def test_index_page_lists_every_run_newest_first(faulty: ValidationReport) -> None:
    runs = json.loads((faulty.docs_path.parent / "runs.json").read_text())
    assert [run["passed"] for run in runs[-2:]] == [False, True]
    text = faulty.docs_path.read_text()
    assert len(re.findall(r'<td class="(?:passed|failed)">', text)) == len(runs) + 1
    for link in re.findall(r'href="(validations/[^"]+)"', text):
        assert (faulty.docs_path.parent / link).is_file()


@pytest.mark.parametrize(
    "outside",
    [
        '<link rel="stylesheet" href="https://cdn.example.org/a.css"/>',
        '<script src="https://cdn.example.org/a.js" integrity="sha384-x"></script>',
        '<img class="NO-CACHE"\n src="https://assets.example.org/logo.png?dataContextId=1" />',
        "<footer>news <a href='https://example.org'>Subscribe</a></footer>",
    ],
)
def test_outside_references_are_taken_out(outside: str) -> None:
    assert without_outside(f"<p>kept</p>{outside}<p>too</p>") == "<p>kept</p><p>too</p>"
