"""Rules that alert: only metrics, labels and codes that the monitor has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from monitoring import loop_metrics
from monitoring.triage import Action

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "dashboards/prometheus-rules.yml").read_text())["groups"][0]["rules"]
SOURCE = Path(loop_metrics.__file__).read_text()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_metrics_that_there_are(rule):
    for name in re.findall(r"mammo_\w+", rule["expr"]):
        family = re.sub(r"^(mammo_(?:drift|control))_\w+$", r"\1_", name)
        assert name in SOURCE or family in SOURCE, name


def test_every_action_is_alerted_once_or_needs_nobody():
    waiting = [rule["expr"] for rule in RULES if "mammo_episodes" in rule["expr"]]
    named = [one for expr in waiting for one in re.findall(r'action=~"([^"]+)"', expr)]
    actions = [one for pattern in named for one in pattern.split("|")]
    assert sorted([*actions, "note"]) == sorted(get_args(Action))
