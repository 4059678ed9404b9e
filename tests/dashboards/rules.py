"""The rules of `dashboards/`, their tests and metrics, as the tests here read them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "dashboards"
RUNBOOKS = ROOT / "docs" / "runbooks"
TESTS = sorted((DASHBOARDS / "tests").glob("*.yml"))
ASKED_OF_ALERTMANAGER = (
    "alertmanager_notification_requests_failed_total",
    "alertmanager_notifications_failed_total",
)
"""Metrics of its own that rules ask for; a test reads them from a real one."""
UNITS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((DASHBOARDS / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = read_rules("prometheus-rules.yml")
RECORDS = read_rules("recording-rules.yml")


def seconds(text: str) -> int:
    """Return a duration of Prometheus (``1h30m``) in seconds."""
    parts = re.findall(r"(\d+)([smhd])", str(text))
    return sum(int(number) * UNITS_SECONDS[unit] for number, unit in parts)


def program(*names: str) -> str:
    """Return where a program is; skip the test by its name where it is not."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed (Debian: prometheus, prometheus-alertmanager)")
    return found
