"""Ingest: find -> read -> de-identify -> prepare -> index -> version.

Three steps, so that an orchestrator can run the middle one anywhere:

1. `plan_ingest` lists a source and drops what is already known, by SHA-256.
2. `prepare_shard` turns one job's files into a shard in the staging folder. Each
   file is read in a process that may die of it (:mod:`mammo.data.preparation`); a
   bad file is reported, not fatal.
3. `commit_ingest` moves the shards into the store, replaces the index in one
   step, and makes the data version.

It may be killed anywhere, and may lose its disk's power: staged shards are found
again by a digest of what went into them, nothing is visible before the index is
replaced, and a shard that no index row names is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mammo.data import staging
from mammo.data.digests import FileDigests
from mammo.data.plan import IngestPlan, ShardJob, plan_ingest, read_under
from mammo.data.pools import lend_pool
from mammo.data.preparation import ShardResult, prepare_shard, prepare_shards
from mammo.data.quarantine import (
    PASSING,
    QuarantineRecord,
    find_record,
    put_in_quarantine,
    refusal,
    release_from_quarantine,
)
from mammo.data.store import Row, add_rows, known_files, store_lock
from mammo.data.version import snapshot_store
from mammo.errors import ReadError
from mammo.preprocess import PreprocessConfig
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
    "prepare_shards",
]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class IngestReport:
    """What was done; counts are of files, ``index_rows`` of the index after it.

    ``missing``, ``unlisted`` and ``remarks`` are those of the plan.
    Of ``quarantined`` those that vanished or changed while they were read
    (`mammo.data.quarantine.PASSING`) are not kept: the next ingest sees to them.
    """

    source: str
    found: int
    added: int
    known: int
    duplicates: int
    missing: list[str]
    unlisted: list[str]
    remarks: list[str]
    quarantined: list[QuarantineRecord]
    data_version: str
    index_rows: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def commit_ingest(plan: IngestPlan, results: Iterable[ShardResult]) -> IngestReport:
    """Make the staged shards part of the store, in one step; return what was done.

    The order of ``results`` does not count.
    """
    settings, place = plan.settings, {job.name: n for n, job in enumerate(plan.jobs)}
    results = sorted(results, key=lambda result: place.get(result.name, len(place)))
    paths = {sha256: item.path for job in plan.jobs for sha256, item in job.items}
    rows = [row for result in results for row in result.rows]
    with store_lock(settings):
        change = add_rows(settings, plan.config, rows)
        version = snapshot_store(settings, rows=change.index_rows)
    refused = [*_with_names(results, paths), *_rejected(plan, change.rejected, paths)]
    _keep_refused(settings, refused, paths)
    # not those of this run alone: an earlier ingest may have been killed just before this line
    release_from_quarantine(settings.quarantine_dir, partial(known_files, settings))
    staging.discard(settings, [result.name for result in results], {row["shard"] for row in rows})
    staging.discard_finished(settings, partial(_done_files, settings))
    return IngestReport(
        source=plan.source,
        found=plan.found,
        added=len(change.added),
        known=plan.known,
        duplicates=plan.duplicates,
        missing=list(plan.missing),
        unlisted=list(plan.unlisted),
        remarks=list(plan.remarks),
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

    ``progress(done, total)`` counts new files. ``processes`` killable processes
    read them; with 0 they are read in this one, which a file may then harm.
    """
    plan = plan_ingest(source, directory, settings, config)
    total, done = sum(len(job.items) for job in plan.jobs), 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    if not plan.jobs:
        return commit_ingest(plan, [])
    with lend_pool(processes, plan.jobs[0].limits) as pool:
        results = list(prepare_shards(plan.jobs, pool, advance))
    return commit_ingest(plan, results)


def _with_names(
    results: Iterable[ShardResult], paths: dict[str, Path]
) -> Iterator[QuarantineRecord]:
    for result in results:
        for record in result.quarantined:
            yield replace(record, file=paths[record.sha256].name)


def _rejected(
    plan: IngestPlan, rejected: Iterable[tuple[Row, ReadError]], paths: dict[str, Path]
) -> Iterator[QuarantineRecord]:
    """Yield reports on files that were read and clash with what is in the index."""
    limits = read_under(plan.settings)
    for row, error in rejected:
        sha256 = row["sha256"]
        yield refusal(paths[sha256], error, sha256=sha256, source=plan.source, limits=limits)


def _done_files(settings: Settings, digests: Collection[str]) -> frozenset[str]:
    """Return which of these files are in the index or in quarantine."""
    refused = {one for one in digests if find_record(settings.quarantine_dir, one) is not None}
    return known_files(settings, set(digests) - refused) | refused


def _keep_refused(
    settings: Settings, refused: Iterable[QuarantineRecord], paths: dict[str, Path]
) -> None:
    """Quarantine what was refused; forget the digest of what changed, so that it is seen."""
    digests = FileDigests.load(settings.data_dir / "digests.json")
    for record in refused:
        if record.code in PASSING:
            digests.forget(paths[record.sha256])
        else:
            put_in_quarantine(settings.quarantine_dir, record, paths.get(record.sha256))
    digests.save()
