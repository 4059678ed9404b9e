"""The Python client: what it sends, when it asks again, and which errors come out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from mammo import errors
from mammo.client import Screening
from mammo.client_transport import RemoteError
from mammo.contract import OutcomeIn, ScoredExam
from mammo.exam import Laterality, Outcome

EXAM: dict[str, Any] = {
    "exam": "E-1",
    "release": "r-1",
    "scanner": "Phantom/A1",
    "site": "site-1",
    "score": 0.25,
    "logit": -1.1,
    "decision": "no recall",
    "threshold": 0.5,
    "breasts": [{"laterality": "L", "logit": -1.1, "probability": 0.25, "recall": False}],
    "views": [
        {"image_id": "I-1", "laterality": "L", "view": "CC", "logit": -1.1, "quality": []},
    ],
    "quality": ["FILE_REFUSED"],
    "refused": [{"position": 2, "file": "2.dcm", "code": "NOT_DICOM", "message": "no"}],
    "scored_at": "2026-03-01T09:00:00Z",
    "latency_ms": 12.5,
}
Answer = httpx.Response | Exception


def problem(status: int, code: str, detail: str = "told why", **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"type": f"urn:mammo:error:{code}", "title": code, "status": status, "code": code}
    return httpx.Response(status, json=body | {"detail": detail} | more, headers=headers)


class Far:
    """The far side: gives the answers in turn, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


@pytest.fixture
def ask(pauses: list[float]) -> Iterator[Callable[..., tuple[Screening, Far]]]:
    opened: list[Screening] = []

    def build(*answers: Answer, **given: Any) -> tuple[Screening, Far]:
        far = Far(*answers)
        opened.append(
            Screening("http://127.0.0.1:3000/", transport=httpx.MockTransport(far), **given)
        )
        return opened[-1], far

    yield build
    for one in opened:
        one.close()


def test_an_exam_is_sent_without_its_file_names(ask: Any, tmp_path: Path) -> None:
    files = [tmp_path / "Doe_Jane_L_CC.dcm", tmp_path / "Doe_Jane_1970.dcm"]
    for file in files:
        file.write_bytes(b"\0" * 128 + b"DICM")
    service, far = ask(httpx.Response(200, json=EXAM), token="mammo_secret")
    exam = service.score(files)
    assert isinstance(exam, ScoredExam) and (exam.exam, exam.score) == ("E-1", 0.25)
    assert exam.scale is exam.abstention is None, "an older service did not tell them"
    assert exam.views[0].findings == []
    assert [one.file for one in exam.refused] == ["Doe_Jane_1970.dcm"]
    sent = far.asked[0]
    assert (sent.method, sent.url.path) == ("POST", "/v1/exams")
    assert sent.headers["authorization"] == "Bearer mammo_secret"
    assert b"Doe" not in sent.content and b"1970" not in sent.content
    assert re.findall(rb'filename="([^"]+)"', sent.content) == [b"1.dcm", b"2.dcm"]


def test_a_zip_is_sent_as_one(ask: Any) -> None:
    service, far = ask(httpx.Response(200, json=EXAM))
    service.score([b"PK\x03\x04rest"])
    assert b'filename="1.zip"\r\nContent-Type: application/zip' in far.asked[0].content


@pytest.mark.parametrize(
    "first",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("closed"),
        problem(503, "OVERLOADED"),
        problem(429, "TOO_MANY"),
        httpx.Response(502, text="<html>bad gateway</html>"),
    ],
    ids=lambda one: getattr(one, "status_code", type(one).__name__),
)
def test_a_broken_request_is_sent_again_under_the_same_key(
    ask: Any, pauses: list[float], first: Answer
) -> None:
    service, far = ask(first, first, httpx.Response(200, json=EXAM))
    assert service.score([b"x"]).exam == "E-1"
    keys = [one.headers["idempotency-key"] for one in far.asked]
    assert len(keys) == 3 and len(set(keys)) == 1
    assert 0.1 < pauses[0] <= 0.25 < 2 * pauses[1] <= 1.0
    service, far = ask(*[httpx.Response(200, json=EXAM)] * 3)
    service.score([b"x"])
    service.score([b"x"], key="mine")
    assert far.asked[0].headers["idempotency-key"] != keys[0]
    assert far.asked[1].headers["idempotency-key"] == "mine"


