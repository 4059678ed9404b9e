"""The whole gateway: images in by C-STORE, scored by a real release, documents out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import dcmread

from bentos.gateway.alive import is_alive
from bentos.gateway.book import Book, Study
from bentos.gateway.gateway import Gateway
from bentos.gateway.ledger import Ledger
from bentos.gateway.outbox import Report
from bentos.gateway.reporting import Reporting
from mammo.client import Screening
from mammo.errors import MixedExams, StackRunning
from mammo.settings import Settings
from tests.gateway.images import OTHERS, PATIENT, STUDY, image, make_home, send, wait_for
from tests.gateway.pacs import Pacs
from tests.gateway.serving import Answering, served

FOUR = [image(number) for number in (1, 2, 3, 4)]
CAD, REPORT, MARKS = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("88.50", "88.33", "11.1"))
pytestmark = pytest.mark.slow
PEERS = """
peers:
  - name: archive
    ae_title: PACS
    host: 127.0.0.1
    port: {port}
    may_send: true
    receives: [cad, report, marks]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screening]:
    with served(Settings(home=tmp_path_factory.mktemp("s"), image_days=0, _env_file=None)) as one:
        yield one


def with_peers(settings: Settings, port: int) -> Settings:
    settings.home.mkdir(exist_ok=True)
    (settings.home / "peers.yaml").write_text(PEERS.format(port=port))
    (settings.home / "peers.yaml").chmod(0o600)
    return settings


def only(settings: Settings) -> Study:
    book = Book(settings.gateway_book)
    (line,) = book.studies().studies
    return book.study(line.study)


def test_a_study_comes_back_as_documents_and_a_late_view_as_newer_ones(
    tmp_path: Path, service: Screening
) -> None:
    pacs = Pacs()
    # a pause between two images of a sender must not end the study
    settings = with_peers(make_home(tmp_path, dicom_quiet_seconds=2.0), pacs.port)
    with Gateway(settings, service) as gateway:
        assert send(gateway.receiver.port, FOUR[:3], calling="PACS") == [0] * 3
        wait_for(lambda: len(pacs.received) == 3, 60)
        assert only(settings).line.state == "partly"
        assert send(gateway.receiver.port, FOUR[3:], calling="PACS") == [0]
        wait_for(lambda: len(pacs.received) == 6, 60)
        line = only(settings).line
        assert (line.state, line.version, line.reported) == ("scored", 2, 2)
    assert len(set(pacs.received)) == 6, "each document came once"


