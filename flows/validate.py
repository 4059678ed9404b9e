"""The validate flow: the expectations on all data there is, and their Data Docs."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from data_checks.run import ValidationReport, refusal
from data_checks.run import validate as validate_data
from flows.retries import unforeseen
from mammo.errors import ValidationFailed
from mammo.settings import read_settings


@task(retries=1, retry_delay_seconds=10, retry_condition_fn=unforeseen, persist_result=False)
def check(suites: list[str] | None = None) -> ValidationReport:
    """Run the suites; those that have something to check, if none is named."""
    return validate_data(read_settings(), tuple(suites or ()))


@task
def explain(report: ValidationReport) -> None:
    """Leave the verdict and the link to the Data Docs in the Prefect UI."""
    failed = [f"- {name}" for name in report.failed]
    warned = [f"- warning: {name}" for name in report.warnings]
    verdict = f"{len(failed)} of {report.evaluated} expectations did not hold."
    suites = [
        f"- {one['title']}: {'held' if one['passed'] else 'did not hold'} ({one['rows']} rows)"
        for one in report.suites.values()
    ]
    docs = f"[Data Docs]({report.docs_url})"
    lines = ["## Checks of the data", verdict, "", *suites, "", *failed, *warned, "", docs]
    create_markdown_artifact(
        key="validation",
        markdown="\n".join(lines),
        description="Expectations that did not hold",
    )
    create_link_artifact(key="data-docs", link=report.docs_url, link_text="Data Docs")


@flow(name="validate", persist_result=True, result_serializer="json")
def validate(suites: list[str] | None = None) -> dict[str, Any]:
    """Check the data; a failed suite stops the run and names expectations and row counts."""
    report = check(suites)
    explain(report)
    if not report.passed:
        raise ValidationFailed(refusal(report))
    return report.to_dict()
