"""The client's transport: what is no address or token, and how long to wait."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from mammo import errors
from mammo.client import Screening
from mammo.client_transport import Transport, retry_after_seconds


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:3000", "", "http://host:port"])
def test_what_is_no_address_is_told_at_once(url: str, pauses: list[float]) -> None:
    with pytest.raises(errors.ServiceUnreachable, match="has the form http://host:3000"):
        Screening(url).ready()
    assert pauses == []


@pytest.mark.parametrize("token", ["two words", "mammo_x\n", "Geheimnis-é", '"mammo_x"'])
def test_what_is_no_token_is_not_sent_and_not_quoted(token: str) -> None:
    with pytest.raises(errors.TokenInvalid) as refusal:
        Screening("http://127.0.0.1:1", token)
    assert token.strip() not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://10.0.0.5:3000", True),
        ("https://10.0.0.5", False),
        ("http://127.0.0.1:3000", False),
        ("http://localhost:3000", False),
    ],
)
def test_a_token_in_plain_text_is_warned_of(
    caplog: pytest.LogCaptureFixture, url: str, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING, "mammo.client"):
        Transport(url, "mammo_secret", 1.0, 1, None).close()
    assert ("plain text" in caplog.text) is warned
    assert "mammo_secret" not in caplog.text


@pytest.mark.parametrize(
    ("told", "expected"), [("5", 5.0), ("0", 0.0), ("", None), ("soon", None), ("²", None)]
)
def test_retry_after_in_seconds(told: str, expected: float | None) -> None:
    assert retry_after_seconds({"retry-after": told}) == expected


def test_retry_after_as_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after_seconds({"retry-after": soon}) or 0) <= 30
    assert retry_after_seconds({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
