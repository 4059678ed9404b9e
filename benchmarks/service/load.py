"""Eight callers at once, for a while: over HTTP against in process, in alternating rounds."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.service.exams import Exam
from benchmarks.service.overhead import InProcess
from benchmarks.service.served import Served, ask, multipart

CALLERS = 8
THROUGHPUT_BAR, TAIL_BAR = 0.8, 3.0
PEAK_IMAGES_PER_SECOND = 3.2
"""A national programme at its peak (the specification)."""
FULL_SHARE = 0.7
"""How busy cores may be at the peak for queues to stay short."""


class Tally:
    """Latencies of the requests that were answered, those refused, and what it all took."""

    def __init__(self, cpu_s: Callable[[], float]) -> None:
        self._cpu_s = cpu_s
        self.latencies: list[float] = []
        self.refused = 0
        self.seconds = self.cpu = 0.0

    def round(self, make_caller: Callable[[], Callable[[], bool]], seconds: float) -> None:
        """Let CALLERS call one after another for that long; all begun calls are ended."""
        started, cpu = time.perf_counter(), self._cpu_s()
        threads = [
            threading.Thread(target=self._call, args=(make_caller(), started + seconds))
            for _ in range(CALLERS)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.seconds += time.perf_counter() - started
        self.cpu += self._cpu_s() - cpu

    def _call(self, call: Callable[[], bool], until: float) -> None:
        while (started := time.perf_counter()) < until:
            if call():
                self.latencies.append(time.perf_counter() - started)
            else:
                self.refused += 1

    def summary(self) -> dict[str, Any]:
        """Return throughput, percentiles of latency, and CPU seconds an exam."""
        cuts = statistics.quantiles(self.latencies, n=100)
        return {
            "exams": len(self.latencies),
            "refused": self.refused,
            "exams_per_s": round(len(self.latencies) / self.seconds, 3),
            "p50_s": round(cuts[49], 3),
            "p99_s": round(cuts[98], 3),
            "p99_to_p50": round(cuts[98] / cuts[49], 2),
            "cpu_s_an_exam": round(self.cpu / len(self.latencies), 4),
        }


def measure_load(
    served: Served, inside: InProcess, exam: Exam, rounds: int, seconds: float
) -> dict[str, Any]:
    """Return both tallies, their ratios, and how many images a second a core gives."""
    body, headers = multipart(exam)

    def http_caller() -> Callable[[], bool]:
        connection = served.connect()
        return lambda: _ask(connection, body, headers)

    def plain_caller() -> Callable[[], bool]:
        return lambda: bool(inside.score(exam))

    http, plain = Tally(served.cpu_s), Tally(inside.cpu_s)
    for _ in range(rounds):
        http.round(http_caller, seconds)
        plain.round(plain_caller, seconds)
    over_http, in_process = http.summary(), plain.summary()
    images_per_core = len(exam.files) / over_http["cpu_s_an_exam"]
    return {
        "exam": exam.name,
        "over_http": over_http,
        "in_process": in_process,
        "throughput_ratio": round(over_http["exams_per_s"] / in_process["exams_per_s"], 3),
        "cpu_throughput_ratio": round(in_process["cpu_s_an_exam"] / over_http["cpu_s_an_exam"], 3),
        "images_per_s_per_core": round(images_per_core, 2),
        "images_per_s": round(len(exam.files) * over_http["exams_per_s"], 2),
        "cores_at_peak": round(PEAK_IMAGES_PER_SECOND / images_per_core / FULL_SHARE, 2),
        "rss_mb": round(served.rss_mb()),
    }


def _ask(connection: Any, body: bytes, headers: dict[str, str]) -> bool:
    """Send an exam; False when the service is full, after the time that it says."""
    status, answered, data = ask(connection, "POST", "/v1/exams", body, headers)
    if status in (429, 503):
        time.sleep(float(answered.get("retry-after", 1)))
        return False
    if status != 200:
        raise RuntimeError(f"the service answered {status}: {data[:500]!r}")
    return True
