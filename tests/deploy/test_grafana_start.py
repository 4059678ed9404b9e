"""What Grafana is started with under Compose: mail server, readers, the database's password."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.deploy.images import DOCKER

READERS = {"MAMMO_READERS_MAIL": "a@h.example,b@h.example"}
MAIL = {"GF_SMTP_HOST": "mail.hospital.example:587"}
TLS = {"GF_SMTP_STARTTLS_POLICY": "MandatoryStartTLS"}


def started(tmp_path: Path, given: dict[str, str], webhook: str = "") -> tuple[dict[str, str], str]:
    """Return the variables that Grafana finds, `env` standing for it, and what was said."""
    secret = tmp_path / "grafana_reader_password"
    secret.write_text("open sesame")
    (tmp_path / "readers_webhook").write_text(webhook)
    environment = {
        "PATH": "/usr/bin:/bin",
        "MAMMO_DATABASE_READER_PASSWORD_FILE": str(secret),
        "MAMMO_READERS_WEBHOOK_FILE": str(tmp_path / "readers_webhook"),
        **given,
    }
    done = subprocess.run(
        ["sh", str(DOCKER / "grafana.sh"), "env"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(line.split("=", 1) for line in done.stdout.splitlines()), done.stderr


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {"GF_SMTP_ENABLED": None, "MAMMO_DATABASE_READER_PASSWORD": "open sesame"}),
        ({"GF_SMTP_HOST": "none"}, {"GF_SMTP_ENABLED": None}),
        (MAIL | TLS, {"GF_SMTP_ENABLED": "true"} | TLS),
        (
            MAIL | TLS | {"MAMMO_SMTP_TLS": "off"},
            {"GF_SMTP_ENABLED": "true", "GF_SMTP_STARTTLS_POLICY": "NoStartTLS"},
        ),
        (READERS, {"MAMMO_READERS_MAIL": "a@h.example;b@h.example"}),
    ],
    ids=["no-mail", "none", "mail", "no-tls", "two-readers"],
)
def test_grafana_finds(tmp_path: Path, given: dict[str, str], found: dict[str, str | None]) -> None:
    environment, said = started(tmp_path, given)
    assert {name: environment.get(name) for name in found} == found
    assert ("no mail server is set" in said) == ("GF_SMTP_ENABLED" not in environment)
    assert "open sesame" not in said


@pytest.mark.parametrize(
    ("secret", "called"),
    [
        ("", "http://localhost:9"),
        ("https://chat.example/hooks/7\n", "https://chat.example/hooks/7"),
    ],
)
def test_readers_webhook_is_a_secret(tmp_path: Path, secret: str, called: str) -> None:
    environment, said = started(tmp_path, {}, secret)
    assert environment["MAMMO_READERS_WEBHOOK"] == called and called not in said
