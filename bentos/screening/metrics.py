"""What Prometheus sees of the service. No label ever holds a file name or an exam id.

Several workers share one port, and a scrape reaches one of them. BentoML gives its
workers one ``PROMETHEUS_MULTIPROC_DIR``, so that counters and histograms are those of
all of them together; so are readiness and refusals of a release (`ReleaseCollector`). What is
told of the queue is that of the worker that answers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from bentos.screening.admission import Admission
from bentos.screening.metric_files import SHARED_FOLDER, reserve_metric_files
from bentos.screening.release_metrics import QueueCollector, ReleaseCollector
from bentos.screening.rollout import Rollout
from mammo import errors, telemetry
from mammo.audit import AuditLog
from mammo.exam_report import Refused
from mammo.prediction_log.durable import DurableLog
from mammo.scoring import Scoring
from mammo.screening import ExamReport

SECONDS = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0,
    10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of the buckets of times. Where exams usually lie a bound is at most half more than
the one before: a percentile is interpolated between two, and may be off by as much."""
PROMISED_SECONDS = 10.0
"""Within which 99 of 100 exams are to be answered (docs/runbooks/README.md): one of the bounds."""
SCORES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Upper bounds of the buckets of calibrated scores: a programme's scores crowd near zero."""
MOST_SCANNERS = 50
OTHER, UNKNOWN = "other", "unknown"
OK, CLIENT_GONE = 200, 499
DECODING = frozenset(
    one.code
    for one in (
        errors.ReadError,
        errors.DicomTruncated,
        errors.UnsupportedSyntax,
        errors.PixelsUnreadable,
        errors.DecoderCrashed,
        errors.DecoderTimeout,
        errors.DecoderMemory,
    )
)
"""Codes of files whose pixels could not be had; other refusals are about what they show."""


class FewNames:
    """A label's values as they come, up to ``most`` of them; further ones are ``other``.

    A scanner's name is in the header of a file, and whoever sends files could make up
    one for each: Prometheus keeps a series for every value that it ever saw.
    """

    def __init__(self, most: int = MOST_SCANNERS) -> None:
        self._most, self._known = most, set[str]()

    def __call__(self, name: str) -> str:
        """Return the name, or ``other`` where too many were there before."""
        if name in self._known or len(self._known) < self._most:
            self._known.add(name)
            return name
        return OTHER


class Metrics:
    """The service's counters, in a registry of their own."""

    def __init__(
        self, rollout: Rollout, admission: Admission, durable: DurableLog, audit: AuditLog
    ) -> None:
        reserve_metric_files()
        self.own = CollectorRegistry()
        self.own.register(ReleaseCollector(rollout))
        self.own.register(QueueCollector(admission, durable, audit))
        self.registry = CollectorRegistry()
        self._few = FewNames()
        self._count_requests()
        self._count_exams()
        self._count_trials()
        self._count_told(rollout, admission)

    def _count_requests(self) -> None:
        self.requests = Counter(
            "mammo_requests",
            "Requests answered, by route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "mammo_request_duration_seconds",
            "Time from a request's first byte to its answer, by route template.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.exam_seconds = Histogram(
            "mammo_exam_seconds",
            "Time from an exam's first byte to its score; also of callers who left after 10 s. "
            "No job and no answer that is given again.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.seconds = Histogram(
            "mammo_stage_seconds",
            "Time in one stage of an exam: receive, read, score, network, log, keep; "
            "decode and prepare are of one view.",
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
        self.decode_failures = Counter(
            "mammo_decode_failures",
            "Files whose pixels could not be had; scanner unknown where no file of the exam could.",
            ("scanner", "code"),
            registry=self.registry,
        )
        self.outcomes = Counter(
            "mammo_outcomes",
            "Outcomes received: new, repeated, and of exams never scored here.",
            ("kind",),
            registry=self.registry,
        )

    def _count_exams(self) -> None:
        self.predictions = Counter(
            "mammo_predictions",
            "Exams scored, logged and answered.",
            ("release", "scanner", "decision"),
            registry=self.registry,
        )
        self.scores = Histogram(
            "mammo_exam_score",
            "Calibrated scores of exams that were answered, 0 to 1.",
            ("release", "scanner"),
            buckets=SCORES,
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

    def _count_trials(self) -> None:
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

    def _count_told(self, rollout: Rollout, admission: Admission) -> None:
        """Count what happens inside of a worker for all of them: a scrape reaches only one."""
        turned_away = Counter(
            "mammo_exams_turned_away", "Exams told to come again.", registry=self.registry
        )
        swaps = Counter(
            "mammo_release_swaps",
            "Releases put into service, once for each worker.",
            registry=self.registry,
        )
        swaps.inc(rollout.swaps)
        admission.when_refused, rollout.when_swapped = turned_away.inc, swaps.inc

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        started = time.perf_counter()
        try:
            with telemetry.current().stage(name):
                yield
        finally:
            self.seconds.labels(name).observe(time.perf_counter() - started)

    def time_exam(self, status: int, seconds: float) -> None:
        """Note how long a caller waited for a score: one who got it, or left after too long.

        Other ends are of no exam that was slow or quick: a refusal, and an error, which counts
        among the errors. A caller's own limit would hide what is slow, were leaving no end.
        """
        if status == OK or (status == CLIENT_GONE and seconds > PROMISED_SECONDS):
            self.exam_seconds.observe(seconds)

    def count_report(self, report: ExamReport) -> None:
        """Count a logged prediction and the files refused with it."""
        decision = "recall" if report.recall else "no recall"
        scanner = self._few(report.scanner.key)
        self.predictions.labels(report.release_id, scanner, decision).inc()
        self.scores.labels(report.release_id, scanner).observe(report.probability)
        self.count_refused(report.refused, scanner)

    def count_refused(self, refused: Iterable[Refused], scanner: str = UNKNOWN) -> None:
        """Count files that were refused, and by scanner those that could not be decoded."""
        for one in refused:
            self.refusals.labels(one.code).inc()
            if one.code in DECODING:
                self.decode_failures.labels(scanner, one.code).inc()

    def count_seconds(self, scoring: Scoring) -> None:
        """Note what decoding and preparing each view took, and the networks for all of them."""
        for view in scoring.views:
            self.seconds.labels("decode").observe(view.decode_seconds)
            self.seconds.labels("prepare").observe(view.prepare_seconds)
        self.seconds.labels("network").observe(scoring.network_seconds)

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
