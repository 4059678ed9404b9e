"""The senders against a real archive: Orthanc by C-STORE, C-FIND, STOW-RS and QIDO-RS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from bentos.gateway.dimse_sender import echo
from bentos.gateway.outbox_attempts import Attempts
from bentos.gateway.peer import Peer
from bentos.gateway.reaching import reach
from tests.gateway.orthanc import Orthanc, require_orthanc
from tests.gateway.pacs import make_report, outbox_to, peer_at
from tests.gateway.test_outbox_sending import START, sender_to

pytestmark = [pytest.mark.slow, pytest.mark.stack]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    require_orthanc()
    with Orthanc(tmp_path_factory.mktemp("orthanc") / "server") as running:
        yield running


@pytest.fixture
def orthanc(server: Orthanc) -> Orthanc:
    server.empty()
    return server


@pytest.fixture(params=["c-store", "stow"])
def peer(request: pytest.FixtureRequest, orthanc: Orthanc) -> Peer:
    told: dict[str, Any] = {"name": "pacs", "via": request.param, "timeout_seconds": 10.0}
    if request.param == "stow":
        return Peer(receives=("report",), url=f"{orthanc.root}/dicom-web", **told)
    return peer_at(orthanc.dicom_port, ae_title="ORTHANC", **told)


def test_reports_arrive_as_they_are(orthanc: Orthanc, peer: Peer, tmp_path: Path) -> None:
    reports = [make_report("report", n) for n in range(4)]
    outbox = outbox_to(tmp_path, peer)
    outbox.put("study-1", 1, reports, now=START)
    assert sender_to(outbox, peer).step(START).sent == 4
    assert outbox.counts() == {"pacs": {"sent": 4}}
    got = orthanc.instances()
    assert {*got} == {report[2] for report in reports}
    assert len(orthanc.get("/studies")) == 1
    sent, stored = (pydicom.dcmread(BytesIO(one)) for one in (reports[0][3], got[reports[0][2]]))
    assert sent == stored


@pytest.mark.parametrize("stored", [True, False])
def test_what_was_cut_off_is_asked_for(
    orthanc: Orthanc, peer: Peer, tmp_path: Path, stored: bool
) -> None:
    report = make_report("report", 1)
    if stored:
        orthanc.client.post("/instances", content=report[3]).raise_for_status()
    outbox = outbox_to(tmp_path, peer)
    outbox.put("study-1", 1, [report], now=START)
    Attempts(outbox, "pacs").begin(1, START)  # and a kill
    step = sender_to(outbox, peer).step(START)
    assert (step.sent, step.found) == (1, int(stored))
    assert {*orthanc.instances()} == {report[2]}


def test_it_is_asked_whether_it_is_there(orthanc: Orthanc, peer: Peer) -> None:
    assert reach(peer, "MAMMO")["code"] == "REACHED"
    assert echo(peer_at(orthanc.dicom_port, ae_title="ORTHANC"), "MAMMO").arrived


def test_an_archive_that_restarts_misses_nothing(tmp_path: Path) -> None:
    require_orthanc()
    orthanc = Orthanc(tmp_path / "server")
    peer = peer_at(orthanc.dicom_port, ae_title="ORTHANC")
    outbox = outbox_to(tmp_path, peer)
    reports = [make_report("report", n) for n in range(3)]
    outbox.put("study-1", 1, reports, now=START)
    sender = sender_to(outbox, peer)
    down = sender.step(START)
    assert down.sent == 0 and down.next_at is not None
    with orthanc:
        assert sender.step(down.next_at).sent == 3
        outbox.put("study-1", 2, [make_report("report", 9)], now=START)
        assert sender.step(time.time()).sent == 1
        assert len(orthanc.instances()) == 4
