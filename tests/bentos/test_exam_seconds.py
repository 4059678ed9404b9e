"""What the objective of latency is about: exams that were scored for somebody who waited."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bentos.screening import metrics
from bentos.screening.app import create_app
from bentos.screening.metrics import PROMISED_SECONDS, SECONDS
from mammo.errors import RequestCancelled
from mammo.settings import Settings
from tests.bentos.conftest import load_fake, open_client
from tests.dashboards.rules import DASHBOARDS

EXAM, FOREIGN = b"E-1|L CC", b"refuse:NOT_DICOM"


def timed(client: TestClient) -> float:
    """Return how many exams the service says that it timed."""
    lines = client.get("/metrics").text.splitlines()
    (told,) = (one for one in lines if one.startswith("mammo_exam_seconds_count "))
    return float(told.split()[1])


def post(client: TestClient, data: bytes, **headers: str) -> Any:
    files = [("files", ("a.dcm", data))]
    return client.post("/v1/exams", files=files, headers=headers)


def ask_for_later(client: TestClient) -> int:
    """Hand in an exam for later, and wait until it is scored."""
    accepted = post(client, EXAM, Prefer="respond-async")
    deadline = time.monotonic() + 20
    while client.get(accepted.headers["location"]).json()["status"] != "done":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(accepted.status_code)


@pytest.mark.parametrize(
    ("ask", "status", "counted"),
    [
        (lambda client: post(client, EXAM).status_code, 200, 1),
        (lambda client: client.get("/v1/exams").status_code, 200, 0),
        (lambda client: post(client, FOREIGN).status_code, 422, 0),
        (lambda client: post(client, b"crash").status_code, 500, 0),
        (ask_for_later, 202, 0),
    ],
    ids=["scored", "list", "refused", "crashed", "for later"],
)
def test_only_exams_that_were_scored_while_one_waited_are_timed(
    client: TestClient, ask: Callable[[TestClient], int], status: int, counted: int
) -> None:
    assert ask(client) == status
    assert timed(client) == counted


def test_an_answer_given_again_is_no_quick_exam(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first, again = (post(client, EXAM, **headers) for _ in range(2))
    assert (first.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert timed(client) == 1


def test_a_service_without_a_release_refuses_no_exam_quickly(settings: Settings) -> None:
    with open_client(create_app(settings, load=load_fake)) as client:
        assert post(client, EXAM).status_code == 503
        assert timed(client) == 0


@pytest.mark.parametrize(
    ("status", "seconds", "counted"),
    [
        (200, 0.1, 1),
        (200, 40, 1),
        (499, PROMISED_SECONDS + 2, 1),
        (499, PROMISED_SECONDS - 2, 0),
        (504, 30, 0),
        (507, 0.1, 0),
    ],
)
def test_who_gave_up_after_too_long_is_counted_too(
    client: TestClient, status: int, seconds: float, counted: int
) -> None:
    """A caller whose own limit is 10 s would hide every slow exam; 5xx are counted as errors."""
    client.app.state.service.metrics.time_exam(status, seconds)  # type: ignore[attr-defined]
    assert timed(client) == counted


@pytest.mark.parametrize(("waits_s", "counted"), [(0.3, 1), (0.0, 0)])
def test_who_leaves_while_an_exam_is_scored_is_timed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, waits_s: float, counted: int
) -> None:
    async def leave(*_: object) -> None:
        await asyncio.sleep(waits_s)
        raise RequestCancelled("The caller has left.")

    monkeypatch.setattr(metrics, "PROMISED_SECONDS", 0.2)
    monkeypatch.setattr(client.app.state.service, "score", leave)  # type: ignore[attr-defined]
    assert post(client, EXAM).status_code == metrics.CLIENT_GONE
    assert timed(client) == counted


def test_the_promise_is_a_bound_of_the_buckets_that_the_rules_ask_for() -> None:
    assert PROMISED_SECONDS in SECONDS
    asked = {
        bound
        for path in (DASHBOARDS / "recording-rules.yml", DASHBOARDS / "prometheus-rules.yml")
        for bound in re.findall(r'mammo_exam_seconds_bucket\{le="([^"]+)"\}', path.read_text())
    }
    assert asked == {str(PROMISED_SECONDS)}
