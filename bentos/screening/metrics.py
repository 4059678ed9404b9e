"""What Prometheus sees of the service. No label ever holds a file name or an exam id."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bentos.screening.rollout import Rollout
from mammo.screening import ExamReport

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class ReleaseCollector(Collector):
    """Tells, when asked, which release is in service."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def collect(self) -> Iterable[Metric]:
        """Yield readiness, the release in service and the swaps so far."""
        current, refused = self._rollout.current, self._rollout.refused
        yield GaugeMetricFamily("mammo_service_up", "1 while the service answers.", 1)
        yield GaugeMetricFamily(
            "mammo_service_ready", "1 when a release is in service.", int(current is not None)
        )
        yield GaugeMetricFamily(
            "mammo_release_refused", "1 while the wanted release is refused.", int(bool(refused))
        )
        yield CounterMetricFamily(
            "mammo_release_swaps", "Releases put into service.", self._rollout.swaps
        )
        info = GaugeMetricFamily(
            "mammo_release_info",
            "The release in service.",
            labels=("release", "bento", "data_version", "kind"),
        )
        if current is not None:
            release, bento = current.release, current.bento_tag or "embedded"
            info.add_metric((release.id, bento, release.data_version, release.kind), 1)
        yield info


class Metrics:
    """The service's counters, in a registry of their own."""

    def __init__(self, rollout: Rollout) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(ReleaseCollector(rollout))
        self.requests = Counter(
            "mammo_requests",
            "Requests answered, by route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "mammo_stage_seconds",
            "Time in one stage of scoring: receive, score, log.",
            ("stage",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.refusals = Counter(
            "mammo_refusals",
            "Files and requests refused, by code.",
            ("code",),
            registry=self.registry,
        )
        self.predictions = Counter(
            "mammo_predictions",
            "Exams scored and logged.",
            ("release", "scanner", "decision"),
            registry=self.registry,
        )
        self.outcomes = Counter(
            "mammo_outcomes",
            "Outcomes received: new, repeated, and of exams never scored here.",
            ("kind",),
            registry=self.registry,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds.labels(name).observe(time.perf_counter() - started)

    def count_report(self, report: ExamReport) -> None:
        """Count a logged prediction and the files refused with it."""
        decision = "recall" if report.recall else "no recall"
        self.predictions.labels(report.release_id, report.scanner.key, decision).inc()
        for refused in report.refused:
            self.refusals.labels(refused.code).inc()
