"""The archive source against a real archive: Orthanc with its DICOMweb plugin."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydantic import SecretStr

from flows.servers import free_port
from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.data.sources.dicomweb import fetch_new, remove_ingested, spool_of
from mammo.errors import ArchiveUnreachable
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.stack]

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "mammo", "orthanc-secret-1"
ROOT = Path(__file__).parents[2]
CONFIG = PreprocessConfig(height=64, width=32)
MakeDicom = Callable[..., Path]


class Orthanc:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        folder.mkdir()
        told = {
            "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(PLUGIN)], "HttpPort": self.port, "DicomServerEnabled": False,
            "RemoteAccessAllowed": False, "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(told))
        self.log = (folder / "log.txt").open("w")
        self.process = subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")], stdout=self.log, stderr=subprocess.STDOUT
        )
        self.root = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.root, auth=(USER, PASSWORD), timeout=30)
        deadline = time.monotonic() + 60
        while not self.is_up():
            assert time.monotonic() < deadline, (folder / "log.txt").read_text()[-2000:]
            time.sleep(0.1)

    def is_up(self) -> bool:
        try:
            return self.client.get("/system").status_code == 200
        except httpx.TransportError:
            return False

    def store(self, path: Path) -> None:
        self.client.post("/instances", content=path.read_bytes()).raise_for_status()

    def empty(self) -> None:
        for one in self.client.get("/patients").json():
            self.client.delete(f"/patients/{one}").raise_for_status()

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip("orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    running = Orthanc(tmp_path_factory.mktemp("orthanc") / "server")
    yield running
    running.stop()


@pytest.fixture
def orthanc(server: Orthanc) -> Orthanc:
    server.empty()
    return server


@pytest.fixture
def settings(orthanc: Orthanc, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home", _env_file=None, dicomweb_url=f"{orthanc.root}/dicom-web",
        dicomweb_user=USER, dicomweb_password=SecretStr(PASSWORD),
    )  # fmt: skip


@pytest.fixture
def send(orthanc: Orthanc, tmp_path: Path, make_dicom: MakeDicom) -> Callable[..., str]:
    """Store one mammogram of a study and day; return its SOP Instance UID."""

    def do(seed: int, study: int, day: str, **tags: Any) -> str:
        told = {"StudyInstanceUID": f"1.2.3.{study}", "SeriesInstanceUID": f"1.2.3.{study}.1"}
        told |= {"PatientID": f"Geheim-{study}", "PatientName": "Geheim^Anna", "StudyDate": day}
        path = make_dicom(tmp_path / "sent" / f"{seed}.dcm", seed, **(told | tags))
        orthanc.store(path)
        return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)

    return do


def spooled(settings: Settings) -> list[str]:
    files = sorted(spool_of(settings).glob("??/*.dcm"))
    return sorted(pydicom.dcmread(path).SOPInstanceUID for path in files)


def test_what_is_new_comes_once(settings: Settings, send: Callable[..., str]) -> None:
    uids = [send(n, n // 2, f"2024010{1 + n // 2}") for n in range(6)]
    send(90, 9, "20240105", Modality="CT", SeriesInstanceUID="1.2.3.9.9")
    first = fetch_new(settings)
    assert (first.studies, first.fetched, first.watermark) == (3, 6, date(2024, 1, 3))
    assert spooled(settings) == sorted(uids)
    again = fetch_new(settings)
    assert (again.fetched, again.known, again.failed) == (0, 0, {})
    late = send(70, 7, "20231229")  # arrived late, dated within the overlap
    added = send(71, 0, "20240101")  # a further image of a study that was fetched
    older = send(72, 8, "20230601")  # before the overlap
    second = fetch_new(settings)
    assert (second.fetched, second.watermark) == (2, date(2024, 1, 3))
    assert spooled(settings) == sorted([*uids, late, added])
    third = fetch_new(settings, since=date(2023, 1, 1))
    assert (third.fetched, third.watermark) == (1, date(2024, 1, 3))
    assert older in spooled(settings)


def test_bytes_are_as_stored_whatever_the_syntax(
    settings: Settings, orthanc: Orthanc, tmp_path: Path, send: Callable[..., str]
) -> None:
    send(5, 1, "20240101")
    source = tmp_path / "sent" / "5.dcm"
    dataset = pydicom.dcmread(source)
    dataset.compress(pydicom.uid.RLELossless)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.999"
    dataset.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    orthanc.store(tmp_path / "rle.dcm")
    assert fetch_new(settings).fetched == 2
    got = {path.read_bytes() for path in spool_of(settings).glob("??/*.dcm")}
    assert got == {source.read_bytes(), (tmp_path / "rle.dcm").read_bytes()}


def test_many_studies_come_by_pages(
    settings: Settings, send: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammo.data.sources.dicomweb_archive.PAGE", 2)
    for n in range(7):
        send(n, n, "20240101")
    for n in range(10, 15):
        send(n, 10, "20240101", SeriesInstanceUID=f"1.2.3.10.{n}")
        send(n + 10, 10, "20240101", SeriesInstanceUID="1.2.3.10.9")
    assert fetch_new(settings).fetched == 17


def test_fetched_files_are_ingested_and_cleared(
    settings: Settings, send: Callable[..., str]
) -> None:
    for n in range(3):
        send(n, n, "20240101")
    send(3, 3, "20240101", PresentationIntentType="FOR PROCESSING")
    fetch_new(settings)
    report = ingest("dicomweb", spool_of(settings), settings, CONFIG, processes=0)
    assert (report.added, [one.code for one in report.quarantined]) == (3, ["FOR_PROCESSING"])
    assert set(read_index(settings.index_path)["source"]) == {"dicomweb"}
    assert remove_ingested(settings) == 4
    assert spooled(settings) == []
    assert fetch_new(settings).fetched == 0


@pytest.mark.parametrize(
    ("user", "password"), [(None, None), (USER, "wrong"), ("nobody", PASSWORD)]
)
def test_a_wrong_account_is_not_let_in(
    settings: Settings, user: str | None, password: str | None
) -> None:
    given = {"dicomweb_user": user, "dicomweb_password": SecretStr(password or "")}
    with pytest.raises(ArchiveUnreachable, match=r"status 401.*MAMMO_DICOMWEB_TOKEN") as caught:
        fetch_new(settings.model_copy(update=given))
    assert PASSWORD not in caught.value.message


def test_no_name_or_identifier_is_logged_or_kept(
    settings: Settings, send: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    uid = send(1, 1, "20240101")
    report = fetch_new(settings)
    kept = [p for p in spool_of(settings).rglob("*") if p.is_file() and p.suffix != ".dcm"]
    names = " ".join(str(path) for path in spool_of(settings).rglob("*"))
    told = caplog.text + names + json.dumps(report.to_dict())
    told += "".join(path.read_bytes().decode("latin-1") for path in kept)
    assert len(kept) >= 2
    assert not [word for word in ("Geheim", "1.2.3.1", uid, PASSWORD) if word in told]
    assert spool_of(settings).stat().st_mode & 0o077 == 0


CHILD = """
import sys; sys.path.insert(0, {root!r})
from pydantic import SecretStr
from mammo.data.sources.dicomweb import fetch_new
from mammo.settings import Settings
fetch_new(Settings(home={home!r}, _env_file=None, dicomweb_url={url!r}, dicomweb_user={user!r},
                   dicomweb_password=SecretStr({password!r})))
"""


def test_kill_9_anywhere_loses_and_doubles_nothing(
    settings: Settings, send: Callable[..., str]
) -> None:
    uids = sorted(send(n, n // 4, f"202401{1 + n // 4:02}") for n in range(40))
    code = CHILD.format(
        root=str(ROOT), home=str(settings.home), url=settings.dicomweb_url, user=USER,
        password=PASSWORD,
    )  # fmt: skip
    killed = 0
    for count in range(3, 40, 6):
        child = subprocess.Popen([sys.executable, "-c", code])
        while child.poll() is None and len(list(spool_of(settings).glob("??/*.dcm"))) < count:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        assert set(spooled(settings)) <= set(uids)  # each can be read whole
    assert killed >= 3
    fetch_new(settings)
    assert spooled(settings) == uids
    assert fetch_new(settings).fetched == 0
