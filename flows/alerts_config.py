"""Prometheus' and Alertmanager's files of `dashboards/`, with a drill's addresses and times.

Rules, templates, routes, grouping and inhibition stay as they are: only where things are
and how long is waited differs, since nobody waits half a minute for a drill.
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


def alertmanager_config(smtp_address: str, webhook_url: str) -> dict[str, Any]:
    """Return the configuration that sends to a mailbox and a webhook of this machine."""
    config = _read("alertmanager.yml")
    config["global"] |= {
        "resolve_timeout": RESOLVE_AFTER,
        "smtp_smarthost": smtp_address,
        "smtp_require_tls": False,
    }
    config["templates"] = [str(DASHBOARDS / name) for name in config["templates"]]
    for route in (config["route"], *config["route"]["routes"]):
        route |= WAITS
    for receiver in config["receivers"]:
        for webhook in receiver.get("webhook_configs", ()):
            webhook["url"] = f"{webhook_url}/{receiver['name']}"
    return config


def _read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DASHBOARDS / name).read_text()))


def write(path: Path, config: dict[str, Any]) -> Path:
    """Write a configuration as YAML; return its path."""
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return path
