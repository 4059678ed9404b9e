"""Write a verdict into Data Docs: Great Expectations renders, we store what it renders from."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from data_checks.checks import table_expectations, to_expectation
from data_checks.evaluate import Verdict, quiet
from mammo.settings import Settings

SITE_NAME = "local_site"
DOCS_FOLDER = "data_docs"


def docs_directory(settings: Settings) -> Path:
    """Return the folder of the Data Docs."""
    return settings.reports_dir / DOCS_FOLDER


def write_pages(settings: Settings, verdicts: list[Verdict], run_name: str) -> dict[str, str]:
    """Write the pages of the verdicts; return suite -> its page's path in the site."""
    gx: Any = import_module("great_expectations")
    at = datetime.now(UTC)
    run_id = gx.RunIdentifier(run_name=run_name, run_time=at)
    pages = {}
    with quiet():
        context = _open_context(settings)
        written = []
        for verdict in verdicts:
            suite = _add_suite(context, verdict)
            key = _result_key(suite.name, run_id)
            verdict.result.meta.update(run_id=run_id, checkpoint_name=suite.name)
            verdict.result.suite_name = suite.name
            context.validation_results_store.set(key, verdict.result)
            written += [key, key.expectation_suite_identifier]
            pages[verdict.suite.name] = f"validations/{'/'.join(key.to_tuple())}.html"
        context.build_data_docs(site_names=[SITE_NAME], resource_identifiers=written)
    return pages


def _add_suite(context: Any, verdict: Verdict) -> Any:
    gx: Any = import_module("great_expectations")
    suite = verdict.suite
    expectations = table_expectations(suite.columns, suite.what, least_rows=suite.least_rows)
    expectations += [to_expectation(check) for check in suite.checks]
    return context.suites.add_or_update(
        gx.ExpectationSuite(name=suite.page_name, expectations=expectations)
    )


def _result_key(suite_name: str, run_id: Any) -> Any:
    types: Any = import_module("great_expectations.data_context.types.resource_identifiers")
    return types.ValidationResultIdentifier(
        expectation_suite_identifier=types.ExpectationSuiteIdentifier(name=suite_name),
        run_id=run_id,
        batch_identifier="store",
    )


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
