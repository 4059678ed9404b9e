"""One request, one prediction: sent again, sent for later, too many, too late, left alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bentos.screening import running
from bentos.screening.app import create_app
from bentos.screening.job_runner import MOST_ATTEMPTS
from bentos.screening.jobs import JobStore, new_job
from bentos.screening.upload import ReceivedFile
from mammo.audit import AuditLog
from mammo.errors import DiskFull, LogUnavailable
from mammo.kept_images import ImageStore
from mammo.prediction_log import PredictionLog
from mammo.results import ResultStore
from mammo.settings import Settings
from mammo.tokens import TokenStore
from tests.bentos.conftest import FakeScreener, load_fake, open_client, point_to

KNOWN = ("exam", "request", "release", "score", "scale", "decision", "abstention", "scored_at")
"""What an answer tells for good: the log knows it, whether the answer is kept or not."""
FOUR = [b"E-1|L CC", b"E-1|L MLO", b"E-1|R CC", b"E-1|R MLO"]


def post(client: TestClient, *files: bytes, **headers: str) -> Any:
    parts = [("files", ("Doe_Jane.dcm", data)) for data in files]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/exams", files=parts, headers=named)


def logged(settings: Settings, role: str | None = "champion") -> Any:
    return PredictionLog(settings.log_url).exams(role=role)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def forget(results_dir: Path) -> None:
    """Take away every kept answer."""
    for path in results_dir.rglob("*"):
        if path.is_file():
            path.unlink()


def load_slowly(directory: Path) -> FakeScreener:
    return FakeScreener(directory, seconds=0.5)


@pytest.fixture
def slow(settings: Settings) -> Any:
    settings = settings.model_copy(update={"exams_at_once": 1, "queue_exams": 1})
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_slowly)) as client:
        yield client


def test_the_same_key_is_one_prediction(client: TestClient, settings: Settings) -> None:
    first, again = (post(client, *FOUR, Idempotency_Key="k-1") for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(logged(settings)) == 1
    assert post(client, *reversed(FOUR), Idempotency_Key="k-1").json() == first.json()
    other = post(client, *FOUR[:2], Idempotency_Key="k-1")
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert post(client, *FOUR, Idempotency_Key="k-2").json()["request"] != first.json()["request"]
    assert len(logged(settings)) == 2
    bad = post(client, *FOUR, Idempotency_Key="x" * 201)
    assert (bad.status_code, bad.json()["code"]) == (400, "HEADER_INVALID")


def test_a_key_is_remembered_when_its_result_is_gone(settings: Settings) -> None:
    point_to(settings, "r-1")
    app = create_app(settings, load=load_fake)
    with open_client(app) as client:
        first = post(client, *FOUR, Idempotency_Key="k-1").json()
    forget(settings.results_dir)
    with open_client(create_app(settings, load=load_fake)) as client:
        again = post(client, *FOUR, Idempotency_Key="k-1")
        assert again.headers["idempotency-replayed"] == "true"
        gone = client.get("/v1/exams/E-1/report.dcm")
        assert (gone.status_code, gone.json()["code"]) == (404, "RESULT_UNKNOWN")
    assert {name: again.json()[name] for name in KNOWN} == {name: first[name] for name in KNOWN}
    assert len(logged(settings)) == 1


@pytest.mark.parametrize("prefer", ["wait=20", "respond-async"])
def test_a_key_names_its_files_when_its_result_is_gone(client: TestClient, prefer: str) -> None:
    settings = client.app.state.service.settings  # type: ignore[attr-defined]
    assert post(client, *FOUR, Idempotency_Key="k-1").status_code == 200
    forget(settings.results_dir)
    other = [one.replace(b"E-1", b"E-9") for one in FOUR]
    answer = post(client, *other, Idempotency_Key="k-1", Prefer=prefer)
    if answer.status_code == 202:
        link = answer.headers["location"]
        wait_for(lambda: client.get(link).json()["status"] == "failed")
        assert client.get(link).json()["problem"]["code"] == "IDEMPOTENCY_CONFLICT"
    else:
        assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert list(logged(settings)["exam_id"]) == ["E-1"]


def test_what_was_refused_is_known_when_the_result_is_gone(
    client: TestClient, settings: Settings
) -> None:
    files = [*FOUR[:3], b"refuse:NOT_DICOM"]
    first = post(client, *files, Idempotency_Key="k-1").json()
    forget(settings.results_dir)
    again = post(client, *files, Idempotency_Key="k-1").json()
    assert again["quality"] == first["quality"] == ["FILE_REFUSED", "MISSING_VIEW"]
    (one,), (known,) = first["refused"], again["refused"]
    assert known == one | {"file": "4"}, "the log knows a file by its position alone"


@pytest.mark.parametrize("what", ["findings", "heatmap.png", "report.dcm", "images"])
def test_the_scoring_before_is_not_told_as_the_latest(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def refuse(*_: object) -> None:
        raise DiskFull("The disk of the results is full.")

    assert post(client, *FOUR).status_code == 200
    monkeypatch.setattr(ResultStore, "keep", refuse)
    assert post(client, *FOUR).status_code == 200
    answer = client.get(f"/v1/exams/E-1/{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "RESULT_UNKNOWN")
    assert "?request=" in answer.json()["detail"]
    monkeypatch.setattr(ImageStore, "has_exam", lambda *_: True)
    (line,) = client.get("/v1/exams").json()["exams"]
    assert line["has_images"] is False, "they cannot be asked for"


def test_many_with_one_key_at_once_are_one_prediction(slow: TestClient) -> None:
    settings = slow.app.state.service.settings  # type: ignore[attr-defined]
    answers: list[Any] = []

    def send() -> None:
        answers.append(post(slow, *FOUR, Idempotency_Key="k-1"))

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert len(logged(settings)) == 1


class HeldScreener(FakeScreener):
    """Scores nothing until it is let go."""

    go = threading.Event()

    def read_exam(self, *files: Any, **told: Any) -> Any:
        assert self.go.wait(60)
        return super().read_exam(*files, **told)


@pytest.fixture
def held(settings: Settings) -> Iterator[TestClient]:
    HeldScreener.go.clear()
    settings = settings.model_copy(update={"exams_at_once": 1, "queue_exams": 1})
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=HeldScreener)) as client:
        yield client


def test_too_many_are_told_to_come_again(held: TestClient) -> None:
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(post(held, *FOUR))) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(answers) >= 4)
    finally:
        HeldScreener.go.set()
    for thread in threads:
        thread.join()
    assert [one.status_code for one in answers] == [503] * 4 + [200] * 2
    turned_away = answers[:4]
    assert {one.json()["code"] for one in turned_away} == {"OVERLOADED"}
    assert all(int(one.headers["retry-after"]) >= 1 for one in turned_away)
    text = held.get("/metrics").text
    assert "mammo_exams_turned_away_total 4.0" in text
    assert "mammo_exams_inside 0.0" in text


def test_a_wait_that_ends_is_no_prediction(slow: TestClient) -> None:
    settings = slow.app.state.service.settings  # type: ignore[attr-defined]
    impatient = settings.model_copy(update={"exam_seconds": 0.1})
    with open_client(create_app(impatient, load=load_slowly)) as client:
        late = post(client, *FOUR)
        assert (late.status_code, late.json()["code"]) == (504, "DEADLINE_EXCEEDED")
    assert logged(settings).empty
    assert post(slow, *FOUR, Prefer="wait=20").status_code == 200


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        (FOUR, "done", None),
        ([b"refuse:NOT_DICOM"], "failed", "NOTHING_READABLE"),
        ([b"E-1|L CC", b"E-2|L CC"], "failed", "MIXED_EXAMS"),
        ([b"crash"], "failed", "INTERNAL"),
        ([b"nan|L CC"], "failed", "SCORE_NOT_FINITE"),
    ],
)
def test_an_accepted_exam_is_scored_later(
    client: TestClient, settings: Settings, files: list[bytes], status: str, code: str | None
) -> None:
    accepted = post(client, *files, Prefer="respond-async", Idempotency_Key="k-1")
    assert (accepted.status_code, accepted.json()["status"]) == (202, "queued")
    link = accepted.headers["location"]
    assert link == accepted.json()["links"]["self"]
    wait_for(lambda: client.get(link).json()["status"] in ("done", "failed"))
    job = client.get(link).json()
    assert (job["status"], (job["problem"] or {}).get("code")) == (status, code)
    assert len(logged(settings)) == (status == "done")
    again = post(client, *files, Prefer="respond-async", Idempotency_Key="k-1")
    assert again.json() == job, "the same request is the same job"
    other = post(client, b"E-9|L CC", Prefer="respond-async", Idempotency_Key="k-1")
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    if status == "done":
        assert job["exam"]["exam"] == "E-1"
        assert client.get(job["links"]["exam"]).json()["request"] == job["id"]
        assert post(client, *files, Idempotency_Key="k-1").json() == job["exam"]
        assert len(logged(settings)) == 1


def test_a_job_tells_its_answer_from_the_log(settings: Settings) -> None:
    """A worker that is killed once it has logged leaves no kept answer; the next finds the log."""
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_fake)) as client:
        first = post(client, *FOUR, Idempotency_Key="k-1").json()
        forget(settings.results_dir)
        accepted = post(client, *FOUR, Prefer="respond-async", Idempotency_Key="k-1")
        assert accepted.status_code == 202
        link = accepted.headers["location"]
        wait_for(lambda: client.get(link).json()["status"] == "done")
        told = client.get(link).json()["exam"]
        assert {name: told[name] for name in KNOWN} == {name: first[name] for name in KNOWN}
        assert post(client, *FOUR, Idempotency_Key="k-1").json() == told
    assert len(logged(settings)) == 1


def test_a_job_whose_workers_died_is_asked_for_in_the_log(settings: Settings) -> None:
    """The last of them may have died when its answer was logged."""
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_fake)) as client:
        first = post(client, *FOUR, Idempotency_Key="k-1").json()
    forget(settings.results_dir)
    store = JobStore(settings.jobs_dir, 9)
    for job_id in (first["request"], "0" * 32):
        files = [ReceivedFile("a.dcm", one) for one in FOUR]
        job = new_job(job_id, "local", ["predict"], files, "")
        store.set(store.accept(job, files), "running", attempts=MOST_ATTEMPTS)
    with open_client(create_app(settings, load=load_fake)) as client:
        wait_for(lambda: not list(store.open_ids()))
        told = client.get(f"/v1/jobs/{first['request']}").json()
        assert (told["status"], told["exam"]["scored_at"]) == ("done", first["scored_at"])
        died = client.get(f"/v1/jobs/{'0' * 32}").json()
        assert (died["status"], died["exam"]) == ("failed", None)
    assert len(logged(settings)) == 1


@contextmanager
def scoring_later(settings: Settings) -> Iterator[tuple[JobStore, str]]:
    """Yield the store and the id of a job that is scored; the service is stopped at the end."""
    point_to(settings, "r-1")
    app = create_app(settings, load=lambda place: FakeScreener(place, seconds=30.0))
    with open_client(app) as client:
        job = post(client, *FOUR, Prefer="respond-async").json()["id"]
        store = JobStore(settings.jobs_dir, 9)
        wait_for(lambda: store.read(job).status == "running")
        yield store, job


def test_a_stopped_service_is_no_attempt(settings: Settings) -> None:
    with scoring_later(settings) as (store, job):
        pass
    assert (store.read(job).status, store.read(job).attempts) == ("queued", 0)


def test_a_full_disk_holds_up_no_stop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with scoring_later(settings) as (store, job):

        def refuse(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(JobStore, "set", refuse)
        started = time.monotonic()
    assert time.monotonic() - started < 20  # the exam itself would take half a minute
    assert (store.read(job).status, store.read(job).attempts) == ("running", 1)


@pytest.mark.parametrize("what", ["findings", "heatmap.png", "images", "cad.dcm"])
def test_while_the_log_is_away_what_is_not_kept_is_not_unknown(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def refuse(*_: object) -> None:
        raise LogUnavailable("The database is locked.")

    assert post(client, *FOUR).status_code == 200
    monkeypatch.setattr(PredictionLog, "answers", refuse)
    answer = client.get(f"/v1/exams/E-9/{what}")
    assert (answer.status_code, answer.json()["code"]) == (503, "LOG_UNAVAILABLE")
    assert client.get("/v1/exams/E-1/findings").status_code == 200


def test_a_job_without_kept_answer_and_log_is_asked_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LogUnavailable("The database is locked.")

    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_fake)) as client:
        link = post(client, *FOUR, Prefer="respond-async").headers["location"]
        wait_for(lambda: client.get(link).json()["status"] == "done")
        forget(settings.results_dir)
        monkeypatch.setattr(PredictionLog, "scoring", refuse)
        answer = client.get(link)
    assert (answer.status_code, answer.json()["code"]) == (503, "LOG_UNAVAILABLE")


def test_accepted_exams_outlive_the_service(settings: Settings) -> None:
    waits = settings.model_copy(update={"exam_seconds": 5.0})
    with open_client(create_app(waits, load=load_fake)) as client:
        refused = post(client, *FOUR, Prefer="respond-async")
        assert refused.json()["code"] == "NOT_READY"
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_slowly)) as client:
        link = post(client, *FOUR, Prefer="respond-async").headers["location"]
    with open_client(create_app(settings, load=load_fake)) as client:
        wait_for(lambda: client.get(link).json()["status"] == "done")
    assert len(logged(settings)) == 1
    assert client.get("/v1/jobs/" + "0" * 32).json()["code"] == "JOB_UNKNOWN"


def test_a_spoilt_job_holds_up_no_other(settings: Settings) -> None:
    point_to(settings, "r-1")
    spoilt = settings.jobs_dir / ("0" * 32)
    spoilt.mkdir(parents=True)
    (spoilt / "1.dcm").write_bytes(b"E-9|L CC")
    (spoilt / "job.json").write_text("{")
    with open_client(create_app(settings, load=load_fake)) as client:
        link = post(client, *FOUR, Prefer="respond-async").headers["location"]
        wait_for(lambda: client.get(link).json()["status"] == "done")


@pytest.mark.parametrize("work", ["drain", "sweep"])
def test_house_is_kept_on_after_a_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    monkeypatch.setattr(running, f"{work.upper()}_SECONDS", 0.01)
    point_to(settings, "r-1")
    app, calls = create_app(settings, load=load_fake), list[int]()

    def fail() -> int:
        calls.append(1)
        raise RuntimeError("nobody thought of this")

    owner = {"drain": app.state.service.durable, "sweep": app.state.service.results}[work]
    monkeypatch.setattr(owner, work, fail)
    with open_client(app):
        wait_for(lambda: len(calls) > 2)


def test_a_job_is_told_to_its_caller_or_a_reader_alone(settings: Settings) -> None:
    store = TokenStore(settings.tokens_path)
    tokens = {name: store.add(name, ["predict"]) for name in ("one", "other")}
    tokens["reader"] = store.add("reader", ["read"])
    shown = {name: {"Authorization": f"Bearer {secret}"} for name, secret in tokens.items()}
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_fake)) as client:
        files = [("files", ("a", b"E-1|L CC"))]
        later = shown["one"] | {"Prefer": "respond-async", "Idempotency-Key": "1"}
        link = client.post("/v1/exams", files=files, headers=later).headers["location"]
        told = {name: client.get(link, headers=header) for name, header in shown.items()}
        assert {name: one.status_code for name, one in told.items()} == {
            "one": 200,
            "other": 404,
            "reader": 200,
        }
        assert told["other"].json()["code"] == "JOB_UNKNOWN"
        assert client.get(link).status_code == 401
        text = client.get("/metrics", headers=shown["reader"]).text
        assert 'mammo_refusals_total{code="TOKEN_MISSING"} 1.0' in text


def test_a_score_that_is_no_number_is_no_answer(client: TestClient, settings: Settings) -> None:
    answer = post(client, b"nan|L CC")
    assert (answer.status_code, answer.json()["code"]) == (500, "SCORE_NOT_FINITE")
    assert logged(settings).empty


def test_who_did_what_is_audited_without_names(client: TestClient, settings: Settings) -> None:
    post(client, *FOUR, Idempotency_Key="k-1")
    post(client, *FOUR, Idempotency_Key="k-1")
    post(client, b"refuse:NOT_DICOM")
    client.get("/v1/exams/E-1")
    outcome = {"exam": "E-1", "cancer": False, "known_at": "2026-03-01T09:00:00Z", "source": "p"}
    client.post("/v1/outcomes", json=outcome)
    lines = [json.loads(line) for line in settings.audit_path.read_text().splitlines()]
    told = [
        (one["who"], one["action"], one["exam"], one["release"], one["result"]) for one in lines
    ]
    assert told == [
        ("local", "predict", "E-1", "r-1", "recall"),
        ("local", "replay", "E-1", "r-1", "recall"),
        ("local", "predict", None, None, "NOTHING_READABLE"),
        ("local", "read", "E-1", "r-1", "ok"),
        ("local", "outcome", "E-1", None, "ok"),
    ]
    assert AuditLog(settings.audit_path).verify().intact
    head = client.get("/v1/audit/head").json()
    assert (head["seq"], head["hash"]) == (lines[-1]["seq"], lines[-1]["hash"])
    assert "Doe" not in settings.audit_path.read_text()
