"""What Prometheus sees of episodes and of the gate: what an alert has to tell of them.

Labels that stay as long as an episode lives are on its opening time; what changes
(status, run) is on an info metric, so that an alert does not become another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from mammo.prediction_log.tables import EPISODES, GATES
from monitoring.evidence_page import episode_file

GOING = ("open", "acting", "failed")
"""Status of an episode that is not over."""
MOST_EPISODES = 50
"""Episodes that are told one by one, newest first."""
REASON_CHARACTERS = 300


def episode_metrics(connection: sa.Connection) -> Iterator[Metric]:
    """Yield all episodes counted, and those that go on one by one."""
    table = EPISODES.c
    query = sa.select(table.cause, table.action, table.status, sa.func.count()).group_by(
        table.cause, table.action, table.status
    )
    episodes = GaugeMetricFamily(
        "mammo_episodes", "Drift episodes.", labels=("cause", "action", "status")
    )
    for *key, count in connection.execute(query):
        episodes.add_metric(key, count)
    yield episodes
    going = sa.select(EPISODES).where(table.status.in_(GOING)).order_by(table.id.desc())
    yield from _one_by_one(
        [dict(row) for row in connection.execute(going.limit(MOST_EPISODES)).mappings()]
    )


def _one_by_one(going: list[dict[str, Any]]) -> Iterator[Metric]:
    opened = GaugeMetricFamily(
        "mammo_episode_opened_timestamp_seconds",
        "When an episode that is not over was opened.",
        labels=("episode", "stratum", "scanner", "cause", "action"),
    )
    info = GaugeMetricFamily(
        "mammo_episode_info",
        "1 for an episode that is not over: its status, its run, why it was opened, its page.",
        labels=("episode", "status", "flow_run", "release", "report", "reason"),
    )
    exams = GaugeMetricFamily(
        "mammo_episode_exams_to_alarm",
        "Exams between the change's estimated begin and the alarm.",
        labels=("episode",),
    )
    for one in going:
        evidence = one["evidence"] or {}
        scanner = str(evidence.get("scanner") or "all")
        stable = (one["key"], one["stratum"], scanner, one["cause"], one["action"])
        opened.add_metric(stable, int(one["opened_at"].timestamp()))
        info.add_metric(
            (
                one["key"],
                one["status"],
                one["flow_run_id"] or "",
                one["release_id"] or "",
                _report_path(one),
                str(evidence.get("reason") or "")[:REASON_CHARACTERS],
            ),
            1,
        )
        if one["exams_to_alarm"] is not None:
            exams.add_metric((one["key"],), one["exams_to_alarm"])
    yield from (opened, info, exams)


def _report_path(episode: Mapping[str, Any]) -> str:
    """Return the path of the episode's page below the address of the reports.

    Its address differs for who reads an alert: `reports_url` of Prometheus' external labels.
    """
    _, found, path = str(episode["report_url"] or "").partition("/drift/")
    return f"/drift/{path}{episode_file(episode)}" if found else ""


def gate_metrics(connection: sa.Connection) -> Iterator[Metric]:
    """Yield how often the gate let a release through, and how often in a row it did not."""
    table = GATES.c
    query = sa.select(table.passed, table.challenger, table.at).order_by(table.id.desc())
    rows = connection.execute(query).all()
    gates = CounterMetricFamily(
        "mammo_gates", "Releases judged by the gate, by result.", labels=("result",)
    )
    for result in ("passed", "refused", "unsettled"):
        gates.add_metric((result,), sum(_result(row.passed) == result for row in rows))
    yield gates
    settled = [row for row in rows if row.passed is not None]
    refused = list(takewhile(lambda row: not row.passed, settled))
    yield GaugeMetricFamily(
        "mammo_gate_refusals_in_a_row",
        "Verdicts against a release since the last one for one.",
        len(refused),
    )
    if rows:
        yield GaugeMetricFamily(
            "mammo_gate_last_timestamp_seconds",
            "When the gate last judged a release.",
            rows[0].at.timestamp(),
        )
        last = GaugeMetricFamily(
            "mammo_gate_last_info", "1 for the last verdict.", labels=("release", "result")
        )
        last.add_metric((rows[0].challenger, _result(rows[0].passed)), 1)
        yield last


def _result(passed: bool | None) -> str:
    return "unsettled" if passed is None else "passed" if passed else "refused"
