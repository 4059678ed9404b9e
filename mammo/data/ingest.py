"""Ingest: find -> read -> de-identify -> prepare -> index -> version.

Three steps, so that an orchestrator can run the middle one anywhere:

1. `plan_ingest` lists a source and drops what is already known, by SHA-256.
2. `prepare_shard` turns one job's files into a shard in the staging folder. A
   bad file is reported, not fatal.
3. `commit_ingest` moves the shards into the store, replaces the index in one
   step, and makes the data version.

It may be killed anywhere: staged shards are found again by a digest of what
went into them, nothing is visible before the index is replaced, and a shard
that no index row names is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mammo.data import staging
from mammo.data.listing import ReadOptions
from mammo.data.plan import IngestPlan, ShardJob, plan_ingest
from mammo.data.quarantine import (
    QuarantineRecord,
    put_in_quarantine,
    refusal,
    release_from_quarantine,
)
from mammo.data.rows import index_row
from mammo.data.sources import find_source
from mammo.data.store import add_rows, store_lock
from mammo.data.version import snapshot_store
from mammo.preprocess import PreprocessConfig, prepare
from mammo.settings import Settings

__all__ = [
    "IngestPlan",
    "IngestReport",
    "ShardJob",
    "ShardResult",
    "commit_ingest",
    "ingest",
    "plan_ingest",
    "prepare_shard",
]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ShardResult:
    """Index rows of the images that were read, and reports on those that were not."""

    name: str
    rows: tuple[dict[str, Any], ...] = field(repr=False)
    quarantined: tuple[QuarantineRecord, ...]


@dataclass(frozen=True)
class IngestReport:
    """What was done; counts are of files, ``index_rows`` of the index after it."""

    source: str
    found: int
    added: int
    known: int
    duplicates: int
    missing: list[str]
    quarantined: list[QuarantineRecord]
    data_version: str
    index_rows: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def prepare_shard(job: ShardJob, progress: Callable[[], None] | None = None) -> ShardResult:
    """Read and prepare the files of one job; write its shard to the staging folder.

    ``progress`` is called after each file. A job that was staged before, by a
    run that was interrupted, is not done again.
    """
    staging_dir = staging.directory_of(job.settings)
    staged = staging.load(staging_dir, job.name)
    if staged is None:
        staged = _prepare_items(job, progress)
        staging.save(staging_dir, job.name, staged)
    return ShardResult(job.name, tuple(staged.rows), tuple(staged.quarantined))


def commit_ingest(plan: IngestPlan, results: Iterable[ShardResult]) -> IngestReport:
    """Make the staged shards part of the store, in one step; return what was done."""
    results = list(results)
    settings = plan.settings
    paths = {sha256: item.path for job in plan.jobs for sha256, item in job.items}
    rows = [row for result in results for row in result.rows]
    with store_lock(settings):
        change = add_rows(settings, plan.config, rows)
        version = snapshot_store(settings, rows=change.index_rows)
    refused = [record for result in results for record in result.quarantined]
    refused += [
        refusal(paths[row["sha256"]], error, sha256=row["sha256"], source=plan.source)
        for row, error in change.rejected
    ]
    for record in refused:
        put_in_quarantine(settings.quarantine_dir, record, paths.get(record.sha256))
    release_from_quarantine(settings.quarantine_dir, change.added)
    staging.discard(staging.directory_of(settings), [result.name for result in results])
    return IngestReport(
        source=plan.source,
        found=plan.found,
        added=len(change.added),
        known=plan.known,
        duplicates=plan.duplicates,
        missing=list(plan.missing),
        quarantined=[*plan.refused, *refused],
        data_version=version,
        index_rows=change.index_rows,
    )


def ingest(
    source: str,
    directory: Path,
    settings: Settings,
    config: PreprocessConfig,
    progress: Progress | None = None,
    processes: int = 1,
) -> IngestReport:
    """Ingest a source: plan, prepare, commit.

    ``progress(done, total)`` counts new files. With ``processes`` above 1 the
    shards are prepared by that many child processes.
    """
    plan = plan_ingest(source, directory, settings, config)
    return commit_ingest(plan, _prepare_all(plan.jobs, progress, processes))


def _prepare_all(
    jobs: list[ShardJob], progress: Progress | None, processes: int
) -> Iterator[ShardResult]:
    total, done = sum(len(job.items) for job in jobs), 0

    def advance(files: int = 1) -> None:
        nonlocal done
        done += files
        if progress is not None:
            progress(done, total)

    if processes <= 1 or len(jobs) <= 1:
        for job in jobs:
            before = done
            yield prepare_shard(job, advance)
            advance(before + len(job.items) - done)
        return
    # spawned, not forked: a fork would inherit the threads of torch and OpenCV
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for job, result in zip(jobs, pool.map(prepare_shard, jobs), strict=True):
            advance(len(job.items))
            yield result


def _prepare_items(job: ShardJob, progress: Callable[[], None] | None) -> staging.Staged:
    source = find_source(job.source)
    options = ReadOptions(job.settings.pseudonym_key(), job.site, job.max_bytes)
    staged = staging.Staged()
    for sha256, item in job.items:
        try:
            reading = source.read_item(item, options)
            prepared = prepare(reading.image, job.config)
            row = index_row(reading, prepared, sha256=sha256, source=job.source)
        except Exception as error:  # noqa: BLE001 - any file may be broken in ways nobody foresaw
            staged.quarantined.append(refusal(item.path, error, sha256=sha256, source=job.source))
        else:
            staged.add(row, prepared.pixels)
        if progress is not None:
            progress()
    return staged
