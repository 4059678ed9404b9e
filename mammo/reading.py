"""From a file to a prepared view, in a process that may die.

Codecs are C code that reads what strangers send. `read_view` is what one file
costs; `reading_pool` runs it in killable children (:mod:`mammo.killable`), one
pool a process, so that a crash, a hang or a flood of memory is a refusal with a
code and not the end of the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from mammo.dicom.read import read_mammogram
from mammo.errors import ReadError
from mammo.exam import Mammogram
from mammo.killable import KillablePool
from mammo.preprocess import Prepared, PreprocessConfig, prepare

PROCESSES = 2


@dataclass(frozen=True, slots=True, eq=False)
class ReadView:
    """One file on its way through: what it is, and its prepared pixels."""

    mammogram: Mammogram
    prepared: Prepared


def read_view(data: bytes, key: bytes, site: str, config: PreprocessConfig) -> ReadView:
    """Read and prepare one DICOM file.

    Raises
    ------
    ReadError
        See :func:`mammo.dicom.read.read_mammogram` and :func:`mammo.preprocess.prepare`.
    """
    mammogram, stored = read_mammogram(data, key=key, site=site, reduce=config.jpeg2000_reduce)
    return ReadView(mammogram, prepare(stored, config))


def read_views(
    files: Sequence[bytes], key: bytes, site: str, config: PreprocessConfig
) -> list[ReadView | ReadError]:
    """Read the files of an exam side by side; a refusal stands in the file's place."""
    tasks = [reading_pool().submit(read_view, data, key, site, config) for data in files]
    results: list[ReadView | ReadError] = []
    for task in tasks:
        try:
            results.append(task.result())
        except ReadError as error:
            results.append(error)
    return results


@cache
def reading_pool() -> KillablePool:
    """Return this process's pool; its children start with it and end with the process."""
    return KillablePool(PROCESSES)
