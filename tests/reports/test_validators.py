"""What dciodvfy, PixelMed and DCMTK say of the documents, of every state of an exam."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset

from mammo.reports import KINDS, ReportMaterial, write
from tests.reports.materials import INVERTED, as_bytes, replace_look

pytest.importorskip("highdicom", reason="highdicom comes with the extra serve")
pytestmark = pytest.mark.slow
JARS = Path("/usr/share/java")
PIXELMED = (
    "pixelmed", "commons-codec", "vecmath", "hsqldb", "jaxb-api", "slf4j-api", "javax.json",
)  # fmt: skip
UNLIMITED = [f"-Djdk.xml.xpath{one}Limit=0" for one in ("TotalOp", "ExprOp", "ExprGrp")]
NO_LATERALITY = "</Laterality(0020,0060)> - is only permitted to be empty when actually unknown"
"""Of a presentation state for both breasts: the element is required and has no value for both."""
STATES = (
    "scored", "recalled", "no findings", "no places", "partly", "missing view", "from the log",
    "MONOCHROME1", "failed", "not attempted", "two sources",
)  # fmt: skip


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
@pytest.mark.parametrize("state", STATES)
def test_dciodvfy_finds_no_error(
    materials: dict[str, ReportMaterial], state: str, tmp_path: Path
) -> None:
    names = ("MammographyCADSR", "ComprehensiveSR", "GrayscaleSoftcopyPresentationState")
    for kind, name in zip(KINDS, names, strict=True):
        path = tmp_path / f"{kind}.dcm"
        path.write_bytes(write(kind, materials[state]))
        said = run("dciodvfy", "-new", str(path))
        assert name in said and "Error" not in said, said
        warned = [one for one in said.splitlines() if one.startswith("Warning")]
        assert all("99MAMMO" in one or NO_LATERALITY in one for one in warned), said


@pytest.mark.skipif(not (JARS / "pixelmed.jar").is_file(), reason="PixelMed is not installed")
@pytest.mark.skipif(shutil.which("java") is None, reason="java is not installed")
@pytest.mark.parametrize(
    ("state", "kind", "name"),
    [
        ("partly", "cad", "MammographyCADSR"),
        ("failed", "cad", "MammographyCADSR"),
        ("partly", "report", "ComprehensiveSR"),
    ],
)
def test_pixelmed_finds_no_error(
    materials: dict[str, ReportMaterial], state: str, kind: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / "document.dcm").write_bytes(write(kind, materials[state]))
    said = validate(tmp_path / "document.dcm")
    assert f"Found {name} IOD" in said and "IOD validation complete" in said
    wrong = [one for one in said.splitlines() if one.startswith("Error") or "illegal" in one]
    assert not wrong, "\n".join(wrong)


def validate(path: Path) -> str:
    """Return what DicomSRValidator says of a structured report."""
    classes = ":".join(str(JARS / f"{one}.jar") for one in PIXELMED)
    quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    main = "com.pixelmed.validate.DicomSRValidator"
    return run("java", *quick, *UNLIMITED, "-cp", classes, main, str(path))


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize("state", STATES)
def test_dcmtk_prints_the_whole_tree(
    materials: dict[str, ReportMaterial], state: str, tmp_path: Path
) -> None:
    path = tmp_path / "cad.dcm"
    path.write_bytes(write("cad", materials[state]))
    said = run("dsrdump", str(path))
    assert "Mammography CAD" in said and "Summary of Analyses" in said
    assert not [one for one in said.splitlines() if one.startswith(("E:", "F:"))], said


@pytest.mark.skipif(shutil.which("dcmp2pgm") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize(("state", "look"), [("scored", {}), ("MONOCHROME1", INVERTED)])
def test_dcmtk_shows_an_image_under_its_marks_as_without_them(
    materials: dict[str, ReportMaterial],
    original: list[Dataset],
    state: str,
    look: dict[str, str],
    tmp_path: Path,
) -> None:
    image, marks = tmp_path / "image.dcm", tmp_path / "marks.dcm"
    image.write_bytes(as_bytes(replace_look(original[0], **look)))
    marks.write_bytes(write("marks", materials[state]))
    said = run("dcmp2pgm", "-v", "-p", str(marks), str(image), str(tmp_path / "marked.pgm"))
    assert "no recall" in said and "type=polyline filled=no units=pixel" in said, said
    run("dcm2pnm", "+Wi", "1", str(image), str(tmp_path / "plain.pgm"))
    shown = [cv2.imread(str(tmp_path / f"{one}.pgm"), -1) for one in ("marked", "plain")]
    assert shown[0].shape == (original[0].Rows, original[0].Columns)
    np.testing.assert_array_equal(*shown)
