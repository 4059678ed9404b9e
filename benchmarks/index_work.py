"""One piece of work on an index, in a process of its own; prints CPU seconds and peak memory.

    python -m benchmarks.index_work WORK WAY index.parquet [--limit-mb 8192]

WAY is ``ours`` or ``usual``: pandas reads the whole file and works in memory, as
the store did before. With a limit a way that needs more memory says so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

NEW_ROWS = 10_000
COUNT = (
    "SELECT scanner, cancer, count(*) AS images, count(DISTINCT patient_id) AS patients "
    "FROM exams GROUP BY ALL ORDER BY ALL"
)
PATIENTS = (
    "SELECT patient_id, max(cancer) AS cancer, max(age_years) AS age, count(*) AS images "
    "FROM exams GROUP BY patient_id"
)
Prepared = Callable[[], object]


def extend_ours(path: Path) -> Prepared:
    """Merge the new rows into the file."""
    from mammo.data.index_merge import extend_index

    new = _new_rows(path)
    return lambda: extend_index(path, new, path.parent)


def extend_usual(path: Path) -> Prepared:
    """Read all, concat, sort, write all."""
    import pandas as pd

    new = _new_rows(path).to_pandas()
    keys = ["source", "image_id", "sha256"]

    def work() -> None:
        index = pd.concat([pd.read_parquet(path), new]).sort_values(keys, kind="stable")
        index.to_parquet(path.with_suffix(".new"), compression="zstd", index=False)
        path.with_suffix(".new").replace(path)

    return work


def known_ours(path: Path) -> Prepared:
    """Find which of the new files the index has."""
    from mammo.data.index_merge import find_known

    asked = set(_new_rows(path)["sha256"].to_pylist())
    return lambda: len(find_known(path, "sha256", asked))


def known_usual(path: Path) -> Prepared:
    """Read all and make a set of it."""
    import pandas as pd

    asked = set(_new_rows(path)["sha256"].to_pylist())
    return lambda: len(asked & set(pd.read_parquet(path)["sha256"]))


def count_ours(path: Path) -> Prepared:
    """Count images and patients by scanner and outcome."""
    from mammo.data.query import open_index

    def work() -> object:
        with open_index(path) as query:
            return query.frame(COUNT)

    return work


def count_usual(path: Path) -> Prepared:
    """Read all and group."""
    import pandas as pd

    def work() -> object:
        groups = pd.read_parquet(path).groupby(["scanner", "cancer"], dropna=False)
        return groups.agg(images=("image_id", "size"), patients=("patient_id", "nunique"))

    return work


def column_ours(path: Path) -> Prepared:
    """Read one column."""
    from mammo.data.index import read_index

    return lambda: read_index(path, ["age_years"])["age_years"].mean()


def column_usual(path: Path) -> Prepared:
    """Read all for one column."""
    import pandas as pd

    return lambda: pd.read_parquet(path)["age_years"].mean()


def patients_ours(path: Path) -> Prepared:
    """Make the table of patients, in batches."""
    from mammo.data.query import open_index

    def work() -> object:
        with open_index(path) as query:
            return sum(batch.num_rows for batch in query.batches(PATIENTS))

    return work


def patients_usual(path: Path) -> Prepared:
    """Read all and group by patient."""
    import pandas as pd

    def work() -> object:
        groups = pd.read_parquet(path).groupby("patient_id")
        return len(
            groups.agg(
                cancer=("cancer", "max"), age=("age_years", "max"), images=("image_id", "size")
            )
        )

    return work


def split_ours(path: Path) -> Prepared:
    """Divide the patients into five folds; the columns that it needs are read."""
    from mammo.data.index import read_index
    from mammo.data.patients import SPLIT_COLUMNS
    from mammo.data.split import split_patients

    return lambda: split_patients(read_index(path, columns=SPLIT_COLUMNS), seed=1)


def split_usual(path: Path) -> Prepared:
    """Read all, then divide the patients in the same way."""
    import pandas as pd

    from mammo.data.split import split_patients

    return lambda: split_patients(pd.read_parquet(path), seed=1)


def leaks_ours(path: Path) -> Prepared:
    """Look for leaks between two halves of the patients, reading in batches."""
    from mammo.data.index import read_index
    from mammo.data.leaks import find_leaks
    from mammo.data.query import open_index

    def work() -> object:
        halves = _halves(read_index(path, ["patient_id"]))
        with open_index(path) as query:
            return find_leaks(query, halves).passed

    return work


def leaks_usual(path: Path) -> Prepared:
    """Read all, then look for leaks in the same way."""
    import pandas as pd

    from mammo.data.leaks import find_leaks

    def work() -> object:
        index = pd.read_parquet(path)
        return find_leaks(index, _halves(index)).passed

    return work


WORK: dict[str, dict[str, Callable[[Path], Prepared]]] = {
    "extend": {"ours": extend_ours, "usual": extend_usual},
    "known": {"ours": known_ours, "usual": known_usual},
    "count": {"ours": count_ours, "usual": count_usual},
    "column": {"ours": column_ours, "usual": column_usual},
    "patients": {"ours": patients_ours, "usual": patients_usual},
    "split": {"ours": split_ours, "usual": split_usual},
    "leaks": {"ours": leaks_ours, "usual": leaks_usual},
}


def _halves(index):
    """Assign every patient to one of two parts."""
    import pandas as pd

    patients = pd.Index(index["patient_id"].unique())
    return pd.Series([number % 2 for number in range(len(patients))], index=patients)


def _new_rows(path: Path):
    from benchmarks.index_rows import TABLE, rows_of_copy

    return rows_of_copy(TABLE, 10**4, NEW_ROWS)


def _peak_mb() -> float:
    """Return the most memory that this process has held, MB.

    Linux' `getrusage` begins with what the parent held when it forked; VmHWM does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Do the work and print what it took as one line of JSON."""
    parser = argparse.ArgumentParser(description="one piece of work on an index")
    parser.add_argument("work", choices=WORK)
    parser.add_argument("way", choices=("ours", "usual"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--limit-mb", type=int, default=0)
    given = parser.parse_args()
    if given.limit_mb:
        resource.setrlimit(resource.RLIMIT_DATA, (given.limit_mb * 2**20,) * 2)
    path = given.path
    if given.work == "extend":  # the index itself stays as it is
        path = Path(shutil.copy(given.path, given.path.with_suffix(f".{os.getpid()}")))
    work = WORK[given.work][given.way](path)
    before, start, cpu = _peak_mb(), time.perf_counter(), time.process_time()
    try:
        work()
    except MemoryError:
        print(json.dumps({"seconds": None, "peak_mb": None, "limit_mb": given.limit_mb}))
    else:
        took = {"seconds": time.process_time() - cpu, "wall_s": time.perf_counter() - start}
        print(json.dumps({**took, "peak_mb": _peak_mb(), "before_mb": before}))
    finally:
        if given.work == "extend":
            path.unlink()


if __name__ == "__main__":
    main()
