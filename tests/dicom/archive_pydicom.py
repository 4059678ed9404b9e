"""Every test file of pydicom and pydicom-data: what the reader makes of it.

``archive_pydicom.csv`` has a row a file: ``reader`` is the view and codes, or
the code of the refusal; ``pixels`` is what decoding gives when the file is taken
for a mammogram, so that the pixels of CT and MR are tested too: type, size,
codes, and the first 12 digits of the SHA-256 of the values (little-endian), or
the code of the refusal. Where the compression lost something the digest may
differ between processors; ``same_as`` names the file with the same image then,
from which no value may differ by more than 1.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation as MAMMOGRAPHY

from mammo.dicom.file import parse_file
from mammo.dicom.header import Header, check_header, read_header
from mammo.dicom.pixels import DecodedPixels, decode_pixels
from mammo.dicom.read import read_mammogram
from mammo.errors import ReadError

TABLE = Path(__file__).with_name("archive_pydicom.csv")
FOLDERS = {
    "pydicom": ("pydicom", "data/test_files"),
    "charsets": ("pydicom", "data/charset_files"),
    "pydicom-data": ("data_store", "data"),
}
"""Name in the table -> package and folder; pydicom-data is in the extra bench."""
MAX_BYTES = 2**27


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A row of the table."""

    folder: str
    file: str
    reader: str
    pixels: str
    same_as: str

    @property
    def path(self) -> Path | None:
        """Where the file is; None where its package is not installed."""
        folder = find_folder(self.folder)
        return folder / self.file if folder else None


@cache
def read_table() -> tuple[ArchiveFile, ...]:
    """Return the rows of the table."""
    with TABLE.open(newline="") as file:
        return tuple(ArchiveFile(**row) for row in csv.DictReader(file))


def find_folder(name: str) -> Path | None:
    """Return a folder of :data:`FOLDERS`, None where its package is not installed."""
    package, folder = FOLDERS[name]
    return Path(str(resources.files(package))) / folder if find_spec(package) else None


def list_files(name: str) -> list[str]:
    """Return the files of a folder as they are on disk."""
    folder = find_folder(name)
    if folder is None:
        return []
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def see_reader(data: bytes) -> str:
    """Return the view and codes, or the code of the refusal."""
    try:
        mammogram, _ = read_mammogram(data, key=b"key", site="site")
    except ReadError as error:
        return error.code
    return " ".join((str(mammogram.view), *mammogram.quality))


def decode(data: bytes) -> DecodedPixels | None:
    """Decode the pixels as if of a mammogram; None where there is no Pixel Data."""
    file = parse_file(data, MAX_BYTES)
    if file.pixel_start is None:
        return None
    header = _as_mammogram(read_header(file))
    check_header(header, file)
    return decode_pixels(file, header)


def _as_mammogram(header: Header) -> Header:
    """Return the header without what tells its kind; several frames stay several."""
    return replace(
        header,
        modality="MG",
        sop_class=str(MAMMOGRAPHY),
        intent="FOR PRESENTATION",
        synthetic=False,
        slices=False,
        raw=False,
        specimen=False,
    )


def see_pixels(data: bytes, *, lossy: bool = False) -> str:
    """Return what decoding gives, in the words of the table; without digest if ``lossy``."""
    try:
        decoded = decode(data)
    except ReadError as error:
        return error.code
    if decoded is None:
        return "none"
    values = decoded.values
    size = f"{values.dtype} {values.shape[0]}x{values.shape[1]}"
    return " ".join((size, *decoded.quality, *(() if lossy else (digest(values),))))


def digest(values: np.ndarray) -> str:
    """Return 12 hexadecimal digits for these values, whatever the machine's byte order."""
    return hashlib.sha256(values.astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()[:12]
