"""Who is told under Compose: Alertmanager's file with an installation's own addresses."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.dashboards.rules import DASHBOARDS, program
from tests.deploy.images import DOCKER

MAILS = {
    "MAMMO_SMTP_HOST": "mail.hospital.example:587",
    "MAMMO_SMTP_FROM": "mammo@hospital.example",
    "MAMMO_ONCALL_MAIL": "on-call+night@hospital.example",
    "MAMMO_TEAM_MAIL": "team@hospital.example",
    "MAMMO_READERS_MAIL": "readers@hospital.example",
}
CALLS = {
    "MAMMO_ONCALL_WEBHOOK": "https://pager.example/v1/notify?key=a&team=b",
    "MAMMO_READERS_WEBHOOK": "https://chat.example/hooks/7",
    "MAMMO_WATCHDOG_URL": "https://watch.example/ping/3f2c",
}
SHOW = ("sh", "-c", 'cat "${1#--config.file=}"', "show")
"""Stands for Alertmanager: prints the file that it was given."""
NOBODY = 65534


def started(tmp_path: Path, **given: str) -> subprocess.CompletedProcess[str]:
    return started_with(DASHBOARDS / "alertmanager.yml", tmp_path, given)


def started_with(
    config: Path, tmp_path: Path, given: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(DOCKER / "alertmanager.sh"), str(config), *SHOW]
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), **given}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def receivers(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in config["receivers"]}


def test_every_address_is_the_installations(tmp_path: Path) -> None:
    done = started(tmp_path, **MAILS, **CALLS)
    assert (done.returncode, done.stderr) == (0, "")
    config = yaml.safe_load(done.stdout)  # without the comments
    assert "example.org" not in str(config) and "localhost" not in str(config)
    assert config["global"]["smtp_smarthost"] == MAILS["MAMMO_SMTP_HOST"]
    assert config["global"]["smtp_from"] == MAILS["MAMMO_SMTP_FROM"]
    assert config["global"]["smtp_require_tls"] is True
    assert "smtp_auth_username" not in config["global"]
    told = receivers(config)
    for name, who in (("on-call", "ONCALL"), ("team", "TEAM"), ("readers", "READERS")):
        assert [one["to"] for one in told[name]["email_configs"]] == [MAILS[f"MAMMO_{who}_MAIL"]]
    assert told["digest"]["email_configs"][0]["to"] == MAILS["MAMMO_TEAM_MAIL"]
    for name, variable in zip(("on-call", "readers", "watchdog"), CALLS, strict=True):
        assert [one["url"] for one in told[name]["webhook_configs"]] == [CALLS[variable]]


def test_all_else_is_as_in_the_file(tmp_path: Path) -> None:
    config = yaml.safe_load(started(tmp_path, **MAILS, **CALLS).stdout)
    kept = yaml.safe_load((DASHBOARDS / "alertmanager.yml").read_text())
    assert config["route"] == kept["route"] and config["inhibit_rules"] == kept["inhibit_rules"]
    assert config["templates"] == [str(DASHBOARDS / "alertmanager.tmpl")]
    assert receivers(config).keys() == receivers(kept).keys()


def test_webhooks_that_nobody_named_are_not_called(tmp_path: Path) -> None:
    done = started(tmp_path, **MAILS)
    assert done.returncode == 0 and "without the secret watchdog_url nobody hears" in done.stderr
    told = receivers(yaml.safe_load(done.stdout))
    assert [name for name, one in told.items() if "webhook_configs" in one] == []
    assert told["watchdog"] == {"name": "watchdog"}
    assert "email_configs" in told["on-call"] and "email_configs" in told["readers"]


@pytest.mark.parametrize(
    ("called", "warned"),
    [
        ([], ["silent", "with mail alone nobody hears if mail fails"]),
        (["MAMMO_READERS_WEBHOOK"], ["silent", "with mail alone nobody hears if mail fails"]),
        (["MAMMO_ONCALL_WEBHOOK"], ["silent"]),
        (["MAMMO_WATCHDOG_URL"], []),
    ],
)
def test_it_warns_where_nobody_would_hear_of_a_failure(
    tmp_path: Path, called: list[str], warned: list[str]
) -> None:
    said = started(tmp_path, **MAILS, **{one: CALLS[one] for one in called}).stderr.splitlines()
    assert len(said) == len(warned)
    assert all(part in line for part, line in zip(warned, said, strict=True))


def test_a_user_has_a_password_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "smtp_password"
    given = MAILS | {
        "MAMMO_SMTP_USER": "mammo@hospital.example",
        "MAMMO_SMTP_PASSWORD_FILE": str(secret),
    }
    secret.write_text("")
    refused = started(tmp_path, **given)
    assert refused.returncode == 64 and "write the password" in refused.stderr
    secret.write_text("open sesame")
    done = started(tmp_path, **given, MAMMO_SMTP_TLS="off")
    told = yaml.safe_load(done.stdout)["global"]
    assert told["smtp_auth_username"] == "mammo@hospital.example"
    assert told["smtp_auth_password_file"] == str(secret)
    assert told["smtp_require_tls"] is False
    assert "open sesame" not in done.stdout + done.stderr


@pytest.mark.parametrize("user", ["mammo@hospital.example", "HOSPITAL\\new.mammo", "a&b"])
def test_a_user_is_the_one_that_was_set(tmp_path: Path, user: str) -> None:
    secret = tmp_path / "smtp_password"
    secret.write_text("open sesame")
    given = {"MAMMO_SMTP_USER": user, "MAMMO_SMTP_PASSWORD_FILE": str(secret)}
    told = yaml.safe_load(started(tmp_path, **MAILS, **given).stdout)["global"]
    assert told["smtp_auth_username"] == user


def test_webhooks_come_from_secrets(tmp_path: Path) -> None:
    files = {f"{name}_FILE": str(tmp_path / name) for name in CALLS}
    for name, url in CALLS.items():
        (tmp_path / name).write_text(f"{url}\n")
    done = started(tmp_path, **MAILS, **files)
    assert done.returncode == 0
    assert done.stdout == started(tmp_path, **MAILS, **CALLS).stdout
    (tmp_path / "MAMMO_WATCHDOG_URL").write_text("")
    assert receivers(yaml.safe_load(started(tmp_path, **MAILS, **files).stdout))["watchdog"] == {
        "name": "watchdog"
    }


def test_a_password_that_alertmanagers_user_cannot_read_is_told() -> None:
    """Its container runs as nobody; root, who may run this test, reads whatever is there."""
    user = NOBODY if os.geteuid() == 0 else None
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        for made_of in (DOCKER / "alertmanager.sh", DASHBOARDS / "alertmanager.yml"):
            shutil.copyfile(made_of, folder / made_of.name)
        secret = folder / "smtp_password"
        secret.write_text("open sesame")
        secret.chmod(0o600 if user else 0)
        given = {"MAMMO_SMTP_USER": "mammo", "MAMMO_SMTP_PASSWORD_FILE": str(secret)}
        done = subprocess.run(
            ["sh", str(folder / "alertmanager.sh"), str(folder / "alertmanager.yml"), *SHOW],
            env={"PATH": "/usr/bin:/bin", "TMPDIR": name, **MAILS, **given}, user=user,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (64, "")
    assert "smtp_password cannot be read by user" in done.stderr and "chmod 0644" in done.stderr


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        *[({name: ""}, f"set {name} in .env") for name in MAILS],
        ({"MAMMO_SMTP_HOST": "mail.hospital.example"}, "MAMMO_SMTP_HOST is host:port"),
        ({"MAMMO_SMTP_HOST": "mail.hospital.example:smtp"}, "MAMMO_SMTP_HOST is host:port"),
        ({"MAMMO_SMTP_FROM": "a@b.c,d@e.f"}, "MAMMO_SMTP_FROM is no address: one"),
        ({"MAMMO_TEAM_MAIL": "a@b.c'\nroute: {}"}, "MAMMO_TEAM_MAIL is no address"),
        ({"MAMMO_TEAM_MAIL": "a@b.c\nd@e.f"}, "MAMMO_TEAM_MAIL is no address"),
        ({"MAMMO_TEAM_MAIL": "a@b.c;d@e.f"}, "MAMMO_TEAM_MAIL is no address"),
        ({"MAMMO_ONCALL_MAIL": "a@b.c,"}, "no address, nor several with a comma between"),
        *[
            ({"MAMMO_READERS_MAIL": odd}, "MAMMO_READERS_MAIL is no address")
            for odd in ["@x", "%", "?", "~"]
        ],
        ({"MAMMO_WATCHDOG_URL": "watch.example/ping"}, "no address of http:// or https://"),
        ({"MAMMO_TEAM_MAIL": 'a@b.c", x'}, "MAMMO_TEAM_MAIL is no address"),
        ({"MAMMO_WATCHDOG_URL": "http://w/`id`"}, "MAMMO_WATCHDOG_URL is no address"),
        ({"MAMMO_ONCALL_WEBHOOK": "http://w/$(id)"}, "MAMMO_ONCALL_WEBHOOK is no address"),
        ({"MAMMO_SMTP_TLS": "no"}, "MAMMO_SMTP_TLS is on or off"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_it_does_not_start_where_nobody_would_be_told(
    tmp_path: Path, changed: dict[str, str], told: str
) -> None:
    done = started(tmp_path, **(MAILS | changed))
    assert (done.returncode, done.stdout) == (64, "")
    assert told in done.stderr


@pytest.mark.parametrize(
    ("line", "given", "told"),
    [
        ("localhost:25", MAILS, '"smtp_smarthost: localhost:25" that MAMMO_SMTP_HOST'),
        ("to: on-call@example.org", MAILS, '"to: on-call@example.org" that MAMMO_ONCALL_MAIL'),
        ("to: readers@example.org", MAILS, '"to: readers@example.org" that MAMMO_READERS_MAIL'),
        ("http://localhost:9095/pager", MAILS | CALLS, "that MAMMO_ONCALL_WEBHOOK could replace"),
        ("smtp_require_tls: true", MAILS | {"MAMMO_SMTP_TLS": "off"}, "that MAMMO_SMTP_TLS could"),
    ],
)
def test_what_is_set_is_not_ignored_where_the_file_was_edited(
    tmp_path: Path, line: str, given: dict[str, str], told: str
) -> None:
    edited = tmp_path / "edited.yml"
    whole = (DASHBOARDS / "alertmanager.yml").read_text()
    assert whole.count(line) == 1
    edited.write_text(whole.replace(line, "to: somebody@else.example"))
    done = started_with(edited, tmp_path, given)
    assert (done.returncode, done.stdout) == (64, "")
    assert told in done.stderr


def test_an_address_that_looks_like_an_example_stays(tmp_path: Path) -> None:
    likes = {
        "MAMMO_SMTP_FROM": "on-call@example.org",
        "MAMMO_ONCALL_MAIL": "night-team@example.org,team@example.org",
        "MAMMO_TEAM_MAIL": "readers@example.org",
        "MAMMO_READERS_MAIL": "mammo@example.org",
        "MAMMO_ONCALL_WEBHOOK": "http://localhost:9095/readers",
    }
    config = yaml.safe_load(started(tmp_path, **(MAILS | likes)).stdout)
    assert config["global"]["smtp_from"] == likes["MAMMO_SMTP_FROM"]
    told = receivers(config)
    for name, who in (("on-call", "ONCALL"), ("team", "TEAM"), ("readers", "READERS")):
        assert [one["to"] for one in told[name]["email_configs"]] == [likes[f"MAMMO_{who}_MAIL"]]
    assert [one["url"] for one in told["on-call"]["webhook_configs"]] == [
        likes["MAMMO_ONCALL_WEBHOOK"]
    ]


def test_a_team_may_say_that_nobody_is_told(tmp_path: Path) -> None:
    done = started(tmp_path, MAMMO_SMTP_HOST="none")
    assert done.returncode == 0 and "nobody is told of any alert" in done.stderr
    assert yaml.safe_load(done.stdout)["receivers"] == [{"name": "nobody"}]


TWO = {name: "a@h.example,b@h.example" for name in MAILS if name.endswith("MAIL")}


@pytest.mark.parametrize(
    "given",
    [
        {"MAMMO_SMTP_HOST": "none"},
        MAILS,
        MAILS | CALLS,
        *[MAILS | {name: TWO[name]} for name in TWO],
    ],
)
def test_amtool_takes_what_is_made(tmp_path: Path, given: dict[str, str]) -> None:
    path = tmp_path / "made.yml"
    path.write_text(started(tmp_path, **given).stdout)
    done = subprocess.run(
        [program("amtool"), "check-config", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
