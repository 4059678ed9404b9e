"""Validate index, pixels, splits, predictions and outcomes, and build their Data Docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from data_checks.data_docs import DOCS_FOLDER, docs_directory, write_pages
from data_checks.docs_site import publish
from data_checks.evaluate import CHUNK_ROWS, Suite, Verdict, evaluate
from data_checks.index_facts import chunks_of
from data_checks.limits import CheckLimits
from data_checks.statistics import index_statistics
from data_checks.suites.index import index_suite
from data_checks.suites.outcomes import outcome_chunks, outcomes_suite
from data_checks.suites.pixels import pixel_chunks, pixels_suite
from data_checks.suites.predictions import prediction_chunks, predictions_suite
from data_checks.suites.splits import split_chunks, split_paths, splits_suite
from mammo.data.query import IndexQuery, open_index
from mammo.data.version import current_version
from mammo.errors import IndexMissing, SettingsInvalid, ValidationFailed
from mammo.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

SUITES = ("index", "pixels", "splits", "predictions", "outcomes")
QUERY_MEMORY_MB = 1024
Chunks = Iterator[pd.DataFrame]


@dataclass(frozen=True)
class ValidationReport:
    """What held of the data and what did not.

    ``failed`` names each broken expectation in words, with its column, the
    number of rows and why it matters; ``warnings`` those that do not stop a run.
    ``suites`` has the same by suite, with the rows looked at. ``docs_url`` is the
    Data Docs under the reports' address, ``docs_path`` the file.
    """

    passed: bool
    failed: list[str]
    warnings: list[str]
    evaluated: int
    docs_url: str
    docs_path: Path
    statistics: dict[str, Any]
    suites: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self) | {"docs_path": str(self.docs_path)}


def validate_index(settings: Settings, limits: CheckLimits | None = None) -> ValidationReport:
    """Check the exam index alone and write the Data Docs.

    Raises
    ------
    IndexMissing
        Nothing has been ingested yet.
    """
    return validate(settings, ("index",), limits)


def validate(
    settings: Settings,
    suites: Sequence[str] = (),
    limits: CheckLimits | None = None,
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> ValidationReport:
    """Run suites and write the Data Docs; without ``suites``, those that have something to check.

    Raises
    ------
    IndexMissing
        Nothing has been ingested yet, and a suite that was asked for needs the index.
    SettingsInvalid
        There is no suite of that name, or what it checks is not there.
    """
    limits = limits or CheckLimits()
    if unknown := [name for name in suites if name not in SUITES]:
        raise SettingsInvalid(f"suite {unknown[0]!r} is unknown; allowed are {', '.join(SUITES)}")
    with _opened(settings) as (query, engine):
        there = _present(settings, query, engine)
        chosen = tuple(dict.fromkeys(suites)) or tuple(n for n in SUITES if there[n])
        _require_present(chosen, there)
        verdicts = [
            evaluate(*_prepare(name, settings, query, engine, limits, chunk_rows))
            for name in chosen
        ]
        told = index_statistics(query) if query is not None else {}
    return _report(settings, verdicts, told)


def require_valid(settings: Settings, limits: CheckLimits | None = None) -> ValidationReport:
    """Check the exam index and refuse it when an expectation is broken.

    Raises
    ------
    ValidationFailed
        The message names every broken expectation and the Data Docs.
    """
    report = validate_index(settings, limits)
    if not report.passed:
        raise ValidationFailed(refusal(report))
    return report


def refusal(report: ValidationReport) -> str:
    """Return what is said when a report did not pass: suites, rows, expectations, Data Docs."""
    broken = {name: one for name, one in report.suites.items() if one["failed"]}
    counts = ", ".join(
        f"{len(one['failed'])} of {one['evaluated']} expectations on {one['what']} "
        f"({one['rows']} rows)"
        for one in broken.values()
    )
    return f"{counts} did not hold: {'; '.join(report.failed)}. Details: {report.docs_url}"


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[IndexQuery | None, sa.Engine | None]]:
    """Open the index and the log, where they are there; neither is made."""
    with ExitStack() as stack:
        query = None
        if settings.index_path.exists():
            opened = open_index(settings.index_path, memory_mb=QUERY_MEMORY_MB)
            query = stack.enter_context(opened)
        engine = _log_engine(settings)
        if engine is not None:
            stack.callback(engine.dispose)
        yield query, engine


def _log_engine(settings: Settings) -> sa.Engine | None:
    import sqlalchemy as sa

    url = sa.make_url(settings.log_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        return None
    engine = sa.create_engine(url, hide_parameters=True)
    return engine if sa.inspect(engine).has_table("predictions") else None


def _present(
    settings: Settings, query: IndexQuery | None, engine: sa.Engine | None
) -> dict[str, bool]:
    """Return by suite whether there is something to check; the index is always asked for."""
    return {
        "index": query is not None or engine is None,
        "pixels": query is not None and settings.shards_dir.exists(),
        "splits": query is not None and bool(split_paths(settings)),
        "predictions": engine is not None and _has_rows(engine, "predictions"),
        "outcomes": engine is not None and _has_rows(engine, "outcomes"),
    }


def _has_rows(engine: sa.Engine, table: str) -> bool:
    import sqlalchemy as sa

    with engine.connect() as connection:
        return connection.execute(sa.text(f"SELECT 1 FROM {table} LIMIT 1")).first() is not None


_WANTING = {
    "splits": "no release with its list of patients is here: run `mammo train` first",
    "predictions": "no prediction is logged yet: send an exam to the service first",
    "outcomes": "no outcome was received yet: post one to the service first",
}


def _require_present(chosen: Sequence[str], there: dict[str, bool]) -> None:
    for name in chosen:
        if not there[name] or (name == "index" and not there["index"]):
            if name in ("index", "pixels"):
                raise IndexMissing("there is no exam index yet: run `mammo ingest` first")
            raise SettingsInvalid(f"suite {name!r} has nothing to check: {_WANTING[name]}")


def _prepare(
    name: str,
    settings: Settings,
    query: IndexQuery | None,
    engine: Any,
    limits: CheckLimits,
    rows: int,
) -> tuple[Suite, Chunks]:
    """Return a suite and the frames that it looks at."""
    if name == "predictions":
        return predictions_suite(limits), prediction_chunks(settings, engine, rows)
    if name == "outcomes":
        return outcomes_suite(), outcome_chunks(engine, query, rows)
    if query is None:
        raise IndexMissing("there is no exam index yet: run `mammo ingest` first")
    if name == "index":
        return index_suite(limits), chunks_of(query, rows)
    if name == "pixels":
        return pixels_suite(limits), pixel_chunks(settings, query, limits)
    return splits_suite(), split_chunks(settings, query)


def _report(
    settings: Settings, verdicts: list[Verdict], statistics: dict[str, Any]
) -> ValidationReport:
    version = current_version(settings)
    pages = write_pages(settings, verdicts, version or "no-version")
    report = ValidationReport(
        passed=all(verdict.passed for verdict in verdicts),
        failed=[words for verdict in verdicts for words in verdict.failed],
        warnings=[words for verdict in verdicts for words in verdict.warnings],
        evaluated=sum(verdict.evaluated for verdict in verdicts),
        docs_url=f"{settings.reports_url}/{DOCS_FOLDER}/index.html",
        docs_path=docs_directory(settings) / "index.html",
        statistics=statistics | {"data_version": version},
        suites={one.suite.name: _told(one, pages[one.suite.name]) for one in verdicts},
    )
    publish(docs_directory(settings), report.to_dict())
    return report


def _told(verdict: Verdict, page: str) -> dict[str, Any]:
    return {
        "title": verdict.suite.title,
        "what": verdict.suite.what,
        "passed": verdict.passed,
        "rows": verdict.rows,
        "evaluated": verdict.evaluated,
        "failed": list(verdict.failed),
        "warnings": list(verdict.warnings),
        "page": page,
        "expectations": f"expectations/{verdict.suite.page_name}.html",
    }
