"""Tell what the files of a folder are to mammo: for `mammo inspect FOLDER`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mammo.describe import read_whole
from mammo.errors import ReadError
from mammo.exam import Mammogram
from mammo.killable import KillablePool
from mammo.preferred import pick_preferred, suitable
from mammo.preprocess import PreprocessConfig

SCHEMA = "mammo.inspect-folder/1"


def read_folder(
    paths: Iterable[Path], pool: KillablePool, key: bytes, site: str, config: PreprocessConfig
) -> Iterable[tuple[Path, Mammogram | ReadError]]:
    """Yield each file and what became of it; the reading is done in the pool."""
    files = list(paths)
    tasks = pool.map(read_whole, [(path, key, site, config) for path in files])
    for path, task in zip(files, tasks, strict=True):
        try:
            yield path, task.result()
        except ReadError as error:
            yield path, error


def describe_folder(read: Iterable[tuple[str, Mammogram | ReadError]]) -> dict[str, Any]:
    """Describe files by exam, JSON-able; each is given as (name, what became of it).

    Members: ``schema``; ``exams``, objects of ``exam``, ``patient``, ``scanner``
    and ``images``; of an image ``file``, ``image_id``, ``view``, ``preferred``
    (of its view), ``suitable`` (its breast's score pools it), ``rows``,
    ``columns``, ``acquired_on``, ``quality``; ``refused``, objects of ``file``,
    ``code`` and ``message``; ``codes``, how many files have each code.
    """
    exams: defaultdict[str, list[tuple[str, Mammogram]]] = defaultdict(list)
    refused: list[dict[str, str]] = []
    codes: defaultdict[str, int] = defaultdict(int)
    for name, found in read:
        if isinstance(found, Mammogram):
            exams[found.exam_id].append((name, found))
        else:
            codes[found.code] += 1
            refused.append({"file": name, "code": found.code, "message": found.message})
    return {
        "schema": SCHEMA,
        "exams": [_describe_exam(images) for images in exams.values()],
        "refused": refused,
        "codes": dict(sorted(codes.items())),
    }


def _describe_exam(images: list[tuple[str, Mammogram]]) -> dict[str, Any]:
    mammograms = [mammogram for _, mammogram in images]
    preferred = {id(one) for one in pick_preferred(mammograms).values()}
    kept = {id(one) for one in suitable(mammograms)}
    first = mammograms[0]
    return {
        "exam": first.exam_id,
        "patient": first.patient_id,
        "scanner": first.scanner.key,
        "images": [
            {
                "file": name,
                "image_id": one.image_id,
                "view": str(one.view),
                "preferred": id(one) in preferred,
                "suitable": id(one) in kept,
                "rows": one.rows,
                "columns": one.columns,
                "acquired_on": one.acquired_on and one.acquired_on.isoformat(),
                "quality": list(one.quality),
            }
            for name, one in sorted(images, key=lambda pair: (str(pair[1].view), pair[0]))
        ],
    }
