"""Schemas of Grafana's provisioning files, as its documentation describes them.

Grafana publishes no schema of these files. What is here was written from its pages *Provision
Grafana* and *Use configuration files to provision alerting resources* (Grafana 11.6 to 13): the
parts that our files use, and nothing else: a key that is misspelt is an error here, and is
passed over in silence by Grafana.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UID = {"type": "string", "pattern": r"^(\$[A-Z_]+|[A-Za-z0-9_-]{1,40})$"}
DURATION = {"type": "string", "pattern": r"^(\d+(ms|s|m|h|d|w|y))+$"}
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}
ORG = {"type": "integer", "minimum": 1}
FLAG = {"type": "boolean"}
CLOCK = {"type": "string", "pattern": r"^([01]\d|2[0-4]):[0-5]\d$"}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def _file(**lists: Any) -> dict[str, Any]:
    content = {name: {"type": "array", "items": one, "minItems": 1} for name, one in lists.items()}
    known = {"apiVersion": {"const": 1}, "prune": FLAG, **content}
    return _object(" ".join(["apiVersion", *lists]), **known)


DATA_SOURCE = _object(
    "name uid type access url",
    name=TEXT, uid=UID, url=TEXT, user=TEXT, isDefault=FLAG, editable=FLAG,
    type={"enum": ["prometheus", "alertmanager", "grafana-postgresql-datasource"]},
    access={"enum": ["proxy"]},
    secureJsonData=_object("", password={"type": "string", "pattern": r"^\$[A-Z_]+$"}),
    jsonData=_object(
        "",
        httpMethod={"enum": ["GET", "POST"]}, timeInterval=DURATION, manageAlerts=FLAG,
        alertmanagerUid=UID, implementation={"enum": ["prometheus", "mimir", "cortex"]},
        handleGrafanaManagedAlerts=FLAG, database=TEXT, sslmode=TEXT,
        postgresVersion={"type": "integer"}, maxOpenConns={"type": "integer"},
    ),
)  # fmt: skip
PROVIDER = _object(
    "name type options",
    name=TEXT, orgId=ORG, folder=TEXT, folderUid=UID, type={"const": "file"},
    disableDeletion=FLAG, allowUiUpdates=FLAG, updateIntervalSeconds={"type": "integer"},
    options=_object("path", path=TEXT, foldersFromFilesStructure=FLAG),
)  # fmt: skip
QUERY = _object(
    "refId datasourceUid model",
    refId={"type": "string", "pattern": "^[A-Z]$"}, datasourceUid=UID, queryType=TEXT,
    relativeTimeRange=_object(
        "from to", **{"from": {"type": "integer"}, "to": {"type": "integer"}}
    ),
    model={"type": "object", "required": ["refId"]},
)  # fmt: skip
RULE = _object(
    "uid title condition data for",
    uid=UID, title=TEXT, condition={"type": "string", "pattern": "^[A-Z]$"},
    data={"type": "array", "items": QUERY, "minItems": 1}, dashboardUid=UID,
    panelId={"type": "integer", "minimum": 1},
    noDataState={"enum": ["NoData", "Alerting", "OK", "KeepLast"]},
    execErrState={"enum": ["Error", "Alerting", "OK", "KeepLast"]},
    annotations={"type": "object", "additionalProperties": TEXT},
    labels={"type": "object", "additionalProperties": TEXT}, isPaused=FLAG,
    **{"for": DURATION},
)  # fmt: skip
GROUP = _object(
    "name folder interval rules",
    orgId=ORG, name=TEXT, folder=TEXT, interval=DURATION,
    rules={"type": "array", "items": RULE, "minItems": 1},
)  # fmt: skip
RECEIVER = _object(
    "uid type settings",
    uid=UID, type={"enum": ["email", "webhook"]}, disableResolveMessage=FLAG,
    settings=_object(
        "", addresses=TEXT, singleEmail=FLAG, subject=TEXT, message=TEXT, url=TEXT,
        httpMethod={"enum": ["POST", "PUT"]},
    ),
)  # fmt: skip
CONTACT = _object(
    "name receivers",
    orgId=ORG, name=TEXT, receivers={"type": "array", "items": RECEIVER, "minItems": 1},
)  # fmt: skip
_MATCHER = {
    "type": "array",
    "prefixItems": [TEXT, {"enum": ["=", "!=", "=~", "!~"]}, TEXT],
    "minItems": 3,
    "maxItems": 3,
}
_ROUTE = {
    "receiver": TEXT, "group_by": TEXTS, "group_wait": DURATION, "group_interval": DURATION,
    "repeat_interval": DURATION, "continue": FLAG, "mute_time_intervals": TEXTS,
    "object_matchers": {"type": "array", "items": _MATCHER, "minItems": 1},
}  # fmt: skip
ROUTE = _object("receiver object_matchers", **_ROUTE)
POLICY = _object(
    "receiver group_by", orgId=ORG, routes={"type": "array", "items": ROUTE},
    **{name: one for name, one in _ROUTE.items() if name != "object_matchers"},
)  # fmt: skip
INTERVAL = _object(
    "",
    times={"type": "array", "items": _object(
        "start_time end_time", start_time=CLOCK, end_time=CLOCK)},
    location=TEXT, weekdays=TEXTS, months=TEXTS, years=TEXTS, days_of_month=TEXTS,
)  # fmt: skip
MUTE = _object(
    "name time_intervals",
    orgId=ORG, name=TEXT, time_intervals={"type": "array", "items": INTERVAL, "minItems": 1},
)  # fmt: skip
TEMPLATE = _object("name template", orgId=ORG, name=TEXT, template=TEXT)

SCHEMAS: Mapping[str, dict[str, Any]] = {
    "datasources/mammo.yaml": _file(datasources=DATA_SOURCE),
    "dashboards/mammo.yaml": _file(providers=PROVIDER),
    "alerting/rules.yaml": _file(groups=GROUP),
    "alerting/contact-points.yaml": _file(contactPoints=CONTACT),
    "alerting/policies.yaml": _file(policies=POLICY),
    "alerting/mute-timings.yaml": _file(muteTimes=MUTE),
    "alerting/templates.yaml": _file(templates=TEMPLATE),
}
"""The schema of each file, by its path under ``dashboards/grafana/provisioning``."""
