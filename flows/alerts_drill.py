"""`mammo alerts drill`: does a drift reach the people who should hear of it?

Real: the log, the monitor, its episode and report, the page of metrics, Prometheus with
the rules of `dashboards/`, Alertmanager with its routes and template, an SMTP server that
takes the mail and a webhook that is called. Made for the drill: the exams are drawn numbers
(`monitoring.rehearsal`), nothing waits as long as it would, and the screening service is
not there. `mammo drill` plants drift in images instead.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.alerts_config import alertmanager_config, prometheus_config, write, write_rules
from flows.alerts_receivers import Receivers, body_of
from flows.servers import HOST, free_port, running
from flows.stack_services import answers
from mammo.errors import SettingsInvalid
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

MARKER = ".mammo-alerts-drill"
MONITOR_POLICY = "drift:\n  evidently:\n    on: never\n"
"""Evidently's report takes seconds, and no alert is made of it."""
ALERT, WATCHDOG = "MammoDriftConfirmed", "MammoWatchdog"
QUIET_EXAMS, BATCH, MOST_EXAMS = 90, 10, 120
SETTLE_SECONDS, PATIENCE_SECONDS = 5.0, 60.0
PROGRAMS = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
}
PACKAGES = "apt-get install prometheus prometheus-alertmanager"
Say = Callable[[str], None]


@dataclass
class DrillReport:
    """What came of it: each claim with whether it held, the messages, seconds since the drift."""

    claims: dict[str, bool] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    messages: dict[str, Any] = field(default_factory=dict)
    folder: str = ""

    @property
    def is_right(self) -> bool:
        """True when every claim held."""
        return bool(self.claims) and all(self.claims.values())

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {"right": self.is_right, **vars(self)}


def find_programs() -> dict[str, str]:
    """Return where Prometheus and Alertmanager are. Raises SettingsInvalid where they are not."""
    found = {
        name: next(filter(None, map(shutil.which, named)), None) for name, named in PROGRAMS.items()
    }
    if missing := [name for name, path in found.items() if path is None]:
        raise SettingsInvalid(
            f"{' and '.join(missing)} cannot be found on PATH; Debian and Ubuntu have them: "
            f"{PACKAGES}."
        )
    return {name: str(path) for name, path in found.items()}


def run_alerts_drill(directory: Path, say: Say) -> DrillReport:
    """Rehearse in ``directory``; return what held.

    Raises SettingsInvalid without the programs or for a directory of somebody else's,
    StackUnhealthy where one of the programs does not start.
    """
    programs = find_programs()
    settings = _own_settings(directory)
    report = DrillReport(folder=str(directory / "messages"))
    with ExitStack() as stack:
        receivers = stack.enter_context(Receivers(directory / "messages"))
        alertmanager = stack.enter_context(_running(directory, settings, programs, receivers, say))
        _rehearse(settings, receivers, alertmanager, report, say)
    return report


def _own_settings(directory: Path) -> Settings:
    """Begin in a home of its own; what an earlier drill left there is deleted."""
    home = directory.resolve() / "home"
    if home.exists() and not (directory / MARKER).is_file():
        raise SettingsInvalid(
            f"{directory} holds a home without the mark of this drill ({MARKER}), and the drill "
            "would delete it. Name another directory with --to."
        )
    for name in ("home", "messages", "prometheus", "alertmanager"):
        shutil.rmtree(directory / name, ignore_errors=True)
    home.mkdir(parents=True)
    (directory / MARKER).write_text("`mammo alerts drill` deletes the folders beside this file.\n")
    (home / "monitor.yaml").write_text(MONITOR_POLICY)
    return Settings(
        home=home,
        database_url=None,
        site="rehearsal",
        host=HOST,
        reports_port=free_port(),
        prefect_port=free_port(),
    )


@contextmanager
def _running(
    directory: Path,
    settings: Settings,
    programs: Mapping[str, str],
    receivers: Receivers,
    say: Say,
) -> Iterator[str]:
    """Run metrics, Alertmanager and Prometheus; yield the address of Alertmanager."""
    ports = {name: free_port() for name in programs}
    urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    folders = {name: directory.resolve() / name for name in programs}
    for folder in folders.values():
        folder.mkdir()
    links = {"reports_url": settings.reports_url, "prefect_url": settings.prefect_ui_url}
    files = {
        "alertmanager": alertmanager_config(receivers.smtp_address, receivers.webhook_url),
        "prometheus": prometheus_config(
            {"mammo-loop": f"{HOST}:{settings.reports_port}"},
            f"{HOST}:{ports['alertmanager']}",
            links | {"site": settings.site},
        )
        | {"rule_files": write_rules(folders["prometheus"])},
    }
    commands = {
        "metrics": [sys.executable, "-m", "monitoring.metrics"],
        "alertmanager": [
            *_program(programs["alertmanager"], folders["alertmanager"], urls["alertmanager"]),
            "--cluster.listen-address=",
        ],
        "prometheus": _program(programs["prometheus"], folders["prometheus"], urls["prometheus"]),
    }
    ready = {name: f"{url}/-/ready" for name, url in urls.items()}
    ready["metrics"] = f"{settings.reports_url}/healthz"
    with ExitStack() as stack:
        for name, command in commands.items():
            if name in files:
                write(folders[name] / "config.yml", files[name])
            say(f"starting {name}")
            log = directory / f"{name}.log"
            stack.enter_context(running(command, ready[name], log, _environment(settings)))
        yield urls["alertmanager"]


