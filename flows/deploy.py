"""The deploy flow: a packaged release into service, or the previous one back."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from bentos.screening.deployment import DeployReport, Why, deploy_release, rollback
from mammo.settings import read_settings

__all__ = ["DeployReport", "Why", "deploy", "deploy_release", "put_into_service", "rollback"]


@task
def put_into_service(
    release_id: str | None, back: bool, reason: str, episode_key: str | None
) -> DeployReport:
    """Smoke-test, move the pointer, wait for the service; no retry, a refusal is an answer."""
    settings, why = read_settings(), Why(reason, episode_key)
    return rollback(settings, why=why) if back else deploy_release(release_id, settings, why=why)


@task
def explain(report: DeployReport) -> None:
    """Leave what changed, and why, in the Prefect UI."""
    record = report.record
    rows = {
        "in service": report.release,
        "Bento": report.bento_tag,
        "before": report.previous or "nothing",
        "changed": "yes" if report.changed else "no, it was in service already",
        "reason": record["reason"],
        "episode": record["episode_key"] or "none",
        "data version": record["data_version"],
        "smoke test": f"{report.smoke_seconds:.1f} s",
        "swap": f"{report.swap_seconds:.1f} s",
    }
    table = [f"| {name} | {value} |" for name, value in rows.items()]
    create_markdown_artifact(
        key="deploy",
        markdown="\n".join(["| | |", "|---|---|", *table]),
        description="The release in service",
    )


@flow(name="deploy", persist_result=True, result_serializer="json")
def deploy(
    release_id: str | None = None,
    rollback: bool = False,
    reason: str = "manual",
    episode_key: str | None = None,
) -> dict[str, Any]:
    """Put a release (the newest Bento if none is named) into service, or roll back."""
    report = put_into_service(release_id, rollback, reason, episode_key)
    explain(report)
    return report.to_dict()
