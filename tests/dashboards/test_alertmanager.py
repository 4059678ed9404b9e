"""Routes and inhibitions, asked of amtool and of a real Alertmanager."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from flows.alerts_config import alertmanager_config, write
from flows.alerts_receivers import Receivers
from flows.servers import HOST, free_port
from flows.stack_services import answers
from tests.dashboards.rules import ALERTS, ASKED_OF_ALERTMANAGER, DASHBOARDS, program, seconds

CONFIG = DASHBOARDS / "alertmanager.yml"
LOOKS = 6.0
"""Seconds within which a group of the drill's configuration is looked at twice."""
LABELS = {rule["alert"]: rule["labels"] for rule in ALERTS}
GE = {
    "site": "s", "scanner": "GE", "cause": "acquisition", "episode": "e-1", "stratum": "s · GE",
    "instance": "a",
}  # fmt: skip
HUSHED = [
    # what is firing; what is hushed by it; what is not, one after the other; labels beside GE's
    (["MammoServiceDown"],
     ["MammoQueueFull", "MammoServiceNotReady", "MammoGatewayBacklog", "MammoDecodeFailures",
      "MammoDriftConfirmed", "MammoGatewayDown", "MammoPredictionsSetAside"],
     ["MammoPersonAsked", "MammoDiskFull", "MammoGatewayDown instance=b",
      "MammoPredictionsSetAside instance=b", "MammoPointerUnreadable"]),
    (["MammoServiceNotReady"], ["MammoReleaseRefused"],
     # of several workers the others score; a pointer that is damaged is the cause, and told
     ["MammoDriftConfirmed", "MammoRecallRateOutOfRange", "MammoGatewayBacklog",
      "MammoOutboxStuck", "MammoDecodeFailures", "MammoQuarantineGrows",
      "MammoGatewayDown", "MammoPointerUnreadable"]),
    (["MammoErrorBudgetBurnsFast"], ["MammoErrorBudgetBurnsSlowly"],
     ["MammoLatencyBudgetBurnsSlowly", "MammoDecodeFailures"]),
    (["MammoPersonAsked"], ["MammoDriftConfirmed"], ["MammoRecallRateOutOfRange"]),
    # of another episode of the same scanner and cause somebody has to hear, too
    (["MammoEpisodeFailed", "MammoPersonAsked episode=e-2"],
     ["MammoPersonAsked", "MammoDriftConfirmed", "MammoDriftConfirmed episode=e-2"],
     ["MammoDriftConfirmed episode=e-3"]),
    (["MammoLogUnreadable"],
     ["MammoMonitorBehind", "MammoDriftConfirmed", "MammoGateRefusesInARow",
      "MammoPredictionsWaitForLog", "MammoNoOutcomes"],
     ["MammoPredictionsSetAside", "MammoServiceDown", "MammoDiskFilling", "MammoLoopDown"]),
    (["MammoLoopDown"],
     ["MammoMonitorBehind", "MammoDriftConfirmed", "MammoEpisodeFailed", "MammoPersonAsked",
      "MammoNoExams", "MammoLogUnreadable", "MammoPointerUnreadable", "MammoDiskFull",
      "MammoFlowFails"],
     ["MammoDecodeFailures", "MammoGatewayDown", "MammoServiceDown"]),
    (["MammoPrefectDown"], ["MammoMonitorBehind", "MammoFlowFails", "MammoEpisodeNotTakenUp"],
     ["MammoEpisodeFailed", "MammoServiceDown"]),
    (["MammoDiskFull"], ["MammoPredictionsWaitForLog", "MammoGatewayBacklog", "MammoDiskFilling"],
     ["MammoPredictionsSetAside", "MammoAuditUnreadable", "MammoGatewayDown", "MammoPrefectDown",
      "MammoLogUnreadable", "MammoServiceDown"]),
    (["MammoNotificationsFail"], ["MammoWatchdog"], ["MammoServiceDown", "MammoDiskFilling"]),
    (["MammoServiceDown", "MammoDiskFull"], [], ["MammoWatchdog"]),
    (["MammoDriftConfirmed"], [], ["MammoRecallRateOutOfRange", "MammoServiceDown"]),
]  # fmt: skip


