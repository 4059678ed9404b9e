"""What Prometheus sees of the service. No label ever holds a file name or an exam id.

Several workers share one port, and a scrape reaches one of them. BentoML gives its
workers one ``PROMETHEUS_MULTIPROC_DIR``, so that counters and histograms are those of
all of them together; what is told of the release, the queue and the spool is that of
the worker that answers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bentos.screening.admission import Admission
from bentos.screening.rollout import InService, Rollout
from mammo.prediction_log.durable import DurableLog
from mammo.screening import ExamReport

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class ReleaseCollector(Collector):
    """Tells, when asked, which release is in service, and which is tried beside it."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def collect(self) -> Iterable[Metric]:
        """Yield readiness, the releases and the swaps so far."""
        current, challenger = self._rollout.current, self._rollout.challenger
        refused = self._rollout.refused or self._rollout.challenger_refused
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
        yield _release_info("mammo_release_info", "The release in service.", current)
        yield _release_info("mammo_challenger_info", "The release tried beside it.", challenger)


def _release_info(name: str, text: str, release: InService | None) -> Metric:
    info = GaugeMetricFamily(name, text, labels=("release", "bento", "data_version", "kind"))
    if release is not None:
        made, bento = release.release, release.bento_tag or "embedded"
        info.add_metric((made.id, bento, made.data_version, made.kind), 1)
    return info


class QueueCollector(Collector):
    """Tells, when asked, how full the queue and the spool are."""

    def __init__(self, admission: Admission, durable: DurableLog) -> None:
        self._admission, self._durable = admission, durable

    def collect(self) -> Iterable[Metric]:
        """Yield the exams inside, those that wait, those turned away, and the spool."""
        admission = self._admission
        yield GaugeMetricFamily(
            "mammo_uploads", "Requests with exams that are open.", admission.uploads
        )
        yield GaugeMetricFamily(
            "mammo_exams_inside", "Exams that wait or are scored.", admission.inside
        )
        yield GaugeMetricFamily("mammo_exams_waiting", "Those that wait.", admission.in_queue)
        yield CounterMetricFamily(
            "mammo_exams_turned_away", "Exams told to come again.", admission.refused
        )
        yield GaugeMetricFamily(
            "mammo_spool_waiting",
            "Predictions that wait for the database of the log.",
            self._durable.waiting,
        )


class Metrics:
    """The service's counters, in a registry of their own."""

    def __init__(self, rollout: Rollout, admission: Admission, durable: DurableLog) -> None:
        self.own = CollectorRegistry()
        self.own.register(ReleaseCollector(rollout))
        self.own.register(QueueCollector(admission, durable))
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mammo_requests",
            "Requests answered, by route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "mammo_stage_seconds",
            "Time in one stage of scoring: receive, read, score, log, keep.",
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
            "Exams scored, logged and answered.",
            ("release", "scanner", "decision"),
            registry=self.registry,
        )
        self.shadow = Counter(
            "mammo_shadow",
            "Exams offered to the challenger in the shadow: scored, dropped, failed.",
            ("fate",),
            registry=self.registry,
        )
        self.canary_failures = Counter(
            "mammo_canary_failures",
            "Exams that a canary failed to score and the champion answered.",
            ("release",),
            registry=self.registry,
        )
        self.trial_failures = Counter(
            "mammo_trial_failures",
            "Exams that a release on trial failed on and another scored, by its role.",
            ("release", "role"),
            registry=self.registry,
        )
        self.images_lost = Counter(
            "mammo_images_lost",
            "Answered exams without images for a viewer: the disk refused, or too many waited.",
            registry=self.registry,
        )
        self.results_lost = Counter(
            "mammo_results_lost",
            "Answers without heat map and report: the disk refused.",
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

    def count_shadow(self, fate: str) -> None:
        """Count what became of an exam offered to the challenger."""
        self.shadow.labels(fate).inc()

    def count_failure(self, release_id: str, role: str) -> None:
        """Count an exam that a release on trial failed on."""
        self.trial_failures.labels(release_id, role).inc()
        if role == "canary":
            self.canary_failures.labels(release_id).inc()

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        counted = self.registry
        if os.environ.get(SHARED_FOLDER):
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        return generate_latest(self.own) + generate_latest(counted)
