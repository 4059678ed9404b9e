"""How fast the service is, against the same call in process: every number in one run.

    python -m benchmarks.service                    # about seven minutes on two cores
    python -m benchmarks.service --turns 3 --seconds 5   # a look, about two minutes

Exams and releases are kept in --folder; the numbers go to speed.json and from
there into docs/service_speed.md. Both ways take turns, so that a busy machine
slows both alike; CPU time beside wall time says what a quiet one would give.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import describe_run
from benchmarks.service.exams import SYNTAXES, Exam, phantom_exam, real_exams
from benchmarks.service.inference import measure_batches, measure_sides
from benchmarks.service.load import CALLERS, measure_load
from benchmarks.service.overhead import KEY, SITE, InProcess, measure_no_ops, measure_overhead
from benchmarks.service.releases import CONFIG, GRAPHS, find_release
from benchmarks.service.report import write_page
from benchmarks.service.served import Served, serve
from bentos.screening.memory import reuse_memory
from mammo.continual.carry import machine
from mammo.preprocess import to_tensor
from mammo.reading import ReadView, ViewReader
from mammo.screening import Screener

RESULTS = Path(__file__).with_name("speed.json")
ROUNDS = 4


def main() -> None:
    """Measure, write speed.json and the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/service-speed"))
    parser.add_argument("--turns", type=int, default=9, help="turns of each exam, one at a time")
    parser.add_argument("--seconds", type=float, default=10, help="of each round under load")
    given = parser.parse_args()
    reuse_memory()  # as the service does: the two ways differ in the service alone
    found = measure(given.folder.resolve(), given.turns, given.seconds)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_page(found)


def measure(folder: Path, turns: int, seconds: float) -> dict[str, Any]:
    """Return every number of the page."""
    exams = [phantom_exam(folder / "exams", syntax) for syntax in SYNTAXES] + real_exams()
    run = describe_run("see exams", turns) | {"machine": machine(), "cores": os.cpu_count()}
    run["load_average"] = round(os.getloadavg()[0], 1)  # of others, before anything is measured
    found: dict[str, Any] = {"run": run, "callers": CALLERS, "graphs": {}}
    for graph in GRAPHS:
        release = find_release(folder / "releases", graph)
        with serve(folder, release) as served:
            inside = _inside(release, served)
            shown = exams if graph == GRAPHS[0] else exams[:1]
            one = found["graphs"][graph] = {
                "overhead": measure_overhead(served, inside, shown, turns),
                "no_ops": measure_no_ops(served),
                "load": measure_load(served, inside, exams[0], ROUNDS, seconds),
            }
        one["sides"] = measure_sides(inside, exams[0], max(2, turns // 4))
        one["batches"] = measure_batches(release, _tensors(exams[0]), max(3, turns // 2))
        print(json.dumps(one, indent=1), flush=True)
    return found


def _inside(release: Path, served: Served) -> InProcess:
    return InProcess(Screener.load(release, reader=ViewReader()), served.pid)


def _tensors(exam: Exam) -> np.ndarray:
    views = ViewReader().read(exam.files, KEY, SITE, CONFIG)
    return to_tensor(np.stack([_read(one).prepared.pixels for one in views]), CONFIG)


def _read(view: Any) -> ReadView:
    if not isinstance(view, ReadView):
        raise view
    return view


if __name__ == "__main__":
    main()
