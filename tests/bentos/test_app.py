from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bentos.screening.app import create_app
from bentos.screening.metrics import FewNames
from mammo.errors import DiskFull
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.bentos.conftest import FakeScreener, load_fake, open_client, point_to
from tests.bentos.test_exams import forget

FOUR = [b"E-1|L CC", b"E-1|L MLO", b"E-1|R CC", b"E-1|R MLO"]
OUTCOME = {
    "exam": "E-1",
    "cancer": True,
    "known_at": "2026-03-01T09:00:00+01:00",
    "source": "pathology",
}


def post(client: TestClient, *files: bytes, name: str = "Doe_Jane.dcm") -> Any:
    parts = [("files", (name, data)) for data in files]
    return client.post("/v1/exams", files=parts)


def rows(settings: Settings) -> int:
    return len(PredictionLog(settings.log_url).exams())


def test_exam_is_scored_and_logged(client: TestClient, settings: Settings) -> None:
    answer = post(client, *FOUR)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["exam"], body["release"], body["decision"]) == ("E-1", "r-1", "recall")
    assert [breast["laterality"] for breast in body["breasts"]] == ["L", "R"]
    assert "Not a cleared medical device" in body["intended_use"]
    logged = PredictionLog(settings.log_url).exams()
    assert list(logged["scanner"]) == ["Phantom/A1"]
    assert logged["e_00"][0] == 0.0


