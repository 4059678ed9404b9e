"""The list of past exams: one line each, newest first, with what failed and what still comes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from bentos.gateway.tables import connect
from bentos.screening.app import create_app
from mammo.audit import AuditLog
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from mammo.tokens import TokenStore
from tests.bentos.conftest import load_fake, open_client, point_to
from tests.bentos.test_exams import FOUR, forget, post

EARLY = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def listed(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/v1/exams", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def exams(client: TestClient, **query: Any) -> list[Any]:
    return [one["exam"] or one["study"] or one["code"] for one in listed(client, **query)["exams"]]


def add_study(settings: Settings, key: str, state: str, received_at: float, **more: Any) -> None:
    """Put a study into the gateway's book as the gateway does."""
    book = connect(settings.gateway_book)
    book.execute(
        "INSERT INTO studies (key, state, code, text, first_received_at, last_received_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (key, state, more.get("code"), more.get("text", ""), received_at, received_at),
    )
    if more.get("incident"):
        book.execute(
            "INSERT INTO incidents (study, code, text, source, at) VALUES (?, 'X', '', 'A', 0)",
            (key,),
        )
    book.close()


def test_an_empty_list_is_a_list(client: TestClient) -> None:
    assert listed(client) == {"exams": [], "next": None}


def test_a_line_tells_what_was_answered(client: TestClient, settings: Settings) -> None:
    answered = post(client, *FOUR).json()
    (line,) = listed(client)["exams"]
    same = ("exam", "release", "scanner", "site", "score", "scale", "decision", "scored_at")
    assert [line[name] for name in same] == [answered[name] for name in same]
    assert (line["state"], line["code"], line["study"]) == ("scored", None, None)
    assert (line["acquired_on"], line["outcome"]) == ("2026-02-28", None)
    assert (line["incident"], line["has_images"]) == (False, False)
    assert line["abstention"] == answered["abstention"] == ["OUT_OF_DISTRIBUTION"]
    last = list(AuditLog(settings.audit_path).entries())[-1]
    assert (last["action"], last["exam"]) == ("worklist", None)


def test_a_row_of_before_is_told_by_the_kept_answer_or_as_not_known(
    client: TestClient, settings: Settings
) -> None:
    exam = post(client, *FOUR).json()["exam"]
    log = sa.create_engine(PredictionLog(settings.log_url).url, poolclass=sa.pool.NullPool)
    with log.begin() as connection:  # as a version wrote it that did not log the two
        connection.exec_driver_sql("UPDATE predictions SET scale = NULL, abstention = NULL")
    for told in (listed(client)["exams"][0], client.get(f"/v1/exams/{exam}").json()):
        assert (told["scale"], told["abstention"]) == (7, ["OUT_OF_DISTRIBUTION"])
    forget(settings.results_dir)
    for told in (listed(client)["exams"][0], client.get(f"/v1/exams/{exam}").json()):
        assert (told["scale"], told["abstention"]) == (None, None), "not known is not nothing"


def test_the_latest_scoring_is_the_line(client: TestClient) -> None:
    for _ in range(2):
        post(client, *FOUR)
    post(client, *[one.replace(b"E-1", b"E-2") for one in FOUR])
    last = post(client, *FOUR[:2]).json()
    lines = listed(client)["exams"]
    assert [one["exam"] for one in lines] == ["E-1", "E-2"]
    assert lines[0]["scored_at"] == last["scored_at"]
    assert (lines[0]["state"], lines[0]["code"]) == ("partly", "MISSING_VIEW")
    assert "MISSING_VIEW" in lines[0]["quality"] and lines[0]["text"]


def test_a_file_left_out_is_told_by_its_own_code(client: TestClient, settings: Settings) -> None:
    post(client, *FOUR, b"refuse:TOMOSYNTHESIS")
    (line,) = listed(client)["exams"]
    assert (line["state"], line["code"]) == ("partly", "TOMOSYNTHESIS") and line["text"]
    for path in settings.results_dir.rglob("*.zip"):
        path.unlink()
    (line,) = listed(client)["exams"]
    assert (line["state"], line["code"]) == ("partly", "FILE_REFUSED") and line["text"]


