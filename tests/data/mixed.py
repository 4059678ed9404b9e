"""A folder as an archive sends it: several syntaxes, doubles, and files that are refused."""

from __future__ import annotations

from pathlib import Path

from ..dicom.builders import ENCODERS, make_file
from .conftest import breast, write_dicom

CT = "1.2.840.10008.5.1.4.1.1.2"
REFUSED = {
    "empty.dcm": "EMPTY_FILE",
    "picture.dcm": "NOT_DICOM",
    "cut.dcm": "DICOM_TRUNCATED",
    "ct.dcm": "NOT_MAMMOGRAPHY",
    "other.dcm": "DUPLICATE_IMAGE",
}
"""File -> code. They stand between the good ones in the order of the listing."""
GOOD = 3 + len(ENCODERS) + 2


def write_mixed(folder: Path, seed: int = 0) -> Path:
    """Write 16 files, small ones; another seed gives other images."""
    folder.mkdir(parents=True)
    for number, (syntax, _) in enumerate(ENCODERS.items(), start=seed):
        uid = f"1.2.826.0.2.{number + 1}"
        data = make_file(breast(number, 96, 64), syntax, SOPInstanceUID=uid)
        (folder / f"c{syntax.replace('.', '')}.dcm").write_bytes(data)
    for number in range(5):
        write_dicom(folder / f"{'bdfhp'[number]}.dcm", 100 + seed + number)
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "picture.dcm").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([seed]) * 500)
    write_dicom(folder / "cut.dcm", 200 + seed)
    (folder / "cut.dcm").write_bytes((folder / "cut.dcm").read_bytes()[:-5000])
    write_dicom(folder / "ct.dcm", 300 + seed, Modality="CT", SOPClassUID=CT)
    write_dicom(folder / "other.dcm", 400 + seed, SOPInstanceUID=f"1.2.826.0.1.{101 + seed}")
    return folder
