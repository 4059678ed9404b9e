"""One job of an ingest: its files read in processes that may die, its shard staged.

The results are gathered in the files' order, so that a shard has the same bytes
whoever read its files, and however many did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from mammo.data import staging
from mammo.data.digests import digest_file
from mammo.data.durable import storing
from mammo.data.listing import ReadOptions, SourceItem
from mammo.data.plan import ShardJob, unopened
from mammo.data.pools import ReadingPool, lend_pool
from mammo.data.quarantine import QuarantineRecord, refusal
from mammo.data.worker import PreparedFile, changed, prepare_file
from mammo.errors import DecoderCrashed, FileChanged


@dataclass(frozen=True)
class ShardResult:
    """Index rows of the images that were read, and reports on those that were not.

    The reports name no file: the plan knows their names by the digests.
    """

    name: str
    rows: tuple[dict[str, Any], ...] = field(repr=False)
    quarantined: tuple[QuarantineRecord, ...]


def prepare_shard(
    job: ShardJob,
    progress: Callable[[], None] | None = None,
    pool: ReadingPool | None = None,
) -> ShardResult:
    """Read and prepare the files of one job; write its shard to the staging folder.

    ``progress`` is called after each file. A job that was staged before, by a
    run that was interrupted, is not done again. Without a ``pool`` the files are
    read in one killable process, which this process keeps for its next job: the
    caller may be a thread, a task or a Dask worker, several at a time.

    Raises
    ------
    DiskFull, StoreReadOnly
        The shard cannot be written; nothing of it is left.
    """
    with nullcontext(pool) if pool is not None else lend_pool(1, job.limits) as lent:
        (result,) = prepare_shards([job], lent, progress)
    return result


def prepare_shards(
    jobs: Iterable[ShardJob], pool: ReadingPool, progress: Callable[[], None] | None = None
) -> Iterator[ShardResult]:
    """Prepare jobs in their order; see `prepare_shard`.

    The pool reads ahead into the next job while a shard is written.
    """
    found = [(job, staging.load(job.settings, job.name)) for job in jobs]
    tasks = (task for job, staged in found if staged is None for task in _tasks(job))
    futures = pool.map(prepare_file, tasks)
    for job, staged in found:
        if staged is None:
            staged = _gather(job, futures, pool, progress)
            staging.save(staging.directory_of(job.settings), job.name, staged)
        elif progress is not None:
            for _ in job.items:
                progress()
        yield ShardResult(job.name, tuple(staged.rows), tuple(staged.quarantined))


def _tasks(job: ShardJob) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of `prepare_file` for each file of a job."""
    with storing(job.home):
        job.settings.check_pseudonym_key()  # this may be a worker on another machine
        key = job.settings.pseudonym_key()
    options = ReadOptions(key, job.site, job.max_bytes, job.config.jpeg2000_reduce)
    for sha256, item in job.items:
        yield job.source, item, sha256, options, job.config


def _gather(
    job: ShardJob,
    futures: Iterator[Future[PreparedFile]],
    pool: ReadingPool,
    progress: Callable[[], None] | None,
) -> staging.Staged:
    """Take the results of a job's files, in their order."""
    staged = staging.Staged()
    for (sha256, item), task, future in zip(
        job.items, _tasks(job), islice(futures, len(job.items)), strict=True
    ):
        try:
            done = _result(future, task, pool)
        except Exception as error:  # noqa: BLE001 - any file may be broken in ways nobody foresaw
            cause = _cause(item, sha256, error)
            record = refusal(
                item.path, cause, sha256=sha256, source=job.source, limits=job.read_under
            )
            # the name, which may be a patient's, waits for the commit: this travels and is staged
            staged.quarantined.append(replace(record, file=""))
        else:
            staged.add(done.row, done.pixels, done.header)
        if progress is not None:
            progress()
    return staged


def _result(future: Future[PreparedFile], task: tuple[Any, ...], pool: ReadingPool) -> PreparedFile:
    """Return a file's result; where its process died it is read once more.

    The process may have been the victim of another, when memory was short.
    """
    try:
        return future.result()
    except DecoderCrashed:
        (again,) = pool.map(prepare_file, [task])
        return again.result()


def _cause(item: SourceItem, sha256: str, error: Exception) -> Exception:
    """Return why a file was refused: it is not to blame when it is gone or another by now."""
    try:
        same = digest_file(item.path) == sha256
    except OSError as unreadable:
        return unopened(unreadable)
    return error if same else FileChanged(changed())