def test_pages_lose_nothing_and_repeat_nothing(client: TestClient) -> None:
    for number in range(7):
        post(client, f"E-{number}|L CC".encode())
        if number % 3 == 0:
            post(client, b"refuse:NOT_MAMMOGRAPHY")
    whole = exams(client)
    assert whole[:2] == ["NOTHING_READABLE", "E-6"] and len(whole) == 10
    pages, cursor = [], None
    while True:
        page = listed(client, limit=3, **({"before": cursor} if cursor else {}))
        pages += [one["exam"] or one["code"] for one in page["exams"]]
        if (cursor := page["next"]) is None:
            break
        post(client, b"E-late|L CC")  # what is new moves no page
    assert pages == whole
    assert listed(client, limit=11)["next"] is None


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("E-71", ["E-71"]),
        ("e-7", ["E-72", "E-71"]),
        ("phantom/a1", ["E-72", "E-71"]),
        ("site-1", ["E-72", "E-71"]),
        ("r-1", ["E-72", "E-71"]),
        ("nothing_read", ["NOTHING_READABLE"]),
        ("%", []),
        ("E_71", []),
        ("E-0123456789abcdef", []),
    ],
)
def test_search_is_a_part_of_a_name(settings: Settings, search: str, found: list[str]) -> None:
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_fake)) as client:
        for number in (71, 72):
            post(client, f"E-{number}|L CC".encode())
        post(client, b"refuse:NOT_MAMMOGRAPHY")
        assert exams(client, search=search) == found


def test_what_failed_is_a_line_until_it_is_answered(client: TestClient) -> None:
    assert post(client, b"refuse:TOMOSYNTHESIS").status_code == 422
    assert post(client, b"E-1|L CC", b"E-2|L CC").json()["code"] == "MIXED_EXAMS"
    assert post(client, b"nan|L CC", Idempotency_Key="k").json()["code"] == "SCORE_NOT_FINITE"
    assert post(client, b"crash").status_code == 500
    lines = listed(client)["exams"]
    codes = ["INTERNAL", "SCORE_NOT_FINITE", "MIXED_EXAMS", "NOTHING_READABLE"]
    assert [one["code"] for one in lines] == codes
    assert {(one["state"], one["exam"], one["score"]) for one in lines} == {("failed", None, None)}
    assert all(one["text"] and one["received_at"] for one in lines)
    assert "Doe" not in json.dumps(lines)
    assert exams(client, state="failed") == codes and exams(client, state="scored") == []
    request = lines[1]
    assert post(client, *FOUR, Idempotency_Key="k").status_code == 200
    assert [one["code"] for one in listed(client, state="failed")["exams"]] == [
        code for code in codes if code != request["code"]
    ]


def test_a_job_that_failed_is_a_line(client: TestClient) -> None:
    job = post(client, b"refuse:TOMOSYNTHESIS", Prefer="respond-async").json()
    while client.get(f"/v1/jobs/{job['id']}").json()["status"] not in ("done", "failed"):
        pass
    assert exams(client, state="failed") == ["NOTHING_READABLE"]


def test_a_study_of_the_gateway_is_told_by_its_book_alone(
    client: TestClient, settings: Settings
) -> None:
    key = "E-0123456789abcdef"
    add_study(settings, key, "failed", EARLY, code="TOMOSYNTHESIS", text="Only tomosynthesis.")
    post(client, b"refuse:TOMOSYNTHESIS", Idempotency_Key=f"gateway-{key}-{'0' * 64}")
    (line,) = listed(client)["exams"]
    assert (line["study"], line["exam"], line["state"]) == (key, None, "failed")
    assert (line["code"], line["text"]) == ("TOMOSYNTHESIS", "Only tomosynthesis.")


