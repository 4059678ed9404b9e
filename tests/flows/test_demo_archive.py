"""The demo's archive over real DICOM: what it is sent, and what it says where nobody answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE

from bentos.gateway.peers import Peers
from flows.demo_archive import AE_TITLE, Archive, round_trip, write_peers
from flows.servers import free_port
from mammo.errors import StackUnhealthy
from mammo.settings import Settings


def test_a_report_that_is_sent_lies_on_the_disk_whole(tmp_path: Path) -> None:
    report = dcmread(get_testdata_file("reportsi.dcm"))
    archive, entity = Archive(tmp_path / "reports"), AE("MAMMO")
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.50"  # Mammography CAD SR
    entity.add_requested_context(report.SOPClassUID)
    try:
        link = entity.associate("127.0.0.1", archive.port, ae_title=AE_TITLE)
        assert link.send_c_store(report).Status == 0x0000
        link.release()
    finally:
        archive.close()
    assert set(archive.reports) == {"cad"}
    assert dcmread(archive.reports["cad"]).ContentSequence == report.ContentSequence


def test_the_gateway_knows_the_archive(tmp_path: Path) -> None:
    settings, archive = Settings(home=tmp_path, _env_file=None), Archive(tmp_path / "reports")
    try:
        write_peers(settings, archive)
        peers = Peers.read(settings.home / "peers.yaml")
    finally:
        archive.close()
    assert peers.may_store(AE_TITLE, "127.0.0.1")
    assert [one.name for kind in ("cad", "report", "marks") for one in peers.destinations(kind)]


def test_a_gateway_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, dicom_port=free_port(), _env_file=None)
    archive = Archive(tmp_path / "reports")
    image = Path(str(get_testdata_file("CT_small.dcm")))
    try:
        with pytest.raises(StackUnhealthy, match="did not answer"):
            round_trip(settings, archive, [image], 5.0)
    finally:
        archive.close()
