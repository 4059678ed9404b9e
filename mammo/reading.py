"""From files to prepared views, in processes that may die.

Codecs are C code that reads what strangers send. `read_view` is what one file
costs; a `ViewReader` runs it in killable children (:mod:`mammo.killable`), so
that a crash, a hang or a flood of memory is a refusal with a code and not the
end of the service.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Self

from mammo.dicom.original_ids import read_original_ids
from mammo.dicom.read import MAX_BYTES, read_mammogram
from mammo.errors import DecoderTimeout, ReadError, RequestError
from mammo.exam import Mammogram
from mammo.killable import KillablePool, Limits
from mammo.patience import Patience
from mammo.preprocess import Prepared, PreprocessConfig, prepare
from mammo.settings import Settings

PROCESSES = 2
EXAM_SECONDS = 120.0
"""How long the files of one exam may be read; four views take one second."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadView:
    """One file, read: what it is, with every quality code, and its prepared pixels.

    ``original_ids`` is whose and which image it is (:mod:`mammo.dicom.original_ids`),
    where that was asked for: it names the patient, and is for the report in her own
    study alone. ``decode_seconds`` and ``prepare_seconds`` are what the child took for it.
    """

    mammogram: Mammogram
    prepared: Prepared
    original_ids: dict[str, Any] | None = field(default=None, repr=False)
    decode_seconds: float = 0.0
    prepare_seconds: float = 0.0


def read_limits(settings: Settings) -> Limits:
    """Return what reading one file may take in this installation."""
    return Limits(settings.read_seconds, settings.read_memory_mb)


def read_view(
    data: bytes,
    key: bytes,
    site: str,
    config: PreprocessConfig,
    max_bytes: int = MAX_BYTES,
    identity: bool = False,
) -> ReadView:
    """Read and prepare one DICOM file; with ``identity``, keep its original ids.

    Raises
    ------
    ReadError
        See :func:`mammo.dicom.read.read_mammogram` and :func:`mammo.preprocess.prepare`.
    """
    began = time.perf_counter()
    mammogram, stored = read_mammogram(
        data, key=key, site=site, max_bytes=max_bytes, reduce=config.jpeg2000_reduce
    )
    decoded = time.perf_counter()
    prepared = prepare(stored, config)
    took = (decoded - began, time.perf_counter() - decoded)
    # as in a row of the index: which view is preferred is decided by all codes, here and there
    quality = tuple(dict.fromkeys((*mammogram.quality, *prepared.quality)))
    ids = read_original_ids(data) if identity else None
    return ReadView(replace(mammogram, quality=quality), prepared, ids, *took)


class ViewReader:
    """Reads the files of exams side by side; safe to call from several threads.

    The children start on first use, or by :meth:`start`, and end with the
    process. A process that was forked has its own. A few files of each exam are
    handed in at a time, so that one exam does not hold up all others.
    """

    def __init__(
        self,
        limits: Limits = Limits(),
        max_bytes: int = MAX_BYTES,
        exam_seconds: float = EXAM_SECONDS,
    ) -> None:
        self.limits, self.max_bytes, self.exam_seconds = limits, max_bytes, exam_seconds
        self._lock = threading.Lock()
        self._pools: dict[int, KillablePool] = {}

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return a reader with the installation's limits on a file's time, memory and size."""
        return cls(read_limits(settings), settings.max_file_mb * 2**20)

    def start(self) -> KillablePool:
        """Start the children, where they do not run yet."""
        with self._lock:
            if os.getpid() not in self._pools:
                self._pools = {os.getpid(): KillablePool(PROCESSES, self.limits)}
            return self._pools[os.getpid()]

    def read(
        self,
        files: Sequence[bytes],
        key: bytes,
        site: str,
        config: PreprocessConfig,
        *,
        patience: Patience | None = None,
        identity: bool = False,
    ) -> list[ReadView | ReadError]:
        """Read the files of an exam; a refusal stands in the file's place.

        Files that were not read after ``exam_seconds`` are refused as DECODER_TIMEOUT.
        Where ``patience`` ends before, what waits is cancelled, the processes that read
        for this exam are killed, and DeadlineExceeded or RequestCancelled is raised.
        """
        patience, pool = patience or Patience(), self.start()
        tasks = ((data, key, site, config, self.max_bytes, identity) for data in files)
        until = time.monotonic() + self.exam_seconds
        results: list[ReadView | ReadError] = []
        with closing(pool.map(read_view, tasks)) as reading:
            for task in reading:
                results.append(_wait(pool, task, patience))
                if time.monotonic() > until:
                    break
        late = DecoderTimeout(f"the exam's files took longer than {self.exam_seconds:g} s to read")
        return results + [late] * (len(files) - len(results))


def _wait(pool: KillablePool, task: Future[ReadView], patience: Patience) -> ReadView | ReadError:
    try:
        patience.wait_for(task)
    except RequestError:
        pool.abandon(task)
        raise
    try:
        return task.result()
    except ReadError as error:
        return error


@cache
def default_reader() -> ViewReader:
    """Return the reader of library calls, with the default limits."""
    return ViewReader()