def test_retry_after_is_kept_to(ask: Any, pauses: list[float]) -> None:
    busy = problem(503, "OVERLOADED", headers={"Retry-After": "7"})
    service, _ = ask(busy, httpx.Response(200, json=EXAM))
    service.score([b"x"])
    assert pauses == [7.0]


def test_a_wait_longer_than_allowed_is_not_begun(ask: Any, pauses: list[float]) -> None:
    busy = problem(503, "OVERLOADED", "come later", headers={"Retry-After": "600"})
    service, far = ask(busy)
    with pytest.raises(errors.Overloaded, match="come later") as refusal:
        service.score([b"x"])
    assert refusal.value.retry_after_seconds == 600
    assert (len(far.asked), pauses) == (1, [])


@pytest.mark.parametrize("tries", [1, 3])
def test_tries_are_bounded(ask: Any, pauses: list[float], tries: int) -> None:
    service, far = ask(*[httpx.ConnectError("no")] * 9, tries=tries)
    with pytest.raises(errors.ServiceUnreachable, match=f"after {tries} tries: ConnectError") as it:
        service.release()
    assert (len(far.asked), len(pauses)) == (tries, tries - 1)
    assert it.value.code == "SERVICE_UNREACHABLE"


@pytest.mark.parametrize(
    ("answer", "kind", "code", "status", "text"),
    [
        (problem(422, "MIXED_EXAMS"), errors.MixedExams, "MIXED_EXAMS", 422, "told why"),
        (problem(401, "TOKEN_INVALID"), errors.TokenInvalid, "TOKEN_INVALID", 401, "told why"),
        (problem(507, "DISK_FULL"), errors.DiskFull, "DISK_FULL", 507, "told why"),
        (problem(500, "INTERNAL"), errors.MammoError, "INTERNAL", 500, "told why"),
        (problem(418, "TEAPOT"), RemoteError, "TEAPOT", 418, "told why"),
        (problem(400, "MIXED_EXAMS"), RemoteError, "MIXED_EXAMS", 400, "told why"),
        (
            problem(504, "DEADLINE_EXCEEDED"),
            errors.DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            504,
            "told",
        ),
        (
            httpx.Response(500, text="<html>"),
            errors.AnswerUnreadable,
            "ANSWER_UNREADABLE",
            502,
            "answered 500 without saying why",
        ),
        (
            httpx.Response(302, headers={"Location": "https://evil.example/"}),
            errors.AnswerUnreadable,
            "ANSWER_UNREADABLE",
            502,
            "answered 302",
        ),
        (
            httpx.Response(200, text="<html>Login</html>"),
            errors.AnswerUnreadable,
            "ANSWER_UNREADABLE",
            502,
            "is not this service's or of another version",
        ),
        (
            httpx.Response(200, json=EXAM | {"score": 7}),
            errors.AnswerUnreadable,
            "ANSWER_UNREADABLE",
            502,
            "score does not fit",
        ),
    ],
)
def test_a_refusal_is_an_error_of_its_code_and_is_not_repeated(
    ask: Any, answer: httpx.Response, kind: type[Exception], code: str, status: int, text: str
) -> None:
    service, far = ask(answer)
    with pytest.raises(kind, match=text) as refusal:
        service.score([b"x"])
    assert isinstance(refusal.value, errors.MammoError)
    assert (refusal.value.code, refusal.value.http_status) == (code, status)
    assert len(far.asked) == 1


