"""Grafana's alert rules on drift and outcomes, as its provisioning takes them.

Prometheus and Alertmanager page; see docs/grafana.md. These rules are Prometheus' own (name,
query, duration and severity are read from them), go in working hours to the programme's quality
assurance, and each is linked to a panel and a runbook.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitoring.dashboards import audit, drift, releases
from monitoring.dashboards.panel import Board

SOURCE = "$DS_PROMETHEUS"
"""Grafana puts the variable's value here when it reads the file; it does not in a query's model."""
HEAD = "# Written by `python -m monitoring.dashboards`; change monitoring/dashboards/rules.py.\n"


PAGING = Path(__file__).resolve().parents[2] / "dashboards" / "prometheus-rules.yml"


@dataclass(frozen=True)
class Rule:
    """A rule: Prometheus' rule of that name, and what a reader looks at."""

    name: str
    board: Board
    panel: str
    summary: str
    description: str


RULES = (
    Rule(
        "MammoDriftConfirmed", drift.BOARD, "Strata confirmed",
        "Drift is confirmed on {{ $labels.stratum }}: {{ $labels.cause }}",
        "Exams of {{ $labels.stratum }} are not as those that the release in service was made for. "
        "The episode calls for {{ $labels.action }}; its page has the evidence and says what is "
        "already being done.",
    ),
    Rule(
        "MammoPersonAsked", releases.BOARD, "Episodes",
        "An episode of {{ $labels.stratum }} waits for a person: {{ $labels.action }}",
        "Read its page of evidence; then `mammo close`, or `mammo retrain --episode`.",
    ),
    Rule(
        "MammoOutcomesConfirm", audit.BOARD, "Evidence of outcomes",
        "Outcomes confirm a change: {{ $labels.family }}",
        "Cancers are ranked lower, or there are more or fewer of them: see the drift report.",
    ),
    Rule(
        "MammoAucBelowReference", audit.BOARD, "AUC beside the reference",
        "The AUC of {{ $labels.release }} is below that of its reference",
        "The 95 % intervals do not meet: that is no chance. Recall decisions of this release are "
        "worse than promised.",
    ),
    Rule(
        "MammoRecallRateOutOfRange", drift.BOARD, "Recall rate beside its target",
        "{{ $labels.scanner }}: the recall rate is away from its target",
        "Over seven days under {{ $labels.release }}: more than three standard errors and three "
        "tenths of the target.",
    ),
)  # fmt: skip


def paging_rules(path: Path = PAGING) -> dict[str, dict[str, Any]]:
    """Return Prometheus' alerting rules by name: what Alertmanager pages on."""
    groups = yaml.safe_load(path.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def render_rules() -> str:
    """Return the provisioning file of the rules."""
    twins = paging_rules()
    group = {
        "orgId": 1,
        "name": "mammo-readers",
        "folder": "mammo",
        "interval": "1m",
        "rules": [_rule(one, twins[one.name]) for one in RULES],
    }
    content = {"apiVersion": 1, "groups": [group]}
    return HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=98)


def _rule(one: Rule, twin: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": one.name.lower(),
        "title": one.name,
        "condition": "B",
        "data": [_query(twin["expr"]), _is_there()],
        "dashboardUid": one.board.uid,
        "panelId": one.board.panel_id(one.panel),
        "noDataState": "OK",  # Prometheus' rule gives nothing where all is well
        "execErrState": "Error",
        "for": str(twin.get("for", "0s")),
        "annotations": {"summary": one.summary, "description": one.description},
        "labels": {
            "severity": twin["labels"]["severity"],
            "notified_by": "grafana",
            "runbooks": "$MAMMO_RUNBOOKS_URL",
        },
    }


def _query(text: str) -> dict[str, Any]:
    """Ask what Prometheus' rule asks: a series for each place where it fires."""
    return {
        "refId": "A",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": SOURCE,
        "model": {"refId": "A", "expr": " ".join(text.split()), "instant": True, "range": False},
    }


def _is_there() -> dict[str, Any]:
    """Return 1 for each series that there is, whatever its value."""
    model = {
        "refId": "B",
        "type": "math",
        "expression": "is_number($A)",
        "datasource": {"type": "__expr__", "uid": "__expr__"},
    }
    return {
        "refId": "B",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": "__expr__",
        "model": model,
    }
