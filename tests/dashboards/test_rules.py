"""Alerting rules: of metrics that there are, each tested, each with a page and a whole message."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from monitoring.triage import Action
from tests.dashboards.rules import (
    ALERTS,
    ASKED_OF_ALERTMANAGER,
    DASHBOARDS,
    RECORDS,
    ROOT,
    RUNBOOKS,
    TESTS,
    program,
    seconds,
)

METRICS = dict(
    re.findall(r"^\| `(mammo_\w+)` \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.M)
)
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
KNOWN = {
    *METRICS,
    *(name + one for name, kind in METRICS.items() for one in SUFFIXES.get(kind, ())),
}
RECORDED = {rule["record"] for rule in RECORDS}
ALWAYS = "MammoWatchdog"
"""Fires whatever is the matter: it asks for nothing and is never over."""
GONE = ("MammoServiceDown", "MammoLoopDown", "MammoLogUnreadable")
"""What says that a page or the log cannot be read, and hushes what was read from it."""
ENDS_AT_ONCE = {
    ALWAYS,
    # rates over windows outlast a page by minutes, and `MammoServiceDown` waits for two
    "MammoErrorBudgetBurnsFast", "MammoErrorBudgetBurnsSlowly",
    "MammoLatencyBudgetBurnsFast", "MammoLatencyBudgetBurnsSlowly", "MammoQueueFull",
    "MammoNotificationsFail",  # an Alertmanager that is gone tells no end either
}  # fmt: skip
PAGE_GONE = ("MammoServiceDown", "MammoLoopDown")
"""Prometheus itself says so: no outage hides it, and it ends soon after the page is back."""
EXTERNAL = yaml.safe_load((DASHBOARDS / "prometheus.yml").read_text())["global"]["external_labels"]
PLANNED = [
    (path, yaml.safe_load(path.read_text())["evaluation_interval"], test)
    for path in TESTS
    for test in yaml.safe_load(path.read_text())["tests"]
]


def names(text: str) -> set[str]:
    """Return the metrics and recorded series that an expression or a template asks for."""
    return set(re.findall(r"(?<![\w:])(?:\w+:)?mammo[_:][\w:]+", text))


def by_name(rules: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(one, id=one.get("alert") or one["record"]) for one in rules]


@pytest.mark.parametrize("rule", by_name([*ALERTS, *RECORDS]))
def test_a_rule_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    asked = names(" ".join([rule["expr"], *rule.get("annotations", {}).values()]))
    assert asked - KNOWN - RECORDED == set()
    foreign = re.findall(r"\balertmanager_\w+", rule["expr"])
    assert set(foreign) <= set(ASKED_OF_ALERTMANAGER)
    assert asked or foreign or "up{" in rule["expr"] or rule.get("alert") == ALWAYS


def test_what_is_recorded_is_asked_for_somewhere() -> None:
    everything = "".join(
        path.read_text()
        for path in (*DASHBOARDS.rglob("*.yml"), *DASHBOARDS.rglob("*.json"))
        if "tests" not in path.parts
    )
    assert [name for name in RECORDED if everything.count(name) < 2] == []


@pytest.mark.parametrize("rule", by_name(ALERTS))
def test_an_alert_tells_all_and_has_a_page(rule: dict[str, Any]) -> None:
    name, told = rule["alert"], rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info", "none")
    assert (rule["labels"]["severity"] == "none") == (name == ALWAYS)
    assert rule["labels"]["component"]
    assert {"summary", "description", "evidence", "doing", "runbook_url"} <= set(told)
    assert told["runbook_url"] == f"{{{{ $externalLabels.runbooks_url }}}}/{name}.md"
    assert (RUNBOOKS / f"{name}.md").is_file()
    asked = re.findall(r"\$externalLabels\.(\w+)", " ".join(told.values()))
    assert set(asked) <= set(EXTERNAL)


@pytest.mark.parametrize("rule", by_name(ALERTS))
def test_an_alert_outlasts_the_page_that_it_is_read_from(rule: dict[str, Any]) -> None:
    """A number that cannot be read any more is no end of what it told: OVER would be false."""
    longest = max(seconds(one["for"]) for one in ALERTS if one["alert"] in GONE)
    kept = seconds(rule.get("keep_firing_for", "0s"))
    if rule["alert"] not in PAGE_GONE:
        assert kept == (0 if rule["alert"] in ENDS_AT_ONCE else 3 * longest)


@pytest.mark.parametrize("rule", by_name([one for one in ALERTS if one["alert"] in PAGE_GONE]))
def test_what_hushes_an_end_lasts_until_alertmanager_has_looked(rule: dict[str, Any]) -> None:
    """An end waits in its group for up to a group_interval: it is told unless hushed then, too."""
    route = yaml.safe_load((DASHBOARDS / "alertmanager.yml").read_text())["route"]
    assert seconds(rule["keep_firing_for"]) > seconds(route["group_interval"])


@pytest.mark.parametrize("rule", by_name(ALERTS))
def test_an_alert_is_tested_to_fire_to_resolve_and_to_be_quiet(rule: dict[str, Any]) -> None:
    name, fires, resolves, quiet = rule["alert"], False, False, False
    for _, _, test in PLANNED:
        if not test["name"].startswith(f"{name} "):
            continue
        steps = [
            (seconds(one["eval_time"]), one["exp_samples"]) for one in test["promql_expr_test"]
        ]
        assert steps == sorted(steps, key=lambda one: one[0])
        wanted = [bool(samples) for _, samples in steps]
        fires |= any(wanted)
        resolves |= any(wanted) and not wanted[-1]
        quiet |= "does not fire" in test["name"] and not any(wanted)
        always = all(wanted)
    assert (fires, resolves, quiet) == (True, True, True) or (name == ALWAYS and always)


def test_tests_look_only_when_rules_were_evaluated() -> None:
    """ALERTS is stale between two evaluations, and a look then finds nothing whatever fires."""
    for _, every, test in PLANNED:
        for one in test["promql_expr_test"]:
            assert seconds(one["eval_time"]) % seconds(every) == 0, test["name"]
            assert 'alertname="' + test["name"].split()[0] + '"' in one["expr"]


def test_every_action_is_alerted_once_or_needs_nobody() -> None:
    waiting = [one["expr"] for one in ALERTS if 'mammo_episode_info{status="open"}' in one["expr"]]
    found = [one for expr in waiting for one in re.findall(r'action=~"([^"]+)"', expr)]
    actions = [one for pattern in found for one in pattern.split("|")]
    assert sorted([*actions, "note"]) == sorted(get_args(Action))


def run_promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_promtool_takes_rules_and_configuration() -> None:
    done = run_promtool("check", "config", DASHBOARDS / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_finds_each_alert_to_fire_and_to_be_quiet(path: Path) -> None:
    done = run_promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_messages_are_whole(path: Path, tmp_path: Path) -> None:
    """Let promtool say what each alert tells when it fires: no template fails, nothing is empty."""
    told = yaml.safe_load(path.read_text())
    told["rule_files"] = [str((path.parent / one).resolve()) for one in told["rule_files"]]
    firing = []
    for test in told["tests"]:
        steps = [one for one in test.pop("promql_expr_test") if one["exp_samples"]]
        if steps:
            name = test["name"].split()[0]
            times = [{"eval_time": one["eval_time"], "alertname": name} for one in steps]
            firing.append(test | {"alert_rule_test": times, "external_labels": EXTERNAL})
    asked = tmp_path / "messages.yml"
    asked.write_text(yaml.safe_dump(told | {"tests": firing}, allow_unicode=True))
    done = run_promtool("test", "rules", asked)
    text = done.stdout + done.stderr
    assert "error expanding" not in text and "<no value>" not in text and "%!" not in text
    for test in firing:
        name = test["name"].split()[0]
        assert f'runbook_url="{EXTERNAL["runbooks_url"]}/{name}.md"' in text, name