class Kept:
    """An outbox that only keeps what was put into it."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Report]] = []

    def put(self, study_key: str, version: int, reports: Any) -> int:
        self.reports += [(version, one) for one in reports]
        return len(reports)


@pytest.fixture
def material(
    tmp_path: Path, service: Screening
) -> Iterator[tuple[Settings, Ledger, Reporting, Kept]]:
    settings, kept = make_home(tmp_path, dicom_quiet_seconds=0.0), Kept()
    with Ledger(settings.gateway_book) as ledger:
        yield settings, ledger, Reporting(settings, ledger, kept), kept


Material = tuple[Settings, Ledger, Reporting, Kept]


def score(material: Material, files: list[bytes], service: Any) -> list[Any]:
    """Take files in, score and report; return the new documents."""
    from bentos.gateway.inbox import Inbox
    from bentos.gateway.scoring import StudyScoring

    settings, ledger, reporting, kept = material
    inbox, before = Inbox(settings), len(kept.reports)
    assert all(inbox.take(one, "PACS").is_kept for one in files)
    inbox.close()
    while StudyScoring(settings, ledger, service).step(1e10):
        reporting.step(1e10)
    return [dcmread(BytesIO(report[3])) for _, report in kept.reports[before:]]


def test_documents_are_of_the_patient_and_the_study(material: Material, service: Screening) -> None:
    documents = score(material, FOUR, service)
    assert [one.SOPClassUID for one in documents] == [CAD, REPORT, MARKS]
    assert {one.StudyInstanceUID for one in documents} == {STUDY}
    assert {str(one.PatientName) for one in documents} == {PATIENT}
    named = [report[2] for _, report in material[3].reports]
    assert [one.SOPInstanceUID for one in documents] == named


def test_the_documents_of_a_late_view_replace_those_of_before(
    material: Material, service: Screening
) -> None:
    first = score(material, FOUR[:3], service)
    second = score(material, FOUR[3:], service)
    earlier = [
        one.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        for one in second[:2]
    ]
    assert [one.ReferencedSOPInstanceUID for one in earlier] == [
        one.SOPInstanceUID for one in first[:2]
    ]


@pytest.mark.parametrize("kind", ["CT", "tomosynthesis"])
def test_what_was_left_out_is_in_the_documents(
    kind: str, material: Material, service: Screening
) -> None:
    sop_class, code = OTHERS[kind]
    cad, *_ = score(material, [*FOUR, image(5, sop_class=sop_class)], service)
    assert only(material[0]).line.code == code
    assert "Partially Succeeded" in str(cad)


def test_an_exam_that_failed_gets_documents_that_say_so(
    material: Material, service: Screening
) -> None:
    documents = score(material, FOUR, Answering(MixedExams("The files belong to 2 exams.")))
    assert {one.StudyInstanceUID for one in documents} == {STUDY}
    assert CAD in [one.SOPClassUID for one in documents]
    assert "Failed" in str(documents[0])
    assert only(material[0]).line.state == "failed"


@pytest.mark.parametrize("kind", ["CT", "report"])
def test_what_is_no_mammography_gets_no_documents(kind: str, material: Material) -> None:
    assert score(material, [image(sop_class=OTHERS[kind][0])], Answering()) == []
    line = only(material[0]).line
    assert (line.state, line.reported) == ("failed", 1)


def test_documents_that_cannot_be_written_are_an_incident(
    material: Material, service: Screening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise ValueError(PATIENT)

    monkeypatch.setattr("bentos.gateway.reporting.write", fail)
    assert score(material, FOUR, service) == []
    study = only(material[0])
    assert [one.code for one in study.incidents] == ["REPORT_FAILED"] * 3
    assert PATIENT not in str(study)


def test_one_gateway_a_home(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    with Gateway(settings, Answering()), pytest.raises(StackRunning):
        Gateway(settings, Answering()).__enter__()
    with Gateway(settings, Answering()):
        assert is_alive(settings)


@pytest.mark.stack
def test_a_killed_gateway_has_what_it_acknowledged(tmp_path: Path) -> None:
    """The process: started, sent to, killed, started again; its log names nobody."""
    from flows.servers import free_port

    settings = make_home(tmp_path, dicom_port=free_port(), service_port=1)
    environment = {
        **os.environ,
        "MAMMO_HOME": str(settings.home),
        "MAMMO_DICOM_PORT": str(settings.dicom_port),
        "MAMMO_DICOM_QUIET_SECONDS": "0.2",
        "MAMMO_SERVICE_PORT": "1",
    }
    log = tmp_path / "log"
    for number in (1, 2):
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bentos.gateway"],
                env=environment,
                stdout=output,
                stderr=output,
                cwd=Path(__file__).parents[2],
            )
        try:
            began = psutil.Process(process.pid).create_time()
            wait_for(lambda: is_alive(settings, since=began), 60)  # noqa: B023 - called at once
            assert send(settings.dicom_port, FOUR[: 2 * number]) == [0] * 2 * number
            wait_for(lambda: only(settings).line.code == "SERVICE_UNREACHABLE", 60)
        finally:
            process.send_signal(signal.SIGKILL if number == 1 else signal.SIGTERM)
            assert process.wait(30) == (-signal.SIGKILL if number == 1 else 0)
    study = only(settings)
    assert (study.line.state, study.line.images, study.line.incidents) == ("waiting", 4, 0)
    told = log.read_text()
    assert not [one for one in (STUDY, PATIENT, "secret-id", str(tmp_path)) if one in told]
