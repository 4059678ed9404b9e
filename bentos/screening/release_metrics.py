"""What Prometheus is told when it asks: the release in service, the queue, spool and audit log.

Readiness and refusals are of all workers, by the files that they write; the rest is of
the worker that answers the scrape. What costs time to count (a spool of
a million lines) is counted only now and then, see `mammo.spared`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bentos.screening.admission import Admission
from bentos.screening.rollout import InService, Rollout
from mammo.audit import AuditLog
from mammo.errors import MammoError
from mammo.prediction_log.durable import DurableLog
from mammo.spared import Spared


class ReleaseCollector(Collector):
    """Tells, when asked, which release is in service, and which is tried beside it."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def collect(self) -> Iterable[Metric]:
        """Yield readiness, the releases and their targets."""
        current, challenger = self._rollout.current, self._rollout.challenger
        others = [one for one in self._rollout.workers() if one.pid != os.getpid()]
        ready = current is not None and all(one.release for one in others)
        refused = bool(self._rollout.refused or self._rollout.challenger_refused) or any(
            one.refused or one.challenger_refused for one in others
        )
        yield GaugeMetricFamily("mammo_service_up", "1 while the service answers.", 1)
        yield GaugeMetricFamily(
            "mammo_service_ready", "1 when every worker has a release in service.", int(ready)
        )
        yield GaugeMetricFamily(
            "mammo_release_refused",
            "1 while a worker refuses the release that is wanted.",
            int(refused),
        )
        yield _release_info("mammo_release_info", "The release in service.", current)
        yield _release_info("mammo_challenger_info", "The release tried beside it.", challenger)
        yield _targets(current)


def _release_info(name: str, text: str, release: InService | None) -> Metric:
    info = GaugeMetricFamily(name, text, labels=("release", "bento", "data_version", "kind"))
    if release is not None:
        made, bento = release.release, release.bento_tag or "embedded"
        info.add_metric((made.id, bento, made.data_version, made.kind), 1)
    return info


def _targets(release: InService | None) -> Metric:
    """Return the recall rates that the release in service was set to; ``*`` is a new scanner."""
    told = GaugeMetricFamily(
        "mammo_recall_target_ratio",
        "Recall rate per exam that a scanner's operating point was set to, 0 to 1.",
        labels=("release", "scanner"),
    )
    if release is not None:
        for scanner, point in release.release.operating_points.items():
            told.add_metric((release.release.id, scanner), point.target_recall_rate)
    return told


class QueueCollector(Collector):
    """Tells, when asked, how full the queue and the spool are, and whether the audit log goes."""

    def __init__(self, admission: Admission, durable: DurableLog, audit: AuditLog) -> None:
        self._admission = admission
        self._waiting = Spared(lambda: durable.waiting)
        self._refused = Spared(lambda: durable.spool.refused)
        self._audit = Spared(lambda: _audited(audit))

    def collect(self) -> Iterable[Metric]:
        """Yield the exams inside, those that wait, spool and audit log."""
        yield from self._queue()
        yield GaugeMetricFamily(
            "mammo_spool_waiting",
            "Predictions that wait for the database of the log.",
            self._waiting(),
        )
        yield GaugeMetricFamily(
            "mammo_spool_refused",
            "Predictions set aside: the database will never take them, a person must look.",
            self._refused(),
        )
        lines = self._audit()
        yield GaugeMetricFamily(
            "mammo_audit_up", "1 when the audit log can be read.", int(lines is not None)
        )
        if lines is not None:
            yield CounterMetricFamily("mammo_audit_lines", "Lines of the audit log.", lines)

    def _queue(self) -> Iterator[Metric]:
        admission = self._admission
        numbers = {
            "mammo_uploads": ("Requests with exams that are open.", admission.uploads),
            "mammo_exams_inside": ("Exams that wait or are scored.", admission.inside),
            "mammo_exams_waiting": ("Those that wait.", admission.in_queue),
            "mammo_queue_limit": (
                "Exams that may be inside; one more is told to come again.",
                admission.at_once + admission.waiting,
            ),
        }
        for name, (text, value) in numbers.items():
            yield GaugeMetricFamily(name, text, value)


def _audited(audit: AuditLog) -> int | None:
    """Return the number of lines, None where the log or its key cannot be read."""
    try:
        return audit.head().seq
    except MammoError:
        return None
