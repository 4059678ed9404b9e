"""The monitor flow: watch the log, then tell Prefect of every episode that needs action."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows import flow_runs
from flows.automations import emit_episode
from flows.retries import unforeseen
from mammo.foreign_text import markdown_text
from mammo.settings import Settings, read_settings
from monitoring.evidence_page import episode_file
from monitoring.pages import run_links
from monitoring.policy import read_policy
from monitoring.run import run_monitor


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=unforeseen)
def watch(settings: Settings) -> dict[str, Any]:
    """Read the log since the watermark, test, open episodes, write the report."""
    return run_monitor(settings, config=read_policy(settings)).to_dict()


@task(retries=2, retry_delay_seconds=10)
def free_abandoned(settings: Settings) -> list[str]:
    """Give back episodes whose run crashed or failed; return the keys of those given back."""
    return flow_runs.free_abandoned(settings)


@task(retries=2, retry_delay_seconds=10)
def start_lost(settings: Settings) -> list[str]:
    """Start a run for each open episode whose event led to none; return their keys."""
    return flow_runs.start_lost(settings)


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
                *[f"- {markdown_text(note)}" for note in report["notes"]],
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
            f"- **{markdown_text(one['stratum'])}**: {markdown_text(one['reason'])} ({evidence})",
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
    for episode in report["episodes_opened"]:
        tell(episode)
    start_lost(settings)
    explain(report, report["episodes_opened"])
    return report
