"""The explore flow: the report on what is in the data, linked in the Prefect UI."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.retries import unforeseen
from mammo.settings import read_settings


@task(retries=1, retry_delay_seconds=10, retry_condition_fn=unforeseen, persist_result=False)
def describe() -> dict[str, Any]:
    """Write the report of the index among the reports; return what it warns of and its address."""
    from mammo.explore.report import REPORT_NAME, explore_index

    settings = read_settings()
    report = explore_index(settings)
    return {
        "page": str(report.path),
        "url": f"{settings.reports_url}/{REPORT_NAME}",
        "sections": list(report.chapters),
        "warnings": list(report.warnings),
    }


@task
def explain(found: dict[str, Any]) -> None:
    """Leave the warnings and the link to the report in the Prefect UI."""
    warned = [f"- {sentence}" for sentence in found["warnings"]] or ["Nothing to warn of."]
    link = f"[What is in the data]({found['url']})"
    create_markdown_artifact(
        key="exploration-warnings",
        markdown="\n".join(["## What is in the data", *warned, "", link]),
        description="What the exploration report warns of",
    )
    create_link_artifact(key="exploration", link=found["url"], link_text="What is in the data")


@flow(name="explore", persist_result=True, result_serializer="json")
def explore() -> dict[str, Any]:
    """Describe the data: class balance, people, machines, biases, images, duplicates."""
    found = describe()
    explain(found)
    return found
