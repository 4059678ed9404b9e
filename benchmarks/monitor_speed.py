"""How fast logged exams are evaluated, beside Evidently's report, and how that grows.

    OMP_NUM_THREADS=1 python -m benchmarks.monitor_speed     # prints the table (five minutes)
    ... --write                                     # and writes record, page and picture
    ... --exams 10000 --sizes 1000 3000 10000       # half a minute

Ours is the monitor's own `Watch.take`: channels, kernel features, tie breakers and every
chart of the tree, in batches of 20,000 as a run reads them. Evidently's is
``Report([DataDriftPreset()])`` on the same exams and the same reference, with its page
written, all at its defaults. CPU time of all threads, ways in turns, the least of them.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.clock import take_turns
from benchmarks.monitor_frames import exam_frame_of, log_rows
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.tables import PREDICTIONS
from mammo.settings import TELEMETRY_OFF
from monitoring.config import MonitorConfig
from monitoring.run import BATCH
from monitoring.watch import Watch

REFERENCE_EXAMS = 12_000
BESIDE = (10_000, 100_000)
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
AIM = 50.0
SEED = 7
NO_DATA = ("id", "release_id", "role", "laterality", "scored_at", "exam_id", "patient_id",
           "acquired_on")  # fmt: skip
"""Columns that tell which exam it is; Evidently is spared them."""
CATEGORIES = ("recall", "quality", "scanner", "software_version", "site")


def begin_watch(reference: pd.DataFrame) -> Watch:
    """Return the monitor's state before the first exam; its thresholds are set once a release."""
    return Watch.resume("r-1", reference, {}, [], MonitorConfig())


def in_batches(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the exams in frames of the size that a run reads at a time."""
    starts = range(0, len(frame), BATCH)
    return [frame.iloc[one : one + BATCH].reset_index(drop=True) for one in starts]


def evaluate(begun: Watch, batches: Sequence[pd.DataFrame]) -> Watch:
    """Take the exams as a run does, from the state that was begun; that stays as it is."""
    watch = copy.deepcopy(begun)
    for frame in batches:
        watch.take(frame, [])
    return watch


def report_evidently(frame: pd.DataFrame, reference: pd.DataFrame, page: Path) -> None:
    """Make Evidently's drift report and write its page."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of pandas and numpy
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        numbers = [name for name in frame if name not in (*NO_DATA, *CATEGORIES)]
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=list(CATEGORIES))
        sets = [
            Dataset.from_pandas(
                one.drop(columns=list(NO_DATA)).astype(dict.fromkeys(CATEGORIES, str)),
                data_definition=definition,
            )
            for one in (frame, reference)
        ]
        Report([DataDriftPreset()]).run(*sets).save_html(str(page))


def fill_log(path: Path, frame: pd.DataFrame) -> PredictionLog:
    """Write a log with the exams and their breasts."""
    log = PredictionLog(f"sqlite:///{path}").create()
    rows = list(log_rows(frame))
    with log._writing(PREDICTIONS) as connection:
        for first in range(0, len(rows), 30_000):
            connection.execute(PREDICTIONS.insert(), rows[first : first + 30_000])
    return log


def read_log(log: PredictionLog) -> int:
    """Read every exam of the log in batches; return how many there are."""
    last, exams = 0, 0
    while len(frame := log.read_since(last, limit=BATCH)):
        last, exams = int(frame["id"].iloc[-1]), exams + len(frame)
    return exams


def measure_ratio(exams: int, turns: int) -> dict[str, Any]:
    """Time ours, the log's reading and Evidently's report on the same exams, in turns."""
    reference = exam_frame_of(REFERENCE_EXAMS, SEED)
    frame = exam_frame_of(exams, SEED, first=REFERENCE_EXAMS)
    batches = in_batches(frame)
    start = time.process_time()
    begun = begin_watch(reference)
    begin_s = time.process_time() - start
    with tempfile.TemporaryDirectory() as scratch:
        log = fill_log(Path(scratch) / "log.sqlite", frame)
        ways: Mapping[str, Callable[[], object]] = {
            "ours": partial(evaluate, begun, batches),
            "log": partial(read_log, log),
            "evidently": partial(report_evidently, frame, reference, Path(scratch) / "e.html"),
        }
        seconds = take_turns(ways, turns)
        log.close()
    watch = evaluate(begun, batches)
    return {
        "exams": exams,
        "columns": frame.shape[1],
        "reference_exams": REFERENCE_EXAMS,
        "channels": len(watch.control.channels),
        "nodes": len(watch.control.nodes),
        "confirmed": len(watch.confirmed()),
        "begin_s": begin_s,
        **{f"{name}_s": value for name, value in seconds.items()},
        "ratio": seconds["evidently"] / seconds["ours"],
        "ratio_with_log": seconds["evidently"] / (seconds["ours"] + seconds["log"]),
        "aim": AIM,
    }


def measure_growth(sizes: Sequence[int], turns: int) -> dict[str, Any]:
    """Time ours by number of exams; the slope of the logarithms says how it grows."""
    begun = begin_watch(exam_frame_of(REFERENCE_EXAMS, SEED))
    frames = {size: in_batches(exam_frame_of(size, SEED, first=REFERENCE_EXAMS)) for size in sizes}
    evaluate(begun, frames[min(sizes)])  # a first call loads the machine code
    points = [
        {"exams": size, "seconds": _cpu_seconds(begun, batches)}
        for _ in range(turns)
        for size, batches in frames.items()
    ]
    return {"points": points, **slope_of(points)}


def _cpu_seconds(begun: Watch, batches: Sequence[pd.DataFrame]) -> float:
    start = time.process_time()
    evaluate(begun, batches)
    return time.process_time() - start


def slope_of(points: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the slope of log seconds over log exams with its 95% interval; 1 is linear.

    Least squares, Student's t. A slope under 1 is the fixed part of few exams.
    """
    exams, seconds = (np.log([one[name] for one in points]) for name in ("exams", "seconds"))
    fitted = stats.linregress(exams, seconds)
    width = float(stats.t.ppf(0.975, len(points) - 2) * fitted.stderr)
    slope = float(fitted.slope)
    return {"slope": slope, "slope_low": slope - width, "slope_high": slope + width}


def _arguments() -> argparse.Namespace:
    words = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=words[0], epilog=words[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exams", type=int, nargs="*", default=BESIDE, help="beside Evidently")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="of the growth")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="record, page and picture")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write where asked to."""
    from benchmarks.monitor_speed_page import print_record, write_record

    given = _arguments()
    os.environ.update(TELEMETRY_OFF)
    record = {
        "beside": [measure_ratio(exams, given.turns) for exams in given.exams],
        "growth": measure_growth(given.sizes, given.turns),
    }
    print_record(record)
    if given.write:
        write_record(record)


if __name__ == "__main__":
    main()
