"""The documents of an exam over HTTP and by `mammo report`, and of one that failed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from fastapi.testclient import TestClient
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from bentos.gateway.book import Book
from bentos.gateway.inbox import Inbox
from bentos.gateway.ledger import Ledger
from bentos.gateway.scoring import StudyScoring
from bentos.screening.app import create_app
from flows.cli import app as command
from mammo.audit import AuditLog
from mammo.errors import NothingReadable
from mammo.kept_result import KeptResult
from mammo.prediction_log import PredictionLog
from mammo.reports import KINDS, ReportMaterial, write
from mammo.settings import Settings
from tests.bentos.conftest import load_fake, open_client, point_to
from tests.gateway.serving import Answering
from tests.prediction_log.rows import scoring
from tests.reports.materials import as_bytes

pytest.importorskip("highdicom", reason="highdicom comes with the extra serve")
pytestmark = pytest.mark.slow
LATER = 1e10


@pytest.fixture
def settings(tmp_path: Path, scored: KeptResult, scored_folder: Path) -> Settings:
    """A home where one exam was scored, by request q-1."""
    made = Settings(home=tmp_path / "home", image_days=0, _env_file=None)
    shutil.copytree(scored_folder / "results", made.results_dir, symlinks=True)
    PredictionLog(made.log_url).create().append_scoring(scored.request_id, scoring(scored.exam_id))
    return made


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_fake)) as client:
        yield client


def fail_over_dicom(settings: Settings, images: list[Dataset], steps: int = 1) -> str:
    """Let a study come in by C-STORE and the service refuse it; return its key."""
    inbox, ledger = Inbox(settings), Ledger(settings.gateway_book)
    for one in images:
        assert inbox.take(as_bytes(one), "SENDER").is_kept
    service: Any = Answering(NothingReadable("None of the 4 files could be read."))
    for _ in range(steps):
        StudyScoring(settings, ledger, service).step(LATER)
    inbox.close()
    ledger.close()
    return Book(settings.gateway_book).studies().studies[0].study


def ask(client: TestClient, exam: str, kind: str, **query: str) -> Any:
    return client.get(f"/v1/exams/{exam}/{kind}.dcm", params=query)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_each_document_is_given_and_noted(
    client: TestClient, settings: Settings, scored: KeptResult
) -> None:
    for kind in KINDS:
        answer = ask(client, scored.exam_id, kind)
        assert answer.headers["content-type"] == "application/dicom", answer.text
        assert answer.content == write(kind, ReportMaterial.of_kept(scored))
        assert ask(client, scored.exam_id, kind, request="q-1").content == answer.content
    noted = [one["action"] for one in AuditLog(settings.audit_path).entries()]
    assert [one for one in noted if one in {*KINDS}] == [k for k in KINDS for _ in range(2)]


def test_what_is_not_there_has_a_code(client: TestClient, scored: KeptResult) -> None:
    assert code(ask(client, "E-0", "cad")) == (404, "EXAM_UNKNOWN")
    assert code(ask(client, "E-0", "cad", request="q-1")) == (404, "EXAM_UNKNOWN")
    assert code(ask(client, scored.exam_id, "cad", request="q-0")) == (404, "RESULT_UNKNOWN")
    assert ask(client, scored.exam_id, "heat").status_code == 404


def test_an_exam_that_failed_has_documents_that_say_so(
    client: TestClient, settings: Settings, original: list[Dataset]
) -> None:
    exam = fail_over_dicom(settings, original)
    for kind in KINDS:
        answer = ask(client, exam, kind)
        assert answer.status_code == 200, answer.text
        told = pydicom.dcmread(BytesIO(answer.content))
        assert told.StudyInstanceUID == original[0].StudyInstanceUID
        assert b"NOTHING_READABLE" in answer.content
        assert ask(client, exam, kind).content == answer.content


def test_an_exam_that_waits_or_lost_its_images_says_which(
    client: TestClient, settings: Settings, original: list[Dataset]
) -> None:
    exam = fail_over_dicom(settings, original, steps=0)
    waiting = ask(client, exam, "cad")
    assert code(waiting) == (404, "EXAM_NOT_SCORED")
    assert "is receiving" in waiting.json()["detail"]
    assert fail_over_dicom(settings, []) == exam
    shutil.rmtree(settings.gateway_dir / "inbox")
    gone = ask(client, exam, "cad")
    assert code(gone) == (404, "EXAM_NOT_SCORED")
    assert "NOTHING_READABLE" in gone.json()["detail"]


def test_a_job_that_failed_says_why(client: TestClient) -> None:
    files = [("files", ("1.dcm", b"refuse:NOT_MAMMOGRAPHY"))]
    job = client.post("/v1/exams", files=files, headers={"Prefer": "respond-async"}).json()["id"]
    while client.get(f"/v1/jobs/{job}").json()["status"] not in ("done", "failed"):
        client.get("/livez")
    answer = ask(client, "E-0", "report", request=job)
    assert code(answer) == (404, "EXAM_NOT_SCORED")
    assert "NOTHING_READABLE" in answer.json()["detail"]


def test_the_command_writes_the_same_file(
    settings: Settings, scored: KeptResult, original: list[Dataset], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    file = tmp_path / "marks.dcm"
    done = CliRunner().invoke(
        command, ["report", scored.exam_id, "--kind", "marks", "--to", str(file)]
    )
    assert done.exit_code == 0, done.output
    assert file.read_bytes() == write("marks", ReportMaterial.of_kept(scored))
    exam = fail_over_dicom(settings, original)
    done = CliRunner().invoke(command, ["report", exam, "--to", str(file)])
    assert done.exit_code == 0 and b"NOTHING_READABLE" in file.read_bytes()
    unknown = CliRunner().invoke(command, ["report", "E-0", "--to", str(file)])
    assert unknown.exit_code != 0 and "RESULT_UNKNOWN" in unknown.output
