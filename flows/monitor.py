"""The monitor flow: watch the log, then tell Prefect of every episode that needs action."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows.automations import emit_episode, lost_episodes
from flows.retries import unforeseen
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings, read_settings
from monitoring.episodes import abandoned_updates
from monitoring.evidence_page import episode_file
from monitoring.pages import run_links
from monitoring.policy import read_policy
from monitoring.run import run_monitor

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=unforeseen)
def watch(settings: Settings) -> dict[str, Any]:
    """Read the log since the watermark, test, open episodes, write the report."""
    return run_monitor(settings, config=read_policy(settings)).to_dict()


@task(retries=2, retry_delay_seconds=10)
def free_abandoned(settings: Settings) -> list[str]:
    """Give back episodes whose run crashed or failed; return the keys of those given back."""
    log = PredictionLog(settings.log_url)
    acting = [one for one in log.episodes("acting") if one["flow_run_id"]]
    if not acting:
        return []
    with get_client(sync_client=True) as client:
        states = {run: _state(client, run) for run in {one["flow_run_id"] for one in acting}}
    return [
        key
        for key, values in abandoned_updates(acting, states).items()
        if log.update_episode(key, if_status="acting", **values)
    ]


def _state(client: SyncPrefectClient, run_id: str) -> str | None:
    """Return the state type of a flow run; None for a run that does not exist."""
    try:
        state = client.read_flow_run(UUID(run_id)).state
    except (ObjectNotFound, ValueError):  # ValueError: not the id of any flow run
        return None
    return "PENDING" if state is None else str(state.type.value)


@task(retries=2, retry_delay_seconds=10)
def find_lost(settings: Settings) -> list[dict[str, Any]]:
    """Return the open episodes whose event led to no run."""
    return lost_episodes(PredictionLog(settings.log_url).episodes(), datetime.now(UTC))


@task(retries=3, retry_delay_seconds=5)
def tell(episode: dict[str, Any]) -> None:
    """Emit ``mammo.drift.confirmed``; the automation starts the retraining flow."""
    emit_episode(episode)


@task
def explain(report: dict[str, Any], told: list[dict[str, Any]]) -> None:
    """Leave what was read, the episodes and the drift report in the Prefect UI."""
    create_markdown_artifact(
        key="monitor",
        markdown="\n".join(
            [
                f"## Monitor of release `{report['release_id']}`",
                f"{report['read']} exams read, {len(report['alarms'])} alarms, "
                f"{len(report['episodes_opened'])} episodes opened, {len(told)} events emitted.",
                *[f"- {note}" for note in report["notes"]],
            ]
        ),
        description="What the monitor read and found",
    )
    rows = [{n: str(e[n]) for n in ("key", "stratum", "cause", "action")} for e in told]
    create_table_artifact(key="episodes", table=rows, description="Episodes that call for action")
    for key, url, words in run_links(report):
        create_link_artifact(key=key, link=url, link_text=words)
    asked = [one for one in report["episodes_opened"] if one["action"] == "ask"]
    if asked:
        create_markdown_artifact(
            key="a-person-is-asked",
            markdown=question_of(asked),
            description="Episodes that start nothing until a person has decided",
        )


def question_of(episodes: list[dict[str, Any]]) -> str:
    """Return what a person is asked, as Markdown: nothing has been started for these."""
    lines = ["## A person has to decide", "", "Nothing was started. Read the evidence, then", ""]
    for one in episodes:
        evidence = f"[evidence]({one['report_url']}{episode_file(one)})"
        lines += [
            f"- **{one['stratum']}**: {one['reason']} ({evidence})",
            f"  - if it is a change to learn from: `mammo retrain --episode {one['key']}`",
            f"  - if not: `mammo close {one['key']}`",
        ]
    return "\n".join(lines)


@flow(name="monitor", persist_result=True, result_serializer="json")
def monitor() -> dict[str, Any]:
    """Watch the predictions; return the report as a dict."""
    settings = read_settings()
    report = watch(settings)
    free_abandoned(settings)
    told = [*report["episodes_opened"], *find_lost(settings)]
    for episode in told:
        tell(episode)
    explain(report, told)
    return report
