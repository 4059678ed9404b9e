"""The deploy flow: a release into service, or beside it, or the previous one back."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from bentos.screening.deployment import (
    DeployReport,
    Why,
    deploy_release,
    rollback,
    stop_challenger,
)
from bentos.screening.leading import begin_rollout
from mammo.settings import read_settings

__all__ = ["DeployReport", "Why", "deploy", "deploy_release", "put_into_service", "rollback"]

Back = Literal["rollback", "stop_challenger"]


@task
def put_into_service(
    release_id: str | None, stage: str, percent: int, back: Back | None, why: Why
) -> DeployReport:
    """Smoke-test, move the pointer, wait for the service; no retry, a refusal is an answer."""
    settings = read_settings()
    if back == "rollback":
        return rollback(settings, why=why)
    if back == "stop_challenger":
        return stop_challenger(settings, why=why)
    if stage == "rollout":
        return begin_rollout(release_id, settings, why)
    return deploy_release(release_id, settings, stage=stage, percent=percent, why=why)


@task
def explain(report: DeployReport) -> None:
    """Leave what changed, and why, in the Prefect UI."""
    record = report.record
    share = f", {report.percent}% of the exams" if report.stage == "canary" else ""
    rows = {
        "release": report.release,
        "stage": f"{report.stage}{share}",
        "Bento": report.bento_tag,
        "before": report.previous or "nothing",
        "changed": "yes" if report.changed else "no, it was so already",
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
        description="What was moved in service",
    )


@flow(name="deploy", persist_result=True, result_serializer="json")
def deploy(
    release_id: str | None = None,
    rollback: bool = False,
    reason: str = "manual",
    episode_key: str | None = None,
    stage: str = "champion",
    percent: int = 0,
    stop_challenger: bool = False,
) -> dict[str, Any]:
    """Put a release (the newest Bento if none is named) into service, or roll back.

    With ``stage`` shadow or canary (``percent`` of the exams) it is tried beside
    the release in service; ``stop_challenger`` ends that. With ``rollout`` it goes the way
    that the change-control plan has for it: at once, or in shadow first, from where the
    guard leads it on. ``rollback`` goes before
    ``stop_challenger``, and both before a release that is named.
    """
    back: Back | None = "rollback" if rollback else "stop_challenger" if stop_challenger else None
    report = put_into_service(release_id, stage, percent, back, Why(reason, episode_key))
    explain(report)
    return report.to_dict()