def test_refused_files_come_with_the_error(ask: Any) -> None:
    refused = [{"position": 1, "file": "1.dcm", "code": "NOT_DICOM", "message": "a PNG"}]
    service, _ = ask(problem(422, "NOTHING_READABLE", refused=refused))
    with pytest.raises(errors.NothingReadable) as refusal:
        service.score([b"x"])
    assert [one.code for one in refusal.value.refused] == ["NOT_DICOM"]


def test_a_job_is_waited_for(ask: Any, pauses: list[float]) -> None:
    job = {"id": "0a", "status": "queued", "links": {"self": "/v1/jobs/0a"}}
    service, far = ask(
        httpx.Response(202, json=job, headers={"Location": "/v1/jobs/0a"}),
        httpx.Response(200, json=job),
        httpx.Response(200, json=job | {"status": "running"}, headers={"Retry-After": "3"}),
        httpx.Response(200, json=job | {"status": "done", "exam": EXAM}),
    )
    submitted = service.submit([b"x"])
    assert far.asked[0].headers["prefer"] == "respond-async"
    assert service.wait(submitted).score == 0.25
    assert [one.url.path for one in far.asked[1:]] == ["/v1/jobs/0a"] * 3
    assert pauses == [0.25, 3.0]


@pytest.mark.parametrize(
    ("end", "kind", "text"),
    [
        ({"status": "failed", "problem": problem(422, "NO_BREAST_FOUND").json()},
         errors.NoBreastFound, "told why"),
        ({"status": "done"}, errors.ResultUnknown, "no longer kept"),
        ({"status": "running"}, errors.DeadlineExceeded, "is running after 0 s of waiting"),
    ],
)  # fmt: skip
def test_how_a_job_can_end_badly(
    ask: Any, end: dict[str, Any], kind: type[Exception], text: str
) -> None:
    service, _ = ask(httpx.Response(200, json={"id": "0a"} | end))
    with pytest.raises(kind, match=text):
        service.wait("0a", timeout=0)


def test_what_is_asked_of_an_exam(ask: Any) -> None:
    logged = {k: v for k, v in EXAM.items() if k not in ("views", "refused")}
    findings = {"exam": "E-1", "release": "r-1", "views": []}
    service, far = ask(
        httpx.Response(200, json=logged | {"times_scored": 2}),
        httpx.Response(200, json=findings),
        httpx.Response(200, content=b"\x89PNG"),
        httpx.Response(200, content=b"\0DICM"),
        problem(404, "EXAM_UNKNOWN"),
    )
    assert service.exam("E-1").times_scored == 2
    assert service.findings("E-1").views == []
    assert service.heatmap("E-1") == b"\x89PNG"
    assert service.report("E-1") == b"\0DICM"
    with pytest.raises(errors.ExamUnknown):
        service.exam("../v1/release?x=/")
    asked = [one.url.raw_path.decode() for one in far.asked]
    assert asked == [
        "/v1/exams/E-1",
        "/v1/exams/E-1/findings",
        "/v1/exams/E-1/heatmap.png",
        "/v1/exams/E-1/report.dcm",
        "/v1/exams/..%2Fv1%2Frelease%3Fx%3D%2F",
    ]


def test_outcomes_are_told(ask: Any) -> None:
    counts = {"received": 2, "new": 2, "repeated": 0, "exams_unknown": 1}
    service, far = ask(httpx.Response(200, json=counts))
    known_at = datetime(2026, 3, 1, tzinfo=UTC)
    told = service.add_outcomes(
        [
            Outcome("E-1", True, known_at, "pathology", Laterality.LEFT),
            OutcomeIn(exam="E-2", cancer=False, known_at=known_at, source="registry"),
        ]
    )
    assert told.exams_unknown == 1
    assert httpx.Response(200, content=far.asked[0].content).json() == [
        {"exam": "E-1", "cancer": True, "known_at": "2026-03-01T00:00:00Z",
         "source": "pathology", "laterality": "L"},
        {"exam": "E-2", "cancer": False, "known_at": "2026-03-01T00:00:00Z",
         "source": "registry", "laterality": None},
    ]  # fmt: skip
