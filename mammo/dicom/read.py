"""One DICOM file in, one Mammogram and its stored pixels out.

What leaves here is pseudonymous: ids are keyed hashes, dates stay (the drift of
a scanner is a matter of days), the birth date becomes an age, and nothing else
of the header goes further.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from mammo.dicom.deidentify import pseudonym
from mammo.dicom.file import DicomFile, parse_file
from mammo.dicom.header import Header, check_header, read_header
from mammo.dicom.image import StoredImage
from mammo.dicom.pixels import decode_pixels
from mammo.dicom.tags import Tags
from mammo.dicom.views import FoundView, find_view
from mammo.dicom.voi import Presentation, apply_modality_lut, read_presentation
from mammo.errors import SourceNotFound, TooLarge
from mammo.exam import Mammogram, Scanner

MAX_BYTES = 200 * 2**20
CBIS_PATIENT = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d{5})_(?:LEFT|RIGHT)_(?:CC|MLO)")
"""Patient ID of CBIS-DDSM: one for each image, with the patient inside."""


@dataclass(frozen=True, eq=False)
class ReadFile:
    """A checked file whose pixels are not decoded yet."""

    file: DicomFile
    header: Header
    found: FoundView
    presentation: Presentation
    mammogram: Mammogram


def read_mammogram(
    source: Path | bytes, *, key: bytes, site: str, max_bytes: int = MAX_BYTES
) -> tuple[Mammogram, StoredImage]:
    """Read header and pixels of one DICOM file.

    ``key`` is the site's secret for pseudonyms. Raises what
    :func:`read_mammogram_header` raises, and ``PixelsUnreadable`` or
    ``DicomTruncated`` for the pixels.
    """
    read = read_file(source, key=key, site=site, max_bytes=max_bytes)
    return read.mammogram, decode_image(read)


def read_mammogram_header(
    source: Path | bytes, *, key: bytes, site: str, max_bytes: int = MAX_BYTES
) -> Mammogram:
    """Read and check the header alone; no pixels are decoded.

    Raises
    ------
    ReadError
        With the code of the first check that fails; the order is that of
        :mod:`mammo.dicom.header`, then the view.
    SourceNotFound
        ``source`` is no file that can be opened.
    """
    return read_file(source, key=key, site=site, max_bytes=max_bytes).mammogram


def read_file(
    source: Path | bytes, *, key: bytes, site: str, max_bytes: int = MAX_BYTES
) -> ReadFile:
    """Parse and check a file; see :func:`read_mammogram_header`."""
    data = read_bytes(source, max_bytes)
    file = parse_file(data, max_bytes)
    header = read_header(file)
    check_header(header, file)
    tags = Tags(file.dataset, file.little_endian)
    found = find_view(tags)
    presentation = read_presentation(tags, header.layout)
    quality = {*found.quality, *presentation.quality, *_header_quality(tags)}
    sha256 = hashlib.sha256(data).hexdigest()
    patient, exam = identify(tags, sha256)
    mammogram = Mammogram(
        image_id=pseudonym(key, "image", tags.text("SOPInstanceUID") or sha256),
        exam_id=pseudonym(key, "exam", exam),
        patient_id=pseudonym(key, "patient", patient),
        view=found.view,
        scanner=_read_scanner(tags),
        site=site,
        acquired_on=tags.day("AcquisitionDate") or tags.day("ContentDate") or tags.day("StudyDate"),
        age_years=_read_age(tags),
        rows=header.layout.rows,
        columns=header.layout.columns,
        sha256=sha256,
        implant={"YES": True, "NO": False}.get(tags.code("BreastImplantPresent")),
        spacing_mm=_read_spacing(tags),
        quality=tuple(sorted(quality)),
    )
    return ReadFile(file, header, found, presentation, mammogram)


def decode_image(read: ReadFile) -> StoredImage:
    """Decode the pixels of a checked file."""
    shown = read.presentation
    pixels, bits = decode_pixels(read.file, read.header), read.header.layout.bits_stored
    if shown.modality_lut is not None:
        # a table is applied at once; slope, intercept and padding are of the values before it
        mapped, bits = apply_modality_lut(pixels, shown)
        return StoredImage(mapped, bits, shown.inverted, window=shown.window, voi_lut=shown.voi_lut)
    return StoredImage(
        pixels=pixels,
        bits_stored=bits,
        inverted=shown.inverted,
        slope=shown.slope,
        intercept=shown.intercept,
        window=shown.window,
        voi_lut=shown.voi_lut,
        padding=shown.padding,
    )


def read_bytes(source: Path | bytes, max_bytes: int) -> bytes:
    """Return the file's bytes, not reading one that is above the limit.

    Raises
    ------
    SourceNotFound, TooLarge
    """
    if isinstance(source, bytes):
        return source
    try:
        size = source.stat().st_size
        if size <= max_bytes:
            return source.read_bytes()
    except OSError as error:
        raise SourceNotFound(f"{source.name}: {error.strerror}") from error
    raise TooLarge(f"the file has {size:,} bytes; allowed are {max_bytes:,}")


def identify(tags: Tags, sha256: str) -> tuple[str, str]:
    """Return the identities of patient and exam, to be made pseudonyms at once.

    An exam is its Study Instance UID (0020,000D), without one the patient; a
    patient is the Patient ID (0010,0020), without one the exam, without either
    the file. In CBIS-DDSM every image is a patient and a study of its own: both
    are the case number there.
    """
    patient, study = tags.text("PatientID"), tags.text("StudyInstanceUID")
    if case := CBIS_PATIENT.match(patient):
        return case[1], case[1]
    return patient or study or sha256, study or patient or sha256


def _header_quality(tags: Tags) -> set[str]:
    codes = {
        "LOSSY_COMPRESSED": tags.text("LossyImageCompression") == "01",
        "BURNED_IN_ANNOTATION": tags.code("BurnedInAnnotation") == "YES",
        "IMPLANT": tags.code("BreastImplantPresent") == "YES",
    }
    return {code for code, holds in codes.items() if holds}


def _read_scanner(tags: Tags) -> Scanner:
    versions = ", ".join(value for value in tags.texts("SoftwareVersions") if value)
    return Scanner(tags.text("Manufacturer"), tags.text("ManufacturerModelName"), versions)


def _read_age(tags: Tags) -> int | None:
    """Return Patient's Age (0010,1010) or study date less birth date, in years.

    None outside 1-120: 000Y is what anonymisers write.
    """
    text = tags.code("PatientAge")
    age: int | None = None
    if re.fullmatch(r"\d{3}Y", text):
        age = int(text[:3])
    elif (born := tags.day("PatientBirthDate")) and (on := tags.day("StudyDate")):
        age = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    return age if age is not None and 1 <= age <= 120 else None


def _read_spacing(tags: Tags) -> float | None:
    """Return Pixel Spacing (0028,0030), else Imager Pixel Spacing (0018,1164), in mm."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = tags.number(keyword)
        if spacing is not None and spacing > 0:
            return spacing
    return None