def test_a_large_request_touches_the_home_alone(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What memory does not hold names patients: the system's folder for all may not see it."""
    monkeypatch.setattr("bentos.screening.upload.MEMORY_BYTES", 5)
    monkeypatch.setattr(tempfile, "tempdir", str(settings.home / "not there"))
    one = {"content": FOUR[0], "headers": {"content-type": "application/dicom"}}
    assert client.post("/v1/exams", **one).status_code == 200
    assert list(settings.arriving_dir.iterdir()) == []


def test_prediction_that_cannot_be_kept_is_not_answered(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskFull("The disk is full.")

    monkeypatch.setattr(client.app.state.service.durable, "append", full)  # type: ignore[attr-defined]
    answer = post(client, *FOUR)
    assert (answer.status_code, answer.json()["code"]) == (507, "DISK_FULL")
    assert client.get("/v1/exams/E-1/heatmap.png").status_code == 404
    assert rows(settings) == 0


def test_same_exam_twice_is_two_predictions(client: TestClient, settings: Settings) -> None:
    assert [post(client, *FOUR).status_code for _ in range(2)] == [200, 200]
    assert rows(settings) == 2
    assert client.get("/v1/exams/E-1").json()["times_scored"] == 2


def test_get_exam(client: TestClient) -> None:
    scored = post(client, *FOUR).json()
    logged = client.get("/v1/exams/E-1").json()
    shared = set(scored) & set(logged)
    assert {"exam", "score", "breasts", "decision", "quality", "scored_at"} <= shared
    assert {name: scored[name] for name in shared} == {name: logged[name] for name in shared}
    unknown = client.get("/v1/exams/E-2")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "EXAM_UNKNOWN")


def test_one_view_is_scored_and_says_so(client: TestClient) -> None:
    answer = post(client, FOUR[0])
    assert answer.status_code == 200
    assert answer.json()["quality"] == ["MISSING_VIEW"]


def test_refused_files_are_listed_and_the_rest_is_scored(client: TestClient) -> None:
    answer = post(client, FOUR[0], b"refuse:FOR_PROCESSING", FOUR[1])
    assert answer.status_code == 200
    assert answer.json()["refused"] == [
        {
            "position": 2,
            "file": "Doe_Jane.dcm",
            "code": "FOR_PROCESSING",
            "message": "It is not a mammogram.",
        }
    ]


@pytest.mark.parametrize(
    ("files", "status", "code", "detail"),
    [
        ([], 400, "EMPTY_REQUEST", "No file came with the request; send one to many DICOM files."),
        ([b"refuse:NOT_MAMMOGRAPHY"], 422, "NOTHING_READABLE", "None of the 1 files could be read"),
        ([b"refuse:NOT_DICOM", b"refuse:EMPTY_FILE"], 422, "NOTHING_READABLE", "None of the 2"),
        ([b"E-1|L CC", b"E-2|L CC"], 422, "MIXED_EXAMS", "send one exam a request"),
        ([b"x" * (3 * 2**20)], 413, "TOO_LARGE", "File 1 is above the limit of 2 MB"),
        ([b"x" * 2**21] * 3, 413, "TOO_LARGE", "The request is above the limit of 5 MB"),
        ([b"crash"], 500, "INTERNAL", "it was logged"),
    ],
)
def test_refusals(
    client: TestClient, settings: Settings, files: list[bytes], status: int, code: str, detail: str
) -> None:
    answer = post(client, *files)
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert detail in body["detail"]
    refused = [one["code"] for one in body.get("refused", [])]
    assert refused == [data.split(b":")[1].decode() for data in files if b":" in data]
    assert rows(settings) == 0


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("application/dicom", b"E-1|L CC", 200, None),
        ("application/octet-stream", b"E-1|L CC", 200, None),
        ("application/dicom", b"", 400, "EMPTY_REQUEST"),
        ("application/dicom", b"x" * (3 * 2**20), 413, "TOO_LARGE"),
        ("image/png", b"\x89PNG", 415, "UNSUPPORTED_BODY"),
        ("application/json", b"", 400, "EMPTY_REQUEST"),
        ("multipart/form-data", b"abc", 400, "BAD_REQUEST"),
        ("multipart/form-data; boundary=x", b"abc", 400, "BAD_REQUEST"),
    ],
)
def test_bodies(client: TestClient, kind: str, body: bytes, status: int, code: str | None) -> None:
    answer = client.post("/v1/exams", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_large_body_is_not_read_to_its_end(client: TestClient) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        for _ in range(300):
            sent += 2**20
            yield b"x" * 2**20

    kind = {"content-type": "application/dicom"}
    answer = client.post("/v1/exams", content=endless(), headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
    stated = {**kind, "content-length": str(300 * 2**20)}
    answer = client.post("/v1/exams", content=b"x", headers=stated)
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


def test_outcomes_are_idempotent(client: TestClient, settings: Settings) -> None:
    post(client, *FOUR)
    first = client.post("/v1/outcomes", json=OUTCOME).json()
    assert first == {"received": 1, "new": 1, "repeated": 0, "exams_unknown": 0}
    several = [OUTCOME, OUTCOME | {"exam": "E-9", "laterality": "L", "cancer": False}]
    second = client.post("/v1/outcomes", json=several).json()
    assert second == {"received": 2, "new": 1, "repeated": 1, "exams_unknown": 1}
    stored = PredictionLog(settings.log_url).outcomes()
    assert stored["known_at"].iloc[0].isoformat() == "2026-03-01T08:00:00+00:00"
    assert client.post("/v1/outcomes", json=[]).json()["received"] == 0


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({k: v for k, v in OUTCOME.items() if k != "known_at"}, "known_at: Field required"),
        (OUTCOME | {"known_at": 1700000000}, "ISO 8601"),
        (OUTCOME | {"known_at": "1700000000"}, "ISO 8601"),
        (OUTCOME | {"known_at": "-100"}, "ISO 8601"),
        (OUTCOME | {"known_at": "9999-12-31"}, "known_at: Value error, a result cannot be known"),
        (OUTCOME | {"known_at": "9999-12-31T23:59:59-12:00"}, "later than now"),
        (OUTCOME | {"known_at": "2062-03-01"}, "later than now"),
        (OUTCOME | {"known_at": "0001-01-01T00:00:00+12:00"}, "before 1980-01-01"),
        (OUTCOME | {"known_at": "soon"}, "known_at: Input should be a valid datetime"),
        (OUTCOME | {"cancer": None}, "cancer: Input should be a valid boolean"),
        (OUTCOME | {"cancer": "0"}, "cancer: Input should be a valid boolean"),
        (OUTCOME | {"cancer": 1}, "cancer: Input should be a valid boolean"),
        (OUTCOME | {"exam": " "}, "exam: String should have at least 1 character"),
        (OUTCOME | {"source": "\x1f\x85"}, "source: String should match pattern"),
        (OUTCOME | {"source": "\ufeff"}, "source: String should match pattern"),
        (OUTCOME | {"laterality": "B"}, "laterality: Input should be 'L' or 'R'"),
        (OUTCOME | {"name": "Doe"}, "name: Extra inputs are not permitted"),
        ([OUTCOME, {"exam": "E-2"}], "1.cancer: Field required"),
        ([5], "0: "),
        (5, "body: "),
    ],
)
def test_malformed_outcomes(client: TestClient, settings: Settings, body: Any, detail: str) -> None:
    answer = client.post("/v1/outcomes", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "OUTCOME_INVALID")
    assert detail in answer.json()["detail"]
    assert answer.json()["detail"].endswith("Nothing was stored.")
    assert PredictionLog(settings.log_url).outcomes().empty


