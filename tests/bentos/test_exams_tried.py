"""A challenger beside the champion, through the service: who answers, what is logged."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bentos.screening.app import create_app
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.bentos.conftest import FakeScreener, load_fake, open_client, point_to


def challenge(settings: Settings, stage: str, percent: int, release: str = "r-2") -> None:
    challenger = {
        "release_id": release,
        "bento_tag": f"screening:{release}",
        "release_dir": f"/nowhere/{release}",
        "stage": stage,
        "percent": percent,
        "since": "2026-03-01T09:00:00+00:00",
    }
    point_to(settings, "r-1", challenger=challenger)


def load_broken_second(directory: Path) -> FakeScreener:
    screener = FakeScreener(directory)
    if directory.name == "r-2":
        screener.logit = float("nan")
    return screener


def send(client: Any, exams: range) -> list[Any]:
    return [
        client.post("/v1/exams", files=[("files", ("a", f"E-{number}|L CC".encode()))])
        for number in exams
    ]


def logged(settings: Settings, role: str) -> set[tuple[str, str]]:
    exams = PredictionLog(settings.log_url).exams(role=role)
    return set(zip(exams["exam_id"], exams["release_id"], strict=True))


def test_in_the_shadow_the_champion_answers_and_both_are_logged(settings: Settings) -> None:
    challenge(settings, "shadow", 0)
    with open_client(create_app(settings, load=load_fake)) as client:
        answers = send(client, range(6))
        deadline = time.monotonic() + 10
        counted = 'mammo_shadow_total{fate="scored"} 6.0'  # after the last one is logged
        while counted not in client.get("/metrics").text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert counted in client.get("/metrics").text
        assert client.get("/v1/exams/E-0").json()["release"] == "r-1"
        assert client.get("/v1/release").json()["challenger"]["stage"] == "shadow"
    assert {one.json()["release"] for one in answers} == {"r-1"}
    assert logged(settings, "champion") == {(f"E-{n}", "r-1") for n in range(6)}
    assert logged(settings, "shadow") == {(f"E-{n}", "r-2") for n in range(6)}


def test_a_canary_answers_its_share_the_same_exams_each_time(settings: Settings) -> None:
    challenge(settings, "canary", 50)
    with open_client(create_app(settings, load=load_fake)) as client:
        first = [one.json()["release"] for one in send(client, range(20))]
        assert first == [one.json()["release"] for one in send(client, range(20))]
        tried = first.index("r-2")
        assert client.get(f"/v1/exams/E-{tried}").json()["release"] == "r-2"
    assert set(first) == {"r-1", "r-2"}
    assert len(logged(settings, "canary")) == first.count("r-2")
    assert len(logged(settings, "champion")) == first.count("r-1")


def test_a_canary_that_fails_fails_nobody(settings: Settings) -> None:
    challenge(settings, "canary", 100)
    with open_client(create_app(settings, load=load_broken_second)) as client:
        answers = send(client, range(3))
        assert [one.status_code for one in answers] == [200] * 3
        assert {one.json()["release"] for one in answers} == {"r-1"}
        assert 'mammo_canary_failures_total{release="r-2"} 3.0' in client.get("/metrics").text
    assert len(logged(settings, "champion")) == 3


@pytest.mark.parametrize("stage", ["shadow", "canary"])
def test_a_refused_challenger_is_told_and_never_asked(settings: Settings, stage: str) -> None:
    challenge(settings, stage, 100, "r-2-bad")
    with open_client(create_app(settings, load=load_fake)) as client:
        assert [one.status_code for one in send(client, range(2))] == [200, 200]
        ready = client.get("/readyz").json()
        assert (ready["status"], ready["refused"]["code"]) == ("ready", "PARITY")
        told = client.get("/v1/release").json()["challenger"]
        assert (told["release"], told["refused"]["code"]) == ("r-2-bad", "PARITY")
    assert len(logged(settings, "champion")) == 2
