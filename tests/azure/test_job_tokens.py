"""A job's token is kept, whatever the run history answers when asked for a new one."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest

from mammo.azure_mlflow import tokens
from mammo.azure_mlflow.workspace import Job, Workspace
from mammo.errors import AzureSignedOut
from tests.azure.resource_manager import ROOT
from tests.azure.workspace import JOB_VARIABLES, job_token

WORKSPACE = Workspace("localhost:1", ROOT)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()


class Answer:
    """As much of `requests.Response` as is looked at."""

    def __init__(self, body: str) -> None:
        self._body = body

    def json(self) -> Any:
        return json.loads(self._body)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `answers` hands out, one after the other; the last for good."""
    bodies: list[str] = []
    monkeypatch.setattr(
        tokens, "ask", lambda *_: Answer(bodies.pop(0) if bodies[1:] else bodies[0])
    )
    return bodies


def job(seconds: float, **changes: str) -> Job:
    facts = {"token": job_token("first", seconds), "experiment_id": "7"} | changes
    return Job("run", **facts)


def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens.JobTokens, "_keep_fresh", lambda self: None)


@pytest.mark.parametrize(
    ("told", "ends_at"),
    [
        ("2030-01-01T12:00:00Z", NOON),
        ("2030-01-01T14:00:00.0000000+02:00", NOON),  # seven digits, as .NET writes
        ("2030-01-01T12:00:00", NOON),  # no offset: it is a name that ends in Utc
        (None, None),
        ("soon", None),
        (1893499200, None),
    ],
)
def test_when_a_new_token_ends(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, told: object, ends_at: float | None
) -> None:
    no_thread(monkeypatch)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        asked.append(json.dumps({"token": "opaque", "expiryTimeUtc": told}))
        source = tokens.JobTokens(WORKSPACE, job(10))
        assert source.token() == "opaque" and source.ends_at == ends_at
        # the token's own word where the answer has none that can be read
        own = job_token("second", 3600)
        asked[:] = [json.dumps({"token": own, "expiryTimeUtc": told})]
        source = tokens.JobTokens(WORKSPACE, job(10))
        assert source.token() == own and source.ends_at == (ends_at or tokens.expiry(own))
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "body", ["", "<html>", "[]", "null", "{}", '{"token": ""}', '{"token": 7}']
)
def test_an_answer_without_a_token_is_no_renewal(
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    body: str,
) -> None:
    no_thread(monkeypatch)
    asked.append(body)
    one = job(120)
    with caplog.at_level(logging.WARNING, "mammo"):
        assert tokens.JobTokens(WORKSPACE, one).token() == one.token
    assert "token was not renewed: AZURE" in caplog.text
    with pytest.raises(AzureSignedOut, match="ended and was not renewed"):
        tokens.JobTokens(WORKSPACE, job(-5)).token()


@pytest.mark.parametrize("seconds", [60, -60], ids=["short", "ended by this machine's clock"])
def test_a_server_that_gives_the_same_token_is_not_asked_at_each_request(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    no_thread(monkeypatch)
    one, asked = job(seconds), Mock()
    asked.return_value = Answer(json.dumps({"token": one.token}))
    monkeypatch.setattr(tokens, "ask", asked)
    source = tokens.JobTokens(WORKSPACE, one)
    assert {source.token() for _ in range(20)} == {one.token}
    assert asked.call_count == 1
    monkeypatch.setattr(tokens, "AGAIN_SECONDS", 0.0)
    source = tokens.JobTokens(WORKSPACE, one)
    for _ in range(3):
        source.token()
    assert asked.call_count == 4


def test_a_refused_token_that_ends_is_asked_for_at_once(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits half a minute after a refusal must not show an ended token meanwhile."""
    no_thread(monkeypatch)
    asked += ["{}", json.dumps({"token": "new"})]
    now = time.time()
    source = tokens.JobTokens(WORKSPACE, job(20))
    assert source.token() != "new"
    passed = time.monotonic() + 25
    monkeypatch.setattr(time, "time", lambda: now + 25)
    monkeypatch.setattr(time, "monotonic", lambda: passed)
    assert source.token() == "new"


@pytest.mark.parametrize(
    "told", [None, "9999-12-31T23:59:59Z", "soon"], ids=["opaque", "far", "malformed"]
)
def test_the_thread_outlives_what_a_renewal_brings(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, told: str | None
) -> None:
    monkeypatch.setattr(tokens, "AGAIN_SECONDS", 0.01)
    asked.append(json.dumps({"token": "opaque", "expiryTimeUtc": told}))
    before = set(threading.enumerate())
    source = tokens.JobTokens(WORKSPACE, job(10))
    new = set(threading.enumerate()) - before
    (thread,) = (one for one in new if one.name == "azure-token")
    wait_until(lambda: source._token == "opaque")
    thread.join(0.2)
    assert thread.is_alive()


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_process_has_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in JOB_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_RUN_ID", "run")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "opaque")
    real = tokens.JobTokens

    def slow(*told: Any) -> tokens.JobTokens:
        time.sleep(0.05)
        return real(*told)

    monkeypatch.setattr(tokens, "JobTokens", slow)
    tokens.forget_tokens()
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(tokens.tokens_of, [WORKSPACE] * 4))
        assert len({id(one) for one in found}) == 1
    finally:
        tokens.forget_tokens()