def test_outcomes_that_are_no_json_or_too_long(client: TestClient) -> None:
    kind = {"content-type": "application/json"}
    answer = client.post("/v1/outcomes", content=b"{", headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (422, "OUTCOME_INVALID")
    answer = client.post("/v1/outcomes", content=b'{"exam": "\xff"}', headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    answer = client.post("/v1/outcomes", content=b" " * (17 * 2**20), headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


def test_release_and_readiness(client: TestClient) -> None:
    release = client.get("/v1/release").json()
    assert (release["release"], release["bento_tag"]) == ("r-1", "screening:r-1")
    assert release["refused"] is None
    assert client.get("/readyz").json() == {"status": "ready", "release": "r-1", "refused": None}


@pytest.mark.parametrize("judged", [True, False])
def test_whether_images_can_be_found_foreign_is_told(settings: Settings, judged: bool) -> None:
    def load(directory: Path) -> FakeScreener:
        screener = load_fake(directory)
        screener.familiarity_judged = judged
        return screener

    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load)) as client:
        answer = post(client, *FOUR).json()
        exam = f"/v1/exams/{answer['exam']}"
        told = [answer, client.get(exam).json(), client.get("/v1/release").json()]
        assert [one["familiarity_judged"] for one in told] == [judged] * 3
        forget(settings.results_dir)
        assert client.get(exam).json()["familiarity_judged"] is None, "the log does not have it"


def test_without_release_it_lives_and_is_not_ready(settings: Settings) -> None:
    with open_client(create_app(settings, load=load_fake)) as client:
        assert client.get("/healthz").status_code == 200
        for answer in (client.get("/readyz"), client.get("/v1/release"), post(client, *FOUR)):
            assert (answer.status_code, answer.json()["code"]) == (503, "NOT_READY")
        point_to(settings, "r-7")
        deadline = time.monotonic() + 10
        while client.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/readyz").json()["release"] == "r-7"


def test_refused_release_is_told_with_its_reason(settings: Settings) -> None:
    point_to(settings, "r-bad")
    with open_client(create_app(settings, load=load_fake)) as client:
        body = client.get("/readyz").json()
        assert body["code"] == "NOT_READY"
        assert body["refused"]["code"] == "PARITY"
        assert "golden image" in body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/v2", 404, "HTTP_404"), ("PUT", "/v1/exams", 405, "HTTP_405")],
)
def test_other_errors_are_problems_too(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("allow") == ("GET, POST" if status == 405 else None)


def test_a_made_up_method_makes_no_series(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mammo.service")
    for number in range(3):
        assert client.request(f"DOE{number}", "/v1/exams").status_code == 405
    text = client.get("/metrics").text
    assert 'mammo_requests_total{method="other",route="/v1/exams",status="405"} 3.0' in text
    assert "DOE" not in text and "DOE" not in caplog.text


def test_metrics_count_without_names(client: TestClient) -> None:
    post(client, *FOUR[:1], b"refuse:FOR_PROCESSING")
    post(client, b"refuse:NOT_DICOM")
    text = client.get("/metrics").text
    for line in (
        'mammo_requests_total{method="POST",route="/v1/exams",status="200"} 1.0',
        'mammo_requests_total{method="POST",route="/v1/exams",status="422"} 1.0',
        'mammo_refusals_total{code="FOR_PROCESSING"} 1.0',
        'mammo_refusals_total{code="NOT_DICOM"} 1.0',
        'mammo_predictions_total{decision="recall",release="r-1",scanner="Phantom/A1"} 1.0',
        "mammo_service_ready 1.0",
        'mammo_stage_seconds_count{stage="log"} 1.0',
        'mammo_stage_seconds_count{stage="network"} 1.0',
        'mammo_stage_seconds_count{stage="decode"} 1.0',
        'mammo_request_duration_seconds_count{route="/v1/exams"} 2.0',
        'mammo_exam_score_bucket{le="0.7",release="r-1",scanner="Phantom/A1"} 1.0',
        'mammo_exam_score_bucket{le="0.6",release="r-1",scanner="Phantom/A1"} 0.0',
        'mammo_recall_target_ratio{release="r-1",scanner="*"} ',
        "mammo_audit_up 1.0",
    ):
        assert line in text
    assert 'mammo_release_info{bento="screening:r-1",data_version="d1"' in text
    assert "Doe" not in text


def test_files_that_cannot_be_decoded_are_counted_by_scanner(client: TestClient) -> None:
    post(client, *FOUR[:1], b"refuse:PIXELS_UNREADABLE")
    post(client, b"refuse:DECODER_CRASHED", b"refuse:FOR_PROCESSING")
    told = client.get("/metrics").text
    kept = [one for one in told.splitlines() if one.startswith("mammo_decode_failures_total")]
    assert kept == [
        'mammo_decode_failures_total{code="PIXELS_UNREADABLE",scanner="Phantom/A1"} 1.0',
        'mammo_decode_failures_total{code="DECODER_CRASHED",scanner="unknown"} 1.0',
    ]


def test_a_sender_cannot_make_up_scanners_without_end() -> None:
    few = FewNames(2)
    assert [few(name) for name in "abcbd"] == ["a", "b", "other", "b", "other"]


def test_no_name_reaches_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    post(client, *FOUR)
    post(client, b"refuse:NOT_DICOM")
    post(client, b"crash")
    client.get("/v1/exams/Doe^Jane")
    client.get("/Doe^Jane")
    ours = [one.getMessage() for one in caplog.records if one.name == "mammo.service"]
    assert any(line.startswith("POST /v1/exams 200") for line in ours)
    assert any(line.startswith("GET /v1/exams/{exam} 404") for line in ours)
    assert any("unexpected ValueError" in line for line in ours)
    assert not any("Doe" in line for line in ours)


def test_openapi_page_needs_no_internet(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http://" not in page and "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-light-32x32.png"):
        assert f"/docs/assets/{asset}" in page
        assert client.get(f"/docs/assets/{asset}").status_code == 200


def test_openapi_tells_refusals_as_problems(client: TestClient) -> None:
    for _ in range(2):
        document = client.get("/openapi.json").json()
    paths = document["paths"]
    assert {"/v1/exams", "/v1/exams/{exam}", "/v1/outcomes", "/v1/release"} <= set(paths)
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    refusals = {
        (path, status): response["content"]
        for path, methods in paths.items()
        for method in methods.values()
        for status, response in method["responses"].items()
        if not status.startswith("2")
    }
    assert ("/v1/exams", "413") in refusals
    assert ("/v1/exams/{exam}", "422") not in refusals
    # a Store Instances Response tells each object's reason, as PS3.18 has it
    others = {one for one, content in refusals.items() if content != problem}
    stow = ("/dicom-web/studies", "/dicom-web/studies/{study}")
    assert others == {(path, status) for path in stow for status in ("409", "507")}
    assert "HTTPValidationError" not in str(document)


def test_importing_and_building_touch_nothing(tmp_path: Path) -> None:
    create_app(Settings(home=tmp_path / "home", _env_file=None), load=load_fake)
    assert list(tmp_path.iterdir()) == []
