"""Prometheus' and Alertmanager's files of `dashboards/`, with a drill's addresses and times.

Rules, templates, routes, grouping and inhibition stay as they are: only where things are
and how long is waited differs, since nobody waits a quarter of an hour for a drill.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from flows.stack_services import ROOT

DASHBOARDS = ROOT / "dashboards"
RUNBOOKS = (ROOT / "docs" / "runbooks").as_uri()
INTERVAL = "1s"
WAITS = {"group_wait": "1s", "group_interval": "2s", "repeat_interval": "1h"}
RESOLVE_AFTER = "5s"
KEEP_FIRING = "2s"
MAIL_KEYS = {"to", "send_resolved", "headers", "text", "html"}
WEBHOOK_KEYS = {"send_resolved", "max_alerts"}


def prometheus_config(
    targets: dict[str, str], alertmanager: str, links: dict[str, str]
) -> dict[str, Any]:
    """Return the configuration with ``targets`` (job to host:port); other jobs are left out.

    ``links`` replace external labels: `reports_url`, `prefect_url`, `site`.
    """
    config = _read("prometheus.yml")
    times = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL}
    config["global"] |= times | {"evaluation_interval": INTERVAL}
    config["global"]["external_labels"] |= {"runbooks_url": RUNBOOKS, **links}
    config["rule_files"] = [str(DASHBOARDS / name) for name in config["rule_files"]]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    config["scrape_configs"] = [
        job | {"static_configs": [{"targets": [targets[job["job_name"]]]}]}
        for job in config["scrape_configs"]
        if job["job_name"] in targets
    ]
    return config


def write_rules(folder: Path) -> list[str]:
    """Write the rules, whose alerts outlast their end by `KEEP_FIRING`; return their paths."""
    written = []
    for name in _read("prometheus.yml")["rule_files"]:
        rules = _read(name)
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            if "keep_firing_for" in rule:
                rule["keep_firing_for"] = KEEP_FIRING
        written.append(str(write(folder / name, rules)))
    return written


def alertmanager_config(smtp_address: str, webhook_url: str) -> dict[str, Any]:
    """Return the configuration that sends to a mailbox and a webhook of this machine.

    Whatever an installation has added to the file, a drill calls nobody else: passwords,
    other mail servers and other ways than mail and webhook are taken out.
    """
    config = _read("alertmanager.yml")
    config["global"] = {
        "smtp_from": config["global"]["smtp_from"],
        "resolve_timeout": RESOLVE_AFTER,
        "smtp_smarthost": smtp_address,
        "smtp_require_tls": False,
    }
    config["templates"] = [str(DASHBOARDS / name) for name in config["templates"]]
    for route in (config["route"], *config["route"]["routes"]):
        route |= WAITS
    config["receivers"] = [_drilled(one, webhook_url) for one in config["receivers"]]
    return config


def _drilled(receiver: dict[str, Any], webhook_url: str) -> dict[str, Any]:
    """Return a receiver with its mails by the drill's server and its webhooks to the drill's."""
    told: dict[str, Any] = {"name": receiver["name"]}
    if mails := receiver.get("email_configs"):
        told["email_configs"] = [{k: one[k] for k in MAIL_KEYS & one.keys()} for one in mails]
    if webhooks := receiver.get("webhook_configs"):
        url = f"{webhook_url}/{receiver['name']}"
        told["webhook_configs"] = [
            {k: one[k] for k in WEBHOOK_KEYS & one.keys()} | {"url": url} for one in webhooks
        ]
    return told


def _read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DASHBOARDS / name).read_text()))


def write(path: Path, config: dict[str, Any]) -> Path:
    """Write a configuration as YAML; return its path."""
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return path
