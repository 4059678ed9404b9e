"""Grafana's provisioning files: their shape, and that they hold together with Prometheus' rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from monitoring.dashboards.provisioned import SCHEMAS
from monitoring.dashboards.rules import paging_rules
from monitoring.dashboards.write import FOLDER
from tests.dashboards.rules import seconds

ROOT = Path(__file__).parents[2]
PLACE = FOLDER / "provisioning"
FILES = {name: yaml.safe_load((PLACE / name).read_text()) for name in SCHEMAS}
RULES = FILES["alerting/rules.yaml"]["groups"][0]["rules"]
PAGING = paging_rules()


def test_every_file_has_a_schema() -> None:
    assert {str(path.relative_to(PLACE)) for path in PLACE.rglob("*.yaml")} == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_file_is_as_grafana_documents_it(name: str) -> None:
    validator = Draft202012Validator(SCHEMAS[name])
    assert [f"{one.json_path}: {one.message}" for one in validator.iter_errors(FILES[name])] == []


def _broken(name: str, *path: Any, value: Any) -> Any:
    content = yaml.safe_load((PLACE / name).read_text())
    at = content
    for one in path[:-1]:
        at = at[one]
    at[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("datasources/mammo.yaml", ("datasources", 0, "uid"), "two words"),
        ("datasources/mammo.yaml", ("datasources", 2, "secureJsonData", "password"), "secret"),
        ("alerting/rules.yaml", ("groups", 0, "rules", 0, "for"), "five minutes"),
        ("alerting/rules.yaml", ("groups", 0, "rules", 0, "uid"), "x" * 41),
        ("alerting/rules.yaml", ("groups", 0, "rules", 0, "noDataState"), "Ok"),
        ("alerting/policies.yaml", ("policies", 0, "group_by"), "alertname"),
        ("alerting/policies.yaml", ("policies", 0, "recipient"), "misspelt"),
        ("alerting/mute-timings.yaml", ("muteTimes", 0, "time_intervals", 0, "times", 0), {}),
        ("alerting/contact-points.yaml", ("contactPoints", 0, "receivers", 0, "type"), "pager"),
    ],
)
def test_a_schema_finds_what_is_wrong(name: str, path: tuple[Any, ...], value: Any) -> None:
    content = _broken(name, *path, value=value)
    assert list(Draft202012Validator(SCHEMAS[name]).iter_errors(content))


@pytest.mark.parametrize("rule", RULES, ids=lambda one: one["title"])
def test_a_rule_is_prometheus_rule_of_the_same_name(rule: Any) -> None:
    twin = PAGING[rule["title"]]
    assert rule["labels"]["severity"] == twin["labels"]["severity"]
    assert rule["data"][0]["model"]["expr"].split() == twin["expr"].split()
    assert rule["for"] == twin.get("for", "0s")
    assert "$value" not in str(rule["annotations"]), "Grafana's is a text of all values"


def test_a_rule_leads_to_the_panel_that_shows_it() -> None:
    for rule in RULES:
        board = json.loads((FOLDER / "dashboards" / f"{rule['dashboardUid']}.json").read_text())
        (panel,) = [one for one in board["panels"] if one["id"] == rule["panelId"]]
        assert panel["type"] != "row"
        asked = " ".join(str(target) for target in panel["targets"])
        assert re.search("mammo_control_state|episodes|mammo_outcome|mammo_auc|recalled", asked)


def test_rules_look_at_the_provisioned_source_by_its_variable() -> None:
    (source,) = [
        one for one in FILES["datasources/mammo.yaml"]["datasources"] if one["type"] == "prometheus"
    ]
    assert {one["data"][0]["datasourceUid"] for one in RULES} == {source["uid"]}
    assert all("datasource" not in one["data"][0]["model"] for one in RULES), (
        "Grafana puts no variable into a model"
    )


def test_names_that_files_use_of_each_other_are_there() -> None:
    contacts = {one["name"] for one in FILES["alerting/contact-points.yaml"]["contactPoints"]}
    mutes = {one["name"] for one in FILES["alerting/mute-timings.yaml"]["muteTimes"]}
    (tree,) = FILES["alerting/policies.yaml"]["policies"]
    routes = [tree, *tree["routes"]]
    assert {one["receiver"] for one in routes} == contacts
    assert {name for one in routes for name in one.get("mute_time_intervals", [])} == mutes
    defined = re.findall(r'define "([^"]+)"', (PLACE / "alerting/templates.yaml").read_text())
    used = re.findall(r'template "([^"]+)"', (PLACE / "alerting/contact-points.yaml").read_text())
    assert set(used) == set(defined)


DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY = 24 * 60


def _muted(times: Any) -> Iterator[int]:
    """Yield the minutes of a week, from Monday's first on, in which a mute holds."""
    for interval in times["time_intervals"]:
        for day in (DAYS.index(one) for one in interval.get("weekdays", DAYS)):
            for span in interval.get("times", [{"start_time": "00:00", "end_time": "24:00"}]):
                start, end = (_minutes(span[name]) for name in ("start_time", "end_time"))
                yield from range(day * DAY + start, day * DAY + end)


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _open_spans(names: list[str]) -> list[int]:
    """Return how many minutes long each span of a week is in which none of these mutes holds."""
    times = FILES["alerting/mute-timings.yaml"]["muteTimes"]
    shut = {minute for one in times if one["name"] in names for minute in _muted(one)}
    marks = "".join("#" if minute in shut else "." for minute in range(7 * DAY))
    turned = marks[marks.index("#") :] + marks[: marks.index("#")]  # no span goes over the end
    return [len(one) for one in turned.split("#") if one]


def _muted_routes() -> list[Any]:
    (tree,) = FILES["alerting/policies.yaml"]["policies"]
    return [one for one in tree["routes"] if one.get("mute_time_intervals")]


def test_working_hours_are_five_days_of_eleven() -> None:
    for route in _muted_routes():
        assert _open_spans(route["mute_time_intervals"]) == [11 * 60] * 5


def test_whatever_the_hour_a_group_is_born_it_is_looked_at_while_nobody_is_muted() -> None:
    """A group is looked at each `group_interval` from its birth on, and says nothing when muted."""
    assert _muted_routes()
    for route in _muted_routes():
        look = seconds(route["group_interval"])
        assert look < 60 * min(_open_spans(route["mute_time_intervals"]))
        due = seconds(route["repeat_interval"])
        assert (due // look + 1) * look == 86400, "again at the same hour of the next day"


def test_grafana_pages_nobody() -> None:
    assert {one["labels"]["notified_by"] for one in RULES} == {"grafana"}
    kinds = {
        receiver["type"]
        for one in FILES["alerting/contact-points.yaml"]["contactPoints"]
        for receiver in one["receivers"]
    }
    assert kinds == {"email", "webhook"}
    (source,) = [
        one
        for one in FILES["datasources/mammo.yaml"]["datasources"]
        if one["type"] == "alertmanager"
    ]
    assert source["jsonData"]["handleGrafanaManagedAlerts"] is False


def test_docs_list_every_environment_variable() -> None:
    used = {
        name
        for path in PLACE.rglob("*.yaml")
        for name in re.findall(r"\$([A-Z][A-Z_]+)", path.read_text())
    }
    told = (ROOT / "docs" / "grafana.md").read_text()
    assert not [name for name in sorted(used) if f"`{name}`" not in told]
