"""One exam at a time: over HTTP against the same call in process, in turns; and no-ops."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from benchmarks.service.exams import Exam
from benchmarks.service.served import Served, ask, cpu_of, multipart, score
from mammo.screening import Screener

KEY, SITE = b"benchmark" * 4, "benchmark"
NO_OPS = 200
BAR, NO_OP_BAR_MS = 1.15, 30.0


class InProcess:
    """The same call without a service: a screener, and what it and its children cost."""

    def __init__(self, screener: Screener, server: int) -> None:
        self._screener, self._server = screener, server

    def score(self, exam: Exam) -> Any:
        """Score the exam's files as the service does: by their position."""
        files = [(str(number), data) for number, data in enumerate(exam.files, 1)]
        return self._screener.score_files(files, key=KEY, site=SITE)

    def cpu_s(self) -> float:
        """Return CPU seconds of this process and of its reading children so far."""
        me = psutil.Process()
        own = me.cpu_times()
        others = [one for one in me.children() if one.pid != self._server]
        return own.user + own.system + sum(map(cpu_of, others))


def measure_overhead(
    served: Served, inside: InProcess, exams: list[Exam], turns: int
) -> list[dict[str, Any]]:
    """Return a row per exam: least wall time, mean CPU time, and their ratios."""
    return [_compare(served, inside, exam, turns) for exam in exams]


def _compare(served: Served, inside: InProcess, exam: Exam, turns: int) -> dict[str, Any]:
    body, headers = multipart(exam)

    def over_http() -> Any:
        # a connection of its own: the server closes one that is idle for 5 s
        return score(served.connect(), body, headers)

    require_same_scores(over_http(), inside.score(exam))
    before = stages(served)
    http, plain = Clock(served.cpu_s), Clock(inside.cpu_s)
    for _ in range(turns):
        http.time(over_http)
        plain.time(lambda: inside.score(exam))
    spent = {name: stages(served)[name] - seconds for name, seconds in before.items()}
    return {
        "exam": exam.name,
        "megabytes": round(exam.megabytes, 1),
        "in_process": plain.summary(),
        "over_http": http.summary(),
        "wall_ratio": round(min(http.walls) / min(plain.walls), 3),
        "median_ratio": round(http.median / plain.median, 3),
        "cpu_ratio": round(http.cpu_s / plain.cpu_s, 3),
        "stages_ms": {name: round(1000 * seconds / turns, 1) for name, seconds in spent.items()},
    }


def require_same_scores(answer: Any, report: Any) -> None:
    """Raise RuntimeError unless both ways gave one exam the same view logits."""
    told = [view["logit"] for view in answer["views"]]
    if told != [view.logit for view in report.views]:
        raise RuntimeError(f"over HTTP the logits are {told}, in process {report.views}")


class Clock:
    """Wall and CPU seconds of several calls."""

    def __init__(self, cpu_s: Callable[[], float]) -> None:
        self._cpu_s = cpu_s
        self.walls: list[float] = []
        self._cpu = 0.0

    def time(self, call: Callable[[], object]) -> None:
        """Call and note."""
        cpu, wall = self._cpu_s(), time.perf_counter()
        call()
        self.walls.append(time.perf_counter() - wall)
        self._cpu += self._cpu_s() - cpu

    @property
    def cpu_s(self) -> float:
        """Mean CPU seconds of a call: the kernel counts in hundredths, so never of one."""
        return self._cpu / len(self.walls)

    @property
    def median(self) -> float:
        """Median wall seconds."""
        return statistics.median(self.walls)

    def summary(self) -> dict[str, float]:
        """Return least and median wall time and mean CPU time, in seconds."""
        numbers = {"least_s": min(self.walls), "median_s": self.median, "cpu_s": self.cpu_s}
        return {name: round(value, 4) for name, value in numbers.items()}


def stages(served: Served) -> dict[str, float]:
    """Return the seconds that the service has spent in each stage so far."""
    text = ask(served.connect(), "GET", "/metrics")[2].decode()
    found = re.findall(r'^mammo_stage_seconds_sum\{stage="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {name: float(seconds) for name, seconds in found}


def measure_no_ops(served: Served) -> list[dict[str, Any]]:
    """Return how long requests take that score nothing, in milliseconds."""
    return [_no_op(served, *one) for one in _no_ops()]


def _no_ops() -> Iterator[tuple[str, str, bytes | None, int]]:
    yield "GET", "/healthz", None, 200
    yield "GET", "/v1/release", None, 200
    yield "GET", "/v1/exams/E-unknown", None, 404
    yield "POST", "/v1/exams", b"no DICOM file", 422


def _no_op(
    served: Served, method: str, path: str, body: bytes | None, expected: int
) -> dict[str, Any]:
    connection, times = served.connect(), []
    headers = {"content-type": "application/dicom"} if body else {}
    for _ in range(NO_OPS):
        started = time.perf_counter()
        status, _, data = ask(connection, method, path, body, headers)
        times.append(1000 * (time.perf_counter() - started))
        if status != expected:
            raise RuntimeError(f"{path} answered {status}, not {expected}: {data[:300]!r}")
    cuts = statistics.quantiles(times, n=100)
    return {
        "request": f"{method} {path}",
        "status": expected,
        "p50_ms": round(cuts[49], 2),
        "p99_ms": round(cuts[98], 2),
    }
