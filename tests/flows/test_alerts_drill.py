"""The drill of alerts: what it changes of the real files, what it asks for, and the whole way."""

from __future__ import annotations

import json
import smtplib
import urllib.request
from email.message import EmailMessage
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from flows import alerts_config, alerts_drill
from flows.alerts_config import (
    DASHBOARDS,
    KEEP_FIRING,
    alertmanager_config,
    prometheus_config,
    write_rules,
)
from flows.alerts_drill import find_programs, run_alerts_drill
from flows.alerts_receivers import Receivers, body_of
from flows.cli import app
from mammo.errors import SettingsInvalid

pytest.importorskip("aiosmtpd")


def test_rules_routes_and_inhibitions_are_those_of_the_installation() -> None:
    links = {"site": "here", "reports_url": "http://r"}
    made = prometheus_config({"mammo-loop": "h:1"}, "h:2", links)
    kept = yaml.safe_load((DASHBOARDS / "prometheus.yml").read_text())
    assert [Path(one).name for one in made["rule_files"]] == kept["rule_files"]
    assert made["global"]["external_labels"]["reports_url"] == "http://r"
    assert [job["job_name"] for job in made["scrape_configs"]] == ["mammo-loop"]
    made = alertmanager_config("h:3", "http://h:4")
    kept = yaml.safe_load((DASHBOARDS / "alertmanager.yml").read_text())
    assert made["inhibit_rules"] == kept["inhibit_rules"]
    for now, then in zip(made["route"]["routes"], kept["route"]["routes"], strict=True):
        assert (now["matchers"], now["receiver"]) == (then["matchers"], then["receiver"])
    urls = [one["url"] for each in made["receivers"] for one in each.get("webhook_configs", ())]
    assert urls == [f"http://h:4/{name}" for name in ("on-call", "readers", "watchdog")]


def test_rules_differ_in_how_long_an_alert_outlasts_its_end(tmp_path: Path) -> None:
    kept = yaml.safe_load((DASHBOARDS / "prometheus-rules.yml").read_text())
    made = {Path(one).name: yaml.safe_load(Path(one).read_text()) for one in write_rules(tmp_path)}
    assert set(made) == {"recording-rules.yml", "prometheus-rules.yml"}
    shortened = 0
    for now, then in zip(made["prometheus-rules.yml"]["groups"], kept["groups"], strict=True):
        for rule, own in zip(now["rules"], then["rules"], strict=True):
            shortened += rule.pop("keep_firing_for", None) == KEEP_FIRING
            own.pop("keep_firing_for", None)
            assert rule == own
    assert shortened


def test_a_drill_calls_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation's file has servers, passwords and pagers of its own."""
    own = yaml.safe_load((DASHBOARDS / "alertmanager.yml").read_text())
    own["global"] |= {
        "smtp_smarthost": "real:587",
        "smtp_auth_username": "u",
        "smtp_auth_password_file": "/run/secrets/p",
        "pagerduty_url": "https://real.example",
    }
    own["receivers"][0]["pagerduty_configs"] = [{"routing_key_file": "/run/secrets/k"}]
    own["receivers"][0]["email_configs"][0]["smarthost"] = "real:25"
    own["receivers"][0]["webhook_configs"][0]["http_config"] = {
        "authorization": {"credentials_file": "/run/secrets/t"}
    }
    monkeypatch.setattr(alerts_config, "_read", lambda _: own)
    made = yaml.safe_dump(alertmanager_config("h:3", "http://h:4"))
    assert [word for word in ("real", "/run/secrets", "pagerduty_configs") if word in made] == []


def test_mail_and_webhook_are_kept_as_they_came(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Drift · GE", "a@example.org", "b@example.org"
    mail.set_content("plain · text")
    mail.add_alternative("<b>html</b>", subtype="html")
    with Receivers(tmp_path) as receivers:
        host, _, port = receivers.smtp_address.partition(":")
        with smtplib.SMTP(host, int(port)) as sender:
            sender.send_message(mail)
        body = {"status": "firing", "alerts": [{"labels": {"alertname": "A"}}]}
        request = urllib.request.Request(receivers.webhook_url, json.dumps(body).encode())
        urllib.request.urlopen(request, timeout=10).close()
        got, call = receivers.wait_for_mail("GE", 10), receivers.wait_for_call("firing", "A", 10)
        assert receivers.wait_for_mail("Hologic", 0.1) is None
    assert got is not None and body_of(got, "plain").strip() == "plain · text"
    assert call == body == json.loads((tmp_path / "webhook-1.json").read_text())
    assert "<b>html</b>" in (tmp_path / "mail-1.html").read_text()


def test_without_prometheus_it_says_what_to_install(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(alerts_drill.shutil, "which", lambda _: None)
    done = CliRunner().invoke(app, ["alerts", "drill", "--to", str(tmp_path)])
    assert done.exit_code == 2
    assert "apt-get install prometheus prometheus-alertmanager" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_home_of_somebody_else_is_left_alone(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(alerts_drill, "find_programs", lambda: {"prometheus": "p"})
    kept = tmp_path / "home" / "log.db"
    kept.parent.mkdir()
    kept.write_text("theirs")
    with pytest.raises(SettingsInvalid, match="without the mark of this drill"):
        run_alerts_drill(tmp_path, print)
    assert kept.read_text() == "theirs"


@pytest.mark.stack
def test_a_drift_reaches_mailbox_and_webhook_and_is_over_when_closed(tmp_path: Path) -> None:
    try:
        find_programs()
    except SettingsInvalid as missing:
        pytest.skip(missing.message)
    report = run_alerts_drill(tmp_path / "drill", print)
    assert {claim for claim, held in report.claims.items() if not held} == set()
    assert report.is_right
    mail = report.messages["mail"]
    assert mail["to"] == "readers@example.org" and mail["subject"].startswith("[WARNING] Drift")
