"""The ingest flow: find, prepare one shard per task, commit, explain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows.cluster_worker import Facts, require_versions
from flows.ingest_shards import prepare_all, shard_runner
from flows.preparation import choose_preprocess
from flows.retries import unforeseen
from mammo.continual.box_frames import with_box_frame
from mammo.data.ingest import (
    IngestPlan,
    IngestReport,
    ShardJob,
    ShardResult,
    commit_ingest,
    plan_ingest,
    prepare_shard,
)
from mammo.settings import Settings, read_settings

DIGEST_SHOWN = 12
COUNTS = ("found", "known", "duplicates", "added", "index_rows")


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=unforeseen, persist_result=False)
def find(source: str, directory: Path, settings: Settings, config: str | None) -> IngestPlan:
    """List what is new in the source and divide it into shards."""
    return plan_ingest(source, directory, settings, choose_preprocess(settings, config))


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=unforeseen, persist_result=False)
def prepare(job: ShardJob, versions: Facts | None = None) -> ShardResult:
    """Read, de-identify and prepare the images of one shard.

    ``versions`` are what a worker of a cluster must have.
    """
    if versions is not None:
        require_versions(versions)
    return prepare_shard(job)


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=unforeseen, persist_result=False)
def commit(plan: IngestPlan, results: list[ShardResult]) -> IngestReport:
    """Write the index and the data version; the last step, and atomic."""
    return commit_ingest(plan, results)


@task(retries=2, retry_delay_seconds=10, retry_condition_fn=unforeseen, persist_result=False)
def look_at_boxes(report: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Add ``box_frame`` where the boxes of the source seem to be counted from the bottom edge."""
    return with_box_frame(report, settings)


@task
def explain(report: dict[str, Any], source: str) -> None:
    """Leave the counts and the refused files in the Prefect UI."""
    counts = [f"| {name} | {report[name]} |" for name in COUNTS]
    create_markdown_artifact(
        key="ingest",
        markdown="\n".join(
            [
                f"## Ingest from `{source}`",
                f"Data version `{report['data_version']}`, "
                f"{len(report['quarantined'])} files in quarantine.",
                *([f"\nBoxes: {report['box_frame']}"] if "box_frame" in report else []),
                "",
                "| files and rows | count |",
                "|---|---|",
                *counts,
            ]
        ),
        description="What the ingest found, added and refused",
    )
    table = [one | {"sha256": one["sha256"][:DIGEST_SHOWN]} for one in report["quarantined"]]
    create_table_artifact(key="quarantine", table=table, description="Refused files and why")


def without_names(report: dict[str, Any]) -> dict[str, Any]:
    """Return an ingest report without file names, which may be patients' names.

    Prefect keeps results and artifacts, and shows them to whoever opens its UI.
    The quarantine folder's reports map a digest to its file.
    """
    refused = [
        {
            "sha256": one["sha256"],
            "code": one["code"],
            "message": _without_name(one["message"], one["file"]),
        }
        for one in report["quarantined"]
    ]
    counts = {name: len(report.get(name, ())) for name in ("missing", "unlisted", "remarks")}
    return report | {"quarantined": refused} | counts


def _without_name(message: str, file: str) -> str:
    """Put ``the file`` for a name that stands by itself; letters within a word are no name."""
    if not file:
        return message
    return re.sub(rf"(?<!\w){re.escape(file)}(?!\w)", "the file", message)


def shared_settings() -> Settings:
    """Return the settings with an absolute home, which means the same in every process."""
    settings = read_settings()
    return settings.model_copy(update={"home": settings.home.resolve()})


def inbox_is_empty(directory: Path) -> bool:
    """Return True when nothing has landed; the schedule then has nothing to do."""
    return not directory.is_dir() or not any(directory.iterdir())


@flow(
    name="ingest",
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # type: ignore[arg-type]
    persist_result=True,
    result_serializer="json",
)
def ingest(
    source: str = "dicom",
    directory: str | None = None,
    config: str | None = None,
    dask: str | None = None,
) -> dict[str, Any]:
    """Ingest a folder (the inbox when none is given); return the report, without file names.

    ``config`` names a file in `configs/` whose preprocessing begins the store.
    ``dask`` is the address of a Dask scheduler whose workers prepare the shards.
    """
    settings = shared_settings()
    folder = Path(directory).resolve() if directory else settings.inbox_dir
    if directory is None and inbox_is_empty(folder):
        return {"found": 0, "added": 0}
    with shard_runner(dask, settings, folder) as (runner, versions):
        plan = find(source, folder, settings, config)
        results = prepare_all(runner, prepare, plan, versions)
    report = look_at_boxes(without_names(commit(plan, results).to_dict()), settings)
    explain(report, source)
    return report
