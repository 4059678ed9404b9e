"""What Prometheus sees of the loop: the log, the control, the episodes, the outcomes.

Numbers come from the log when asked for, with aggregates done by the database.
No label holds an exam's or a patient's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mammo.pointer import read_pointer
from mammo.prediction_log.engine import log_url, open_server
from mammo.prediction_log.tables import OUTCOMES, PREDICTIONS, WATERMARKS
from mammo.settings import Settings
from mammo.spared import Spared
from monitoring.config import WATERMARK
from monitoring.episode_metrics import episode_metrics, gate_metrics
from monitoring.exam_counts import ExamCounts

MATURE = ("auc", "sensitivity", "recall_rate", "ppv", "detection_rate")
MOST_NODES = 100
MOST_SECONDS = 15.0
"""How long one question to the database may take: the first counts the whole log."""
JOINED_SECONDS = 15.0
"""A scrape's interval: so old may the count of exams be that have an outcome."""
STATES = ("learning", "in_control", "alert", "confirmed")


class LoopCollector(Collector):
    """Yields the loop's metrics from the log and the pointer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine = _open(settings.log_url)
        self._exams = ExamCounts()
        self._joined = Spared(self._count_joined, JOINED_SECONDS)

    def collect(self) -> Iterable[Metric]:
        """Yield every metric; a log or a pointer that cannot be read yields its ``_up 0``."""
        yield from _serving(self._settings.pointer_path)
        try:
            with self._engine.connect() as connection:
                self._exams.read_on(connection)
                metrics = [*self._exams.collect(), *_outcomes(connection), self._joined()]
                metrics += [*episode_metrics(connection), *gate_metrics(connection)]
                metrics += _control(connection)
        except (sa.exc.SQLAlchemyError, OSError):  # OSError: a server that timed out or is gone
            metrics = []
        yield GaugeMetricFamily("mammo_log_up", "1 when the log can be read.", int(bool(metrics)))
        yield from metrics

    def _count_joined(self) -> Metric:
        with self._engine.connect() as connection:
            return _count_joined(connection)


def _open(url: str) -> sa.Engine:
    """Open the log for reading; a database that says nothing is an error, and holds up no page."""
    address = log_url(url)
    if address.get_backend_name() != "sqlite":
        return open_server(address, busy_seconds=MOST_SECONDS)
    # from any thread, a few times a minute: no connection is worth keeping
    return sa.create_engine(
        address,
        poolclass=sa.pool.NullPool,
        connect_args={"timeout": MOST_SECONDS},
        hide_parameters=True,
    )


def _serving(path: Path) -> Iterator[Metric]:
    """Yield what is in service; a damaged pointer takes nothing else of the page along."""
    serving = GaugeMetricFamily(
        "mammo_release_in_service", "1 for the release the pointer names.", labels=("release",)
    )
    changed = GaugeMetricFamily(
        "mammo_release_changed_timestamp_seconds",
        "When the release in service came.",
        labels=(),
    )
    readable = True
    try:
        if (pointer := read_pointer(path)) is not None:
            serving.add_metric((str(pointer["release_id"]),), 1)
            if at := pointer.get("changed_at"):
                changed.add_metric((), datetime.fromisoformat(at).timestamp())
    except (OSError, ValueError, KeyError, TypeError):  # TypeError: JSON, but no object
        readable = False
    yield GaugeMetricFamily(
        "mammo_pointer_up", "0 when the pointer to the release cannot be read.", int(readable)
    )
    yield from (serving, changed)


def _outcomes(connection: sa.Connection) -> Iterator[Metric]:
    received, last = connection.execute(
        sa.select(sa.func.count(), sa.func.max(OUTCOMES.c.received_at)).select_from(OUTCOMES)
    ).one()
    yield CounterMetricFamily("mammo_outcomes_received", "Outcomes received.", received)
    if last is not None:
        yield GaugeMetricFamily(
            "mammo_last_outcome_timestamp_seconds",
            "When the last outcome was received.",
            last.timestamp(),
        )


def _count_joined(connection: sa.Connection) -> Metric:
    """Return how many exams of each release have an outcome: the whole log is looked through."""
    table = PREDICTIONS.c
    with_outcome = sa.select(OUTCOMES.c.exam_id)
    query = (
        sa.select(table.release_id, sa.func.count(sa.distinct(table.exam_id)))
        .where(table.level == "exam", table.role == "champion", table.exam_id.in_(with_outcome))
        .group_by(table.release_id)
    )
    joined = GaugeMetricFamily(
        "mammo_exams_with_outcome", "Exams of a release that have an outcome.", labels=("release",)
    )
    for release, count in connection.execute(query):
        joined.add_metric((release,), count)
    return joined


def _control(connection: sa.Connection) -> Iterator[Metric]:
    query = sa.select(WATERMARKS).where(WATERMARKS.c.name == WATERMARK)
    mark = connection.execute(query).one_or_none()
    last_id, state = (mark.last_id, mark.state) if mark else (0, {})
    table = PREDICTIONS.c
    behind = sa.select(sa.func.count()).where(
        table.id > last_id, table.level == "exam", table.role == "champion"
    )
    yield GaugeMetricFamily(
        "mammo_monitor_exams_behind",
        "Exams that the monitor has not read yet.",
        connection.execute(behind).scalar_one(),
    )
    report = state.get("report") or {}
    if report.get("finished_at"):
        yield GaugeMetricFamily(
            "mammo_monitor_last_run_timestamp_seconds",
            "When the monitor last finished.",
            datetime.fromisoformat(report["finished_at"]).timestamp(),
        )
    nodes = _largest(report.get("strata") or {})
    distances = report.get("distances") or {}
    yield from _nodes(nodes)
    yield from _distances({name: one for name, one in distances.items() if name in nodes})
    yield from _codes(report.get("codes") or [])
    yield from _cohorts(report.get("outcomes") or {})
    yield from _performance(str(state.get("release_id", "")), report.get("performance") or {})


def _largest(nodes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the nodes with most exams; any scanner that a header names has one."""
    ranked = sorted(nodes.items(), key=lambda item: -item[1]["exams"])
    return dict(ranked[:MOST_NODES])


