"""Sound data of several kinds raise no alarm, whatever the size of the chunks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from data_checks.evaluate import Verdict, evaluate
from data_checks.index_facts import chunks_of
from data_checks.run import ValidationReport, validate
from data_checks.suites.index import index_suite
from data_checks.suites.outcomes import outcome_chunks, outcomes_suite
from data_checks.suites.predictions import prediction_chunks, predictions_suite
from data_checks.suites.splits import splits_suite
from mammo.data.query import query_frame
from mammo.data.sources.tabulate import tabulate
from mammo.errors import IndexMissing, SettingsInvalid
from mammo.settings import Settings

from . import broken_log, broken_split
from .broken import screening
from .checks_page import make_store

pytestmark = pytest.mark.slow

pytest.importorskip("great_expectations", reason="the extra 'checks' is not installed")

SHARED = Path(os.environ.get("MAMMO_TEST_DATA", Path(__file__).parents[2].parent / "shared/data"))
Counts = dict[str, tuple[bool, int]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ValidationReport:
    """Phantoms of three scanners, a split of them, and a log with outcomes: every suite."""
    home = tmp_path_factory.mktemp("healthy") / "home"
    settings = broken_log.sound_log(make_store(home))
    index = pd.read_parquet(settings.index_path, columns=["patient_id"])
    parts = ("train", "holdout", "golden")
    rows = [(one, parts[n % 3]) for n, one in enumerate(sorted(set(index["patient_id"])))]
    (settings.releases_dir / "r-1").mkdir(parents=True)
    listed = pd.DataFrame(rows, columns=["patient_id", "part"])
    listed.to_parquet(settings.releases_dir / "r-1" / "patients.parquet", index=False)
    return validate(settings)


def test_phantoms_pass_every_suite(report: ValidationReport) -> None:
    assert report.failed == []
    assert list(report.suites) == ["index", "pixels", "splits", "predictions", "outcomes"]
    assert all(one["rows"] for one in report.suites.values())
    assert [one["warnings"] for name, one in report.suites.items() if name != "splits"] == [[]] * 4


def test_no_page_of_any_suite_fetches_from_outside(report: ValidationReport) -> None:
    pages = list(report.docs_path.parent.rglob("*.html"))
    assert len(pages) >= 11
    for page in pages:
        text = page.read_text()
        assert not re.search(r"(?:src|url)\s*[=(]\s*[\"']?https?:", text), page.name
        assert not re.search(r"<(?:link|script|img|iframe)[^>]*https?:", text), page.name


@pytest.mark.parametrize(
    ("source", "path", "rows"),
    [("rsna", "rsna/train.csv", 54_706), ("mini-mias", "mini-mias", 224)],
)
def test_public_table_passes(source: str, path: str, rows: int) -> None:
    if not (SHARED / path).exists():
        pytest.skip(f"real data not found at {SHARED / path}; set MAMMO_TEST_DATA")
    with query_frame(tabulate(source, SHARED / path, b"k" * 32)) as query:
        verdict = evaluate(index_suite(), chunks_of(query))
    assert (verdict.rows, verdict.failed, verdict.warnings) == (rows, (), ())


@pytest.mark.parametrize(
    ("suites", "refused", "words"),
    [
        (("index",), IndexMissing, "run `mammo ingest` first"),
        (("pixels",), IndexMissing, "run `mammo ingest` first"),
        (("outcomes",), SettingsInvalid, "'outcomes' has nothing to check: no outcome"),
        (("splits",), SettingsInvalid, "run `mammo train` first"),
        (("indeks",), SettingsInvalid, "allowed are index, pixels, splits"),
        ((), IndexMissing, "run `mammo ingest` first"),
    ],
)
def test_nothing_to_check_says_what_to_run(
    suites: tuple[str, ...], refused: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(refused, match=words):
        validate(Settings(home=tmp_path, _env_file=None), suites)
    assert not any(tmp_path.iterdir())


# --- chunks


def counts(verdict: Verdict) -> Counts:
    """Return by expectation its verdict and the rows that break it."""
    found = {}
    for one in verdict.result.results:
        config = one.expectation_config
        key = f"{config.type} {config.kwargs.get('column')} {config.meta['words']}"
        found[key] = (bool(one.success), int(one.result.get("unexpected_count", 0)))
    return found


def both(suite: object, chunks: Callable[[int], object], few: int) -> tuple[Verdict, Verdict]:
    whole, cut = evaluate(suite, chunks(10**6)), evaluate(suite, chunks(few))  # type: ignore[arg-type]
    assert (whole.chunks, cut.chunks > 3) == (1, True)
    return whole, cut


def test_index_in_chunks_is_judged_as_a_whole() -> None:
    """A file under two ids 100 rows apart, and the views of a breast in two chunks."""
    index = screening(40)
    index.loc[110, "sha256"] = index.loc[10, "sha256"]
    index.loc[41, "age_years"] = 90  # its exam is rows 40 to 43: the cut is at 42
    index.loc[44, "cancer"] = None
    index.loc[index.index[100:140], "view"] = "ML"
    with query_frame(index) as query:
        frame = pd.concat(list(chunks_of(query)), ignore_index=True).sort_values("image_id")
    pieces = lambda rows: (frame[at : at + rows] for at in range(0, len(frame), rows))  # noqa: E731
    whole, cut = both(index_suite(), pieces, 42)
    assert counts(cut) == counts(whole)
    assert (cut.rows, cut.failed, cut.warnings) == (whole.rows, whole.failed, whole.warnings)
    assert [words.split(" [")[0] for words in cut.failed] == [
        "no sha256 stands twice (column rows_of_file): 2 of 160 rows break it"
    ]
    assert any("an exam has one age (column ages_differ): 4 of 160" in one for one in cut.warnings)


def test_log_in_chunks_is_judged_as_a_whole(tmp_path: Path) -> None:
    """Seven rows a chunk: scorings of three rows are cut, and one is repeated elsewhere."""
    import sqlalchemy as sa

    settings = broken_log.sound_log(Settings(home=tmp_path, _env_file=None))
    engine = sa.create_engine(settings.log_url)
    with engine.begin() as connection:
        for line in (
            "UPDATE predictions SET probability = 0.6 WHERE id = 15",
            "UPDATE predictions SET role = 'champion' WHERE role = 'shadow'",
            "UPDATE predictions SET release_id = 'r-9' WHERE id > 30",
            "UPDATE outcomes SET exam_id = 'E-0000000000000000', laterality = 'L', cancer = 0, "
            "known_at = (SELECT known_at FROM outcomes WHERE id = 1) WHERE id = 20",
        ):
            connection.exec_driver_sql(line)
    for suite, chunks in (
        (predictions_suite(), lambda size: prediction_chunks(settings, engine, size)),
        (outcomes_suite(), lambda size: outcome_chunks(engine, None, size)),
    ):
        whole, cut = both(suite, chunks, 7)
        assert counts(cut) == counts(whole)
        assert (cut.rows, cut.failed, cut.warnings) == (whole.rows, whole.failed, whole.warnings)
        assert cut.failed or cut.warnings
    engine.dispose()


def test_split_in_chunks_is_judged_as_a_whole() -> None:
    split = broken_split.sound_split()
    broken_split.FAULTS[1][2](split)
    frame = broken_split.frame_of(split)
    pieces = lambda rows: (frame[at : at + rows] for at in range(0, len(frame), rows))  # noqa: E731
    whole, cut = both(splits_suite(), pieces, 19)
    assert counts(cut) == counts(whole)
    assert len(cut.failed) == 1


def test_log_made_before_requests_had_ids_can_be_checked(tmp_path: Path) -> None:
    import sqlalchemy as sa

    settings = broken_log.sound_log(Settings(home=tmp_path, _env_file=None))
    engine = sa.create_engine(settings.log_url)
    now = pd.concat(prediction_chunks(settings, engine, 1000))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_predictions_request_id")
        connection.exec_driver_sql("ALTER TABLE predictions DROP COLUMN request_id")
    before = pd.concat(prediction_chunks(settings, engine, 1000))
    assert before["request_id"].isna().all()
    assert list(before["id"]) == list(now["id"])
    engine.dispose()