def _program(path: str, folder: Path, url: str) -> list[str]:
    kept = "--storage.tsdb.path" if Path(path).name == "prometheus" else "--storage.path"
    return [
        path,
        f"--config.file={folder / 'config.yml'}",
        f"{kept}={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        f"--web.external-url={url}",
    ]


def _environment(settings: Settings) -> dict[str, str]:
    return settings.child_environment() | {
        "MAMMO_DATABASE_URL": "",  # an empty one overrules that of the installation around
        "MAMMO_REPORTS_PORT": str(settings.reports_port),
        "MAMMO_PREFECT_PORT": str(settings.prefect_port),
        "MAMMO_SITE": settings.site,
    }


def _rehearse(
    settings: Settings, receivers: Receivers, alertmanager: str, report: DrillReport, say: Say
) -> None:
    """A quiet programme first, then drift on one scanner, then a person who closes the episode."""
    from monitoring.closing import close_episode
    from monitoring.policy import read_policy
    from monitoring.rehearsal import SCANNERS, Rehearsal
    from monitoring.run import run_monitor

    config, programme = read_policy(settings), Rehearsal(settings)
    programme.put_into_service()
    say(f"a quiet programme: {QUIET_EXAMS} exams, the monitor reads them (up to a minute)")
    programme.score(QUIET_EXAMS)
    run_monitor(settings, config=config)
    time.sleep(SETTLE_SECONDS)
    report.claims["quiet before the drift"] = not receivers.mails and not _alerts(alertmanager)
    word = receivers.wait_for_call("firing", WATCHDOG, PATIENCE_SECONDS)
    report.claims["the watchdog's word comes"] = word is not None

    began = time.monotonic()
    say(f"drift: the images of {SCANNERS[1]} move by one to one and a half SD")
    opened: list[dict[str, Any]] = []
    for exams in range(BATCH, MOST_EXAMS + 1, BATCH):
        programme.score(BATCH, SCANNERS[1:2], shift=1.0)
        if opened := run_monitor(settings, config=config).episodes_opened:
            say(f"the monitor opens an episode after {exams} exams: {opened[0]['reason']}")
            break
    report.claims["the monitor opens one episode"] = len(opened) == 1
    if not opened:
        return
    report.seconds["episode"] = round(time.monotonic() - began, 1)
    say("waiting for the mail and the webhook")
    _expect_told(receivers, opened[0], report, began)

    say("a person closes the episode (`mammo close`); waiting for the word that it is over")
    close_episode(PredictionLog(settings.log_url), opened[0]["key"], "alerts drill")
    closed = time.monotonic()
    over = receivers.wait_for_mail("[OVER]", PATIENCE_SECONDS)
    report.claims["a mail says that it is over"] = over is not None
    resolved = receivers.wait_for_call("resolved", ALERT, PATIENCE_SECONDS)
    report.claims["the webhook is told that it is over"] = resolved is not None
    report.seconds["over"] = round(time.monotonic() - closed, 1)
    report.messages["mail when over"] = _told(over)


def _expect_told(
    receivers: Receivers, episode: Mapping[str, Any], report: DrillReport, began: float
) -> None:
    """Check that both came, and that they say where, why, and where to look."""
    mail = receivers.wait_for_mail("Drift is confirmed", PATIENCE_SECONDS)
    call = receivers.wait_for_call("firing", ALERT, PATIENCE_SECONDS)
    report.seconds["told"] = round(time.monotonic() - began, 1)
    report.claims["a mail came"] = mail is not None
    report.claims["the webhook was called"] = call is not None
    report.messages["mail"], report.messages["webhook"] = _told(mail), call
    if mail is None or call is None:
        return
    text = body_of(mail, "plain")
    links = call["alerts"][0]["annotations"]
    report.claims |= {
        "the mail names scanner, cause and evidence": all(
            word in text for word in (episode["scanner"], episode["cause"], "CUSUM", "Already done")
        ),
        "its report can be opened": answers(links["report_url"], timeout=10.0),
        "its runbook is there": Path(urlsplit(links["runbook_url"]).path).is_file(),
        "no template failed": "error expanding" not in text and "<no value>" not in text,
        "no exam and no patient is named": not [one for one in ("E-11-", "P-11-") if one in text],
    }


def _told(mail: Any) -> dict[str, str] | None:
    if mail is None:
        return None
    shown = {name: str(mail[name]) for name in ("from", "to", "subject")}
    return shown | {"text": body_of(mail, "plain")}


def _alerts(alertmanager: str) -> list[dict[str, Any]]:
    """Return what is firing, without the watchdog that always is."""
    with urllib.request.urlopen(f"{alertmanager}/api/v2/alerts", timeout=10.0) as response:
        return [one for one in json.load(response) if one["labels"]["alertname"] != WATCHDOG]