def test_the_watchdogs_word_comes_every_five_minutes() -> None:
    """What is due is looked for at the group's interval: a word goes at the first look after."""
    routes = yaml.safe_load(CONFIG.read_text())["route"]["routes"]
    word = next(one for one in routes if one["receiver"] == "watchdog")
    look, due = seconds(word["group_interval"]), seconds(word["repeat_interval"])
    assert (due // look + 1) * look == 300


def test_amtool_takes_the_configuration() -> None:
    command = [program("amtool"), "check-config", str(CONFIG)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("alert", "receivers"),
    [
        ("MammoServiceDown", "on-call"),
        ("MammoDiskFull", "on-call"),
        ("MammoEpisodeFailed", "on-call,readers"),
        ("MammoAucBelowReference", "on-call,readers"),
        ("MammoDriftConfirmed", "readers"),
        ("MammoRecallRateOutOfRange", "readers"),
        ("MammoGateRefusesInARow", "readers"),
        ("MammoDiskFilling", "team"),
        ("MammoDecodeFailures", "team"),
        ("MammoGatewayIncidents", "digest"),
        ("MammoNotificationsFail", "on-call"),
        ("MammoWatchdog", "watchdog"),
    ],
)
def test_who_is_told(alert: str, receivers: str) -> None:
    given = [f"{name}={value}" for name, value in LABELS[alert].items()]
    command = [program("amtool"), "config", "routes", "test", f"--config.file={CONFIG}", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == receivers


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """Run an Alertmanager whose messages go nowhere; yield its address."""
    with running_alertmanager(tmp_path, f"{HOST}:9", f"http://{HOST}:9") as url:
        yield url


@contextmanager
def running_alertmanager(tmp_path: Path, smtp_address: str, webhook_url: str) -> Iterator[str]:
    path, port = program("prometheus-alertmanager", "alertmanager"), free_port()
    config = alertmanager_config(smtp_address, webhook_url)
    url = f"http://{HOST}:{port}"
    command = [
        path,
        f"--config.file={write(tmp_path / 'config.yml', config)}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address={HOST}:{port}",
        "--cluster.listen-address=",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not answers(f"{url}/-/ready"):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def labels_of(fired_as: str) -> dict[str, str]:
    """Return the labels of an alert, by its name and what it has instead of `GE`'s."""
    name, *others = fired_as.split()
    own = dict(one.split("=") for one in others)
    return {"alertname": name, "fired_as": fired_as, **GE, **LABELS[name], **own}


def fire(url: str, names: list[str], minutes: float | None = None) -> None:
    """Tell of alerts as Prometheus does, which end in so many minutes unless told again."""
    now = datetime.now(UTC)
    ends = {} if minutes is None else {"endsAt": (now + timedelta(minutes=minutes)).isoformat()}
    starts = {"startsAt": (now - timedelta(minutes=1)).isoformat()}
    told = [{"labels": labels_of(one), **starts, **ends} for one in names]
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps(told).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()


def hushed(url: str) -> dict[str, bool]:
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=10) as response:
        alerts = json.load(response)
    return {one["labels"]["fired_as"]: bool(one["status"]["inhibitedBy"]) for one in alerts}


@pytest.mark.slow
@pytest.mark.parametrize(("firing", "quiet", "told"), HUSHED, ids=lambda names: "+".join(names[:1]))
def test_what_follows_from_it_is_not_told(
    alertmanager: str, firing: list[str], quiet: list[str], told: list[str]
) -> None:
    fire(alertmanager, firing + quiet)
    wanted = dict.fromkeys(firing, False) | dict.fromkeys(quiet, True)
    deadline = time.monotonic() + 20
    while hushed(alertmanager) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)  # an alert is marked when its group is looked at
    assert hushed(alertmanager) == wanted
    for other in told:
        fire(alertmanager, [other])
        assert _is_told(alertmanager, other), other


@pytest.mark.slow
def test_the_end_of_what_cannot_be_seen_is_not_told_nor_its_return(tmp_path: Path) -> None:
    """Rules keep a drift until the log is known to be away; it ends then, and returns with it."""
    drift, away, other = "MammoDriftConfirmed", "MammoLogUnreadable", "MammoGatewayDown"
    with (
        Receivers(tmp_path / "messages") as told,
        running_alertmanager(tmp_path, told.smtp_address, told.webhook_url) as url,
    ):
        fire(url, [drift, other], minutes=5)
        assert told.wait_for_call("firing", drift, 20) and told.wait_for_call("firing", other, 20)
        fire(url, [away], minutes=5)
        assert told.wait_for_call("firing", away, 20)
        fire(url, [drift, other], minutes=0)
        assert told.wait_for_call("resolved", other, 20)
        assert told.wait_for_call("resolved", drift, LOOKS) is None
        fire(url, [away], minutes=0)
        fire(url, [drift], minutes=5)
        assert told.wait_for_call("resolved", away, 20)
        time.sleep(LOOKS)
        about = [one["status"] for one in told.calls if one["commonLabels"]["alertname"] == drift]
        assert about == ["firing"]


def test_it_tells_what_rules_ask_of_it(alertmanager: str) -> None:
    with urllib.request.urlopen(f"{alertmanager}/metrics", timeout=10) as response:
        page = response.read().decode()
    for name in ASKED_OF_ALERTMANAGER:
        assert f'{name}{{integration="email"' in page and f'{name}{{integration="webhook"' in page


def _is_told(url: str, name: str) -> bool:
    time.sleep(1.5)  # longer than group_wait: by then it would be marked
    return not hushed(url)[name]