def _nodes(nodes: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    """Yield the control of every node; ``level`` is programme, site, scanner or version."""
    labels = ("stratum", "level")
    numbers = {
        "cusum": "Highest CUSUM over the channels.",
        "threshold": "CUSUM at which the alert is raised.",
        "evidence": "Log e-process as a part of its threshold; 1 confirms an alert.",
        "exams": "Exams of the stratum under the release in service.",
    }
    for name, text in numbers.items():
        gauge = GaugeMetricFamily(f"mammo_control_{name}", text, labels=labels)
        for node, one in nodes.items():
            gauge.add_metric((node, _level(one)), one[name])
        yield gauge
    states = GaugeMetricFamily(
        "mammo_control_state", "1 for the state of the stratum.", labels=(*labels, "state")
    )
    parts = GaugeMetricFamily(
        "mammo_control_channel",
        "CUSUM of a channel as a part of its threshold; 1 raises the alert.",
        labels=(*labels, "channel"),
    )
    for node, one in nodes.items():
        for state in STATES:
            states.add_metric((node, _level(one), state), int(one["state"] == state))
        for channel, part in one.get("parts", {}).items():
            parts.add_metric((node, _level(one), channel), part)
    yield from (states, parts)


def _level(one: dict[str, Any]) -> str:
    return str(one.get("level", "version"))


def _distances(distances: dict[str, dict[str, dict[str, Any]]]) -> Iterator[Metric]:
    """Yield how far channels lie from the reference: shown, never decisive."""
    numbers = {
        "psi": "Population stability index of recent exams beside the reference.",
        "psi_by_chance": "What the PSI stays below in 95 of 100 windows without a change.",
        "wasserstein_sd": "Wasserstein distance in SD of the reference.",
        "missing": "Share of recent exams without a value.",
    }
    for name, text in numbers.items():
        gauge = GaugeMetricFamily(f"mammo_drift_{name}", text, labels=("stratum", "channel"))
        for node, channels in distances.items():
            for channel, one in channels.items():
                if one.get(name) is not None:
                    gauge.add_metric((node, channel), one[name])
        yield gauge


def _codes(codes: list[dict[str, Any]]) -> Iterator[Metric]:
    gauge = GaugeMetricFamily(
        "mammo_monitor_bad_input", "Bad input of the last run of the monitor.", labels=("code",)
    )
    for one in codes:
        gauge.add_metric((str(one["code"]),), one["count"])
    yield gauge


def _cohorts(outcomes: dict[str, Any]) -> Iterator[Metric]:
    """Yield what outcomes say: figures by maturity, and the evidence of each family."""
    figures = GaugeMetricFamily(
        "mammo_outcome",
        "Figure of exams of one maturity, with its 95% interval.",
        labels=("figure", "months", "bound"),
    )
    for cohort in outcomes.get("maturity") or []:
        for name in MATURE:
            interval = cohort.get(name) or {}
            for bound in ("low", "value", "high"):
                if interval.get(bound) is not None:
                    figures.add_metric((name, str(cohort["months"]), bound), interval[bound])
    yield figures
    evidence = GaugeMetricFamily(
        "mammo_outcome_evidence",
        "Evidence of outcomes as a part of its threshold; 1 confirms.",
        labels=("family",),
    )
    findings = outcomes.get("findings") or {}
    for family, part in (findings.get("evidence") or {}).items():
        evidence.add_metric((family,), part)
    yield evidence


def _performance(release: str, performance: dict[str, Any]) -> Iterator[Metric]:
    gauge = GaugeMetricFamily(
        "mammo_auc", "AUC by outcomes, with its 95% interval.", labels=("release", "of", "bound")
    )
    for of, key in (("stream", "auc"), ("reference", "reference")):
        interval = performance.get(key) or {}
        for bound in ("low", "value", "high"):
            if bound in interval:
                gauge.add_metric((release, of, bound), interval[bound])
    yield gauge
