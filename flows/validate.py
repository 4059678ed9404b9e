"""The validate flow: the expectations on the exam index, and their Data Docs."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from data_checks.run import ValidationReport, validate_index
from flows.retries import unforeseen
from mammo.errors import ValidationFailed
from mammo.settings import read_settings


@task(retries=1, retry_delay_seconds=10, retry_condition_fn=unforeseen, persist_result=False)
def check() -> ValidationReport:
    """Run the suite on the index."""
    return validate_index(read_settings())


@task
def explain(report: ValidationReport) -> None:
    """Leave the verdict and the link to the Data Docs in the Prefect UI."""
    failed = [f"- {name}" for name in report.failed]
    warned = [f"- warning: {name}" for name in report.warnings]
    verdict = f"{len(failed)} of {report.evaluated} expectations did not hold."
    lines = ["## Exam index", verdict, "", *failed, *warned, "", f"[Data Docs]({report.docs_url})"]
    create_markdown_artifact(
        key="validation",
        markdown="\n".join(lines),
        description="Expectations that did not hold",
    )
    create_link_artifact(key="data-docs", link=report.docs_url, link_text="Data Docs")


@flow(name="validate", persist_result=True, result_serializer="json")
def validate() -> dict[str, Any]:
    """Check the index; a failed suite stops the run and names the expectations."""
    report = check()
    explain(report)
    if not report.passed:
        raise ValidationFailed(f"did not hold: {'; '.join(report.failed)} ({report.docs_url})")
    return report.to_dict()
