"""What threads, batches and exams side by side bring: the network alone, then whole exams."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.service.exams import Exam
from benchmarks.service.overhead import InProcess

BATCHES = (1, 4, 8, 16)
SIDES = (1, 2, 3, 4)
BLOCK = 6
VIEWS = 4
SIDE_BY_SIDE = (1, 0)
"""One thread a run, one view a run, two runs at a time: as the service does."""


def measure_batches(release: Path, tensors: np.ndarray, turns: int) -> list[dict[str, Any]]:
    """Time ``model.onnx`` a view: as batches on one and two threads, and view by view.

    ``tensors`` is (4, 1, 1024, 512) float32 in [0, 1]: one exam, repeated for a batch.
    """
    ways: dict[Any, Callable[[], object]] = {
        (threads, size): _batch(release, tensors, threads, size)
        for threads, size in product((1, 2), BATCHES)
    }
    ways[SIDE_BY_SIDE] = _by_side(release, tensors)
    found: dict[Any, list[tuple[float, float]]] = {way: [] for way in ways}
    for _, (way, call) in product(range(turns), ways.items()):
        found[way].append(_time(call))
    return [_row(way, *np.min(seconds, axis=0)) for way, seconds in found.items()]


def _batch(release: Path, tensors: np.ndarray, threads: int, size: int) -> Callable[[], object]:
    session = _session(release, threads)
    feed = {"image": np.tile(tensors, (-(-size // len(tensors)), 1, 1, 1))[:size]}
    return lambda: session.run(["logit"], feed)


def _by_side(release: Path, tensors: np.ndarray) -> Callable[[], object]:
    session, pool = _session(release, 1), ThreadPoolExecutor(2)
    views = [{"image": one[np.newaxis]} for one in tensors]
    return lambda: list(pool.map(lambda feed: session.run(["logit"], feed), views))


def _session(release: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = str(release / "model.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _time(call: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def _row(way: tuple[int, int], wall: float, cpu: float) -> dict[str, Any]:
    side_by_side = way == SIDE_BY_SIDE
    views = VIEWS if side_by_side else way[1]
    return {
        "threads": way[0],
        "views_a_run": 1 if side_by_side else way[1],
        "runs_at_a_time": 2 if side_by_side else 1,
        "wall_ms": round(1000 * wall / views, 1),
        "cpu_ms": round(1000 * cpu / views, 1),
    }


def measure_sides(inside: InProcess, exam: Exam, turns: int) -> list[dict[str, Any]]:
    """Time blocks of exams scored 1 to 4 at a time: best throughput, least CPU time an exam."""
    found: dict[int, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _, side in product(range(turns), SIDES):
        found[side].append(_block(inside, exam, side))
    return [
        {
            "exams_at_a_time": side,
            "exams_per_s": round(max(one["rate"] for one in blocks), 2),
            "cpu_s_an_exam": round(min(one["cpu"] for one in blocks), 3),
            "latency_s": round(min(one["latency"] for one in blocks), 3),
        }
        for side, blocks in found.items()
    ]


def _block(inside: InProcess, exam: Exam, side: int) -> dict[str, float]:
    latencies: list[float] = []

    def one(_: int) -> None:
        started = time.perf_counter()
        inside.score(exam)
        latencies.append(time.perf_counter() - started)

    cpu, wall = inside.cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(side) as pool:
        list(pool.map(one, range(BLOCK)))
    seconds = time.perf_counter() - wall
    spent = (inside.cpu_s() - cpu) / BLOCK
    return {"rate": BLOCK / seconds, "cpu": spent, "latency": float(np.median(latencies))}
