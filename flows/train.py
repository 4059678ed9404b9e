"""The train flow: split by patient, fit, calibrate, register; then the gate."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.logging import get_run_logger

from flows.progress import log_progress
from mammo.appraisal.card_log import log_cards
from mammo.continual.carried_detector import tell_lost
from mammo.continual.fit import train_release
from mammo.continual.judge import in_service, judge_release
from mammo.settings import Settings, read_settings


@task
def fit(settings: Settings, asked: dict[str, Any]) -> dict[str, Any]:
    """Train a release from the exam index; asked again after a kill, it goes on."""
    return train_release(settings, **asked, progress=log_progress()).to_dict()


@task
def judge(settings: Settings, release_id: str) -> dict[str, Any]:
    """Bring the release before the gate, against the one in service."""
    return judge_release(settings, release_id).to_dict()


@task
def write_cards(settings: Settings, release_id: str) -> list[str]:
    """Log the cards of the release and of its data in its MLflow run, the verdict included."""
    directory = settings.releases_dir / release_id
    return log_cards(settings, directory, get_run_logger().warning)


@task
def find_lost(settings: Settings, release_id: str) -> str:
    """Return a warning where the release would end the detection of the one in service."""
    return tell_lost(in_service(settings), settings.releases_dir / release_id)


@task
def explain(trained: dict[str, Any], decision: dict[str, Any], lost: str) -> None:
    """Leave the metrics, the verdict, what would be lost and the MLflow run in the Prefect UI."""
    lines = [
        f"| {name} | {value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f}) |"
        for name, value in sorted(trained["metrics"].items())
        if isinstance(value, dict) and "low" in value
    ]
    verdict = "passed" if decision["passed"] else "refused"
    create_markdown_artifact(
        key="train",
        markdown="\n".join(
            [
                f"## Release `{trained['release']}`: gate {verdict}",
                *([f"**Warning.** {lost}.", ""] if lost else []),
                "Exam level, patients not trained on, 95% patient-bootstrap intervals.",
                "",
                "| measure | value |",
                "|---|---|",
                *lines,
                "",
                "```",
                decision["summary"],
                "```",
            ]
        ),
        description="How good the release is and what the gate said",
    )
    create_link_artifact(key="mlflow-run", link=trained["mlflow_url"], link_text="MLflow run")


@flow(name="train", persist_result=True, result_serializer="json")
def train(
    target: str | None = None,
    config: str = "default",
    overrides: list[str] | None = None,
    seed: int | None = None,
    data_version: str | None = None,
) -> dict[str, Any]:
    """Train a release and judge it; return ids, metrics and the gate's decision."""
    settings = read_settings()
    asked = {"target": target, "config": config, "overrides": overrides or []}
    trained = fit(settings, asked | {"seed": seed, "data_version": data_version})
    decision = judge(settings, trained["release"])
    write_cards(settings, trained["release"], return_state=True)  # a card stops no training
    explain(trained, decision, find_lost(settings, trained["release"]))
    return trained | {"gate": decision}
