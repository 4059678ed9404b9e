"""Validate the exam index with Great Expectations and build its Data Docs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from data_checks.docs_site import publish
from data_checks.suite import SUITE_NAME, CheckLimits, build_expectations, with_derived_columns
from mammo.data.index import read_index
from mammo.data.version import current_version
from mammo.errors import ValidationFailed
from mammo.settings import TELEMETRY_OFF, Settings

SITE_NAME = "local_site"
DOCS_FOLDER = "data_docs"


@dataclass(frozen=True)
class ValidationReport:
    """What held of the index and what did not.

    ``failed`` names each broken expectation in words, with its column and the
    number of rows; ``warnings`` those that do not stop a run. ``docs_url`` is
    the Data Docs under the reports' address, ``docs_path`` the file.
    """

    passed: bool
    failed: list[str]
    warnings: list[str]
    evaluated: int
    docs_url: str
    docs_path: Path
    statistics: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self) | {"docs_path": str(self.docs_path)}


def validate_index(settings: Settings, limits: CheckLimits | None = None) -> ValidationReport:
    """Check the exam index and write the Data Docs.

    Raises
    ------
    IndexMissing
        Nothing has been ingested yet.
    """
    limits = limits or CheckLimits()
    index = read_index(settings.index_path)
    results = _run_suite(settings, with_derived_columns(index, limits), limits)
    broken = [result for result in results if not result.success]
    failed = [_in_words(r, len(index)) for r in broken if not _is_warning(r)]
    report = ValidationReport(
        passed=not failed,
        failed=failed,
        warnings=[_in_words(r, len(index)) for r in broken if _is_warning(r)],
        evaluated=len(results),
        docs_url=f"{settings.reports_url}/{DOCS_FOLDER}/index.html",
        docs_path=docs_directory(settings) / "index.html",
        statistics=index_statistics(index) | {"data_version": current_version(settings)},
    )
    publish(docs_directory(settings), report.to_dict())
    return report


def require_valid(settings: Settings, limits: CheckLimits | None = None) -> ValidationReport:
    """Check the exam index and refuse it when an expectation is broken.

    Raises
    ------
    ValidationFailed
        The message names every broken expectation and the Data Docs.
    """
    report = validate_index(settings, limits)
    if not report.passed:
        count = len(report.failed)
        raise ValidationFailed(
            f"{count} of {report.evaluated} expectations on the exam index did not hold: "
            f"{'; '.join(report.failed)}. Details: {report.docs_url}"
        )
    return report


def docs_directory(settings: Settings) -> Path:
    """Return the folder of the Data Docs."""
    return settings.reports_dir / DOCS_FOLDER


def index_statistics(index: pd.DataFrame) -> dict[str, Any]:
    """Return counts of images, exams, patients, labels, and the mix of scanners."""
    labelled = index["cancer"].notna()
    breasts = index[labelled].drop_duplicates(["exam_id", "laterality"])
    prevalence = round(float(breasts["cancer"].mean()), 4) if len(breasts) else None
    return {
        "images": len(index),
        "exams": int(index["exam_id"].nunique()),
        "patients": int(index["patient_id"].nunique()),
        "images_with_outcome": int(labelled.sum()),
        "cancer_images": int(index["cancer"].sum()),
        "abnormal_images": int(index["abnormal"].sum()),
        "breasts_with_outcome": len(breasts),
        "prevalence_of_breasts": prevalence,
        "scanner_mix": _mix(index["scanner"]),
        "software_mix": _mix(index["scanner"] + " " + index["software_version"].fillna("")),
        "site_mix": _mix(index["site"]),
        "source_mix": _mix(index["source"]),
        "view_mix": _mix(index["laterality"] + " " + index["view"]),
    }


def _mix(values: pd.Series[Any]) -> dict[str, int]:
    return {str(name).strip(): int(count) for name, count in values.value_counts().items()}


def _run_suite(settings: Settings, frame: pd.DataFrame, limits: CheckLimits) -> list[Any]:
    os.environ.update(TELEMETRY_OFF)
    gx: Any = import_module("great_expectations")
    expectations = build_expectations(limits, labelled=bool(frame["cancer"].notna().any()))
    with _quiet():
        context = _open_context(settings)
        asset = context.data_sources.add_or_update_pandas("store").add_dataframe_asset("index")
        batch = asset.add_batch_definition_whole_dataframe("whole")
        suite = context.suites.add_or_update(
            gx.ExpectationSuite(name=SUITE_NAME, expectations=expectations)
        )
        definition = context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=SUITE_NAME, data=batch, suite=suite)
        )
        checkpoint = context.checkpoints.add_or_update(
            gx.Checkpoint(
                name=SUITE_NAME,
                validation_definitions=[definition],
                actions=[gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=[SITE_NAME])],
                result_format={"result_format": "SUMMARY"},
            )
        )
        run = gx.RunIdentifier(run_name=current_version(settings) or "no-version")
        outcome = checkpoint.run(batch_parameters={"dataframe": frame}, run_id=run)
    return [result for run in outcome.run_results.values() for result in run.results]


def _open_context(settings: Settings) -> Any:
    gx: Any = import_module("great_expectations")
    progress: Any = import_module("great_expectations.data_context.types.base")
    root = settings.home / "gx"
    root.mkdir(parents=True, exist_ok=True)
    context = gx.get_context(mode="file", project_root_dir=root)
    context.variables.progress_bars = progress.ProgressBarsConfig(globally=False)
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs_directory(settings).resolve()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    if SITE_NAME in context.list_data_docs_sites():
        context.update_data_docs_site(SITE_NAME, site)
    else:
        context.add_data_docs_site(SITE_NAME, site)
    return context


def _is_warning(result: Any) -> bool:
    severity = getattr(result.expectation_config, "severity", None) or "critical"
    return str(getattr(severity, "value", severity)) in ("warning", "info")


def _in_words(result: Any, rows: int) -> str:
    """Say which expectation broke, on which column, in how many rows; no row's values."""
    config = result.expectation_config
    words = config.description or config.type.replace("_", " ")
    column = config.kwargs.get("column")
    where = f" (column {column})" if column else ""
    if result.exception_info and _raised(result.exception_info):
        return f"{words}{where}: could not be evaluated"
    found = result.result.get("unexpected_count")
    if found is not None:
        return f"{words}{where}: {found} of {rows} rows break it"
    missing = (result.result.get("details") or {}).get("mismatched", {}).get("missing")
    if missing:
        return f"{words}: {', '.join(missing)} missing"
    return f"{words}{where}: found {result.result.get('observed_value')}"


def _raised(exception_info: dict[str, Any]) -> bool:
    if "raised_exception" in exception_info:
        return bool(exception_info["raised_exception"])
    return any(info.get("raised_exception") for info in exception_info.values())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep GX's notes on its own progress out of the caller's output."""
    logger = logging.getLogger("great_expectations")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