def test_studies_and_exams_are_one_list(client: TestClient, settings: Settings) -> None:
    for exam in ("E-1", "E-2", "E-3"):
        post(client, *[one.replace(b"E-1", exam.encode()) for one in FOUR])
    later = datetime.now(UTC).timestamp() + 60
    add_study(settings, "E-2", "partly", EARLY, code="NOT_MAMMOGRAPHY", incident=True)
    add_study(settings, "E-3", "receiving", EARLY)
    add_study(settings, "E-8", "receiving", later)
    add_study(settings, "E-9", "waiting", EARLY, code="SERVICE_UNREACHABLE")
    add_study(settings, "E-7", "failed", EARLY - 9, code="NOTHING_READABLE")
    assert exams(client) == ["E-8", "E-3", "E-2", "E-1", "E-9", "E-7"]
    lines = {one["exam"] or one["study"]: one for one in listed(client)["exams"]}
    assert (lines["E-2"]["state"], lines["E-2"]["code"]) == ("partly", "NOT_MAMMOGRAPHY")
    assert lines["E-2"]["incident"] and lines["E-2"]["score"] == 0.62
    assert lines["E-2"]["received_at"] == "2026-01-01T00:00:00Z"
    assert (lines["E-3"]["state"], lines["E-3"]["score"]) == ("receiving", 0.62)
    assert (lines["E-9"]["exam"], lines["E-9"]["text"]) == (None, "")
    expected = {
        "receiving": ["E-8", "E-3"],
        "waiting": ["E-9"],
        "scoring": [],
        "failed": ["E-7"],
        "partly": ["E-2"],
        "scored": ["E-1"],
    }
    assert {state: exams(client, state=state) for state in expected} == expected
    page = listed(client, limit=4)
    assert exams(client, limit=4, before=page["next"]) == ["E-9", "E-7"]


def test_outcomes_are_told_as_far_as_they_are_known(client: TestClient) -> None:
    for exam in ("E-1", "E-2", "E-3", "E-4"):
        post(client, f"{exam}|L CC".encode())
    at = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def tell(exam: str, cancer: bool, days: int, **more: str) -> None:
        when = (at + timedelta(days=days)).isoformat()
        told = {"exam": exam, "cancer": cancer, "known_at": when, "source": f"source {days}"}
        assert client.post("/v1/outcomes", json=told | more).status_code == 200

    tell("E-1", False, 0)
    tell("E-1", True, 5)
    tell("E-2", False, 1, laterality="L")
    tell("E-2", False, 2, laterality="R")
    tell("E-3", False, 3, laterality="L")
    found = {one["exam"]: one["outcome"] for one in listed(client)["exams"]}
    assert found["E-1"] == {
        "label": "cancer", "known_at": "2026-03-06T09:00:00Z", "source": "source 5"
    }  # fmt: skip
    assert (found["E-2"]["label"], found["E-2"]["source"]) == ("no cancer", "source 2")
    assert found["E-3"] is None and found["E-4"] is None


@pytest.mark.parametrize(
    "query", ["before=x", "before=W10=", "before=eyJsb2ciOiAibyJ9", "limit=0", "limit=x", "state=x"]
)
def test_a_malformed_query_is_told(client: TestClient, query: str) -> None:
    answer = client.get(f"/v1/exams?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert "outcome" not in answer.json()["detail"].lower()


def test_the_list_needs_the_role_read(settings: Settings) -> None:
    point_to(settings, "r-1")
    store = TokenStore(settings.tokens_path)
    tokens = {role: store.add(f"a-{role}", [role]) for role in ("read", "predict")}
    with open_client(create_app(settings, load=load_fake)) as client:
        statuses = {
            role: client.get("/v1/exams", headers={"Authorization": f"Bearer {token}"}).status_code
            for role, token in tokens.items()
        }
    assert statuses == {"read": 200, "predict": 403}


def test_notes_of_failures_go_with_their_days(settings: Settings) -> None:
    log = PredictionLog(settings.log_url).create()
    log.add_failed_request("q-1", "NOTHING_READABLE", "None.")
    assert log.drop_failed_requests(datetime.now(UTC) - timedelta(days=1)) == 0
    assert log.drop_failed_requests(datetime.now(UTC) + timedelta(seconds=1)) == 1
    assert log.failed_requests() == []
