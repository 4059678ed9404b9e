"""What the header says, typed, and the checks on it.

The checks run from what no second try can mend to what it can, and the first
that fails names the refusal:

1. the kind of object (:mod:`mammo.dicom.kinds`): NOT_MAMMOGRAPHY, TOMOSYNTHESIS,
   FOR_PROCESSING;
2. the transfer syntax: UNSUPPORTED_SYNTAX;
3. the size: TOO_LARGE;
4. the file's end and the pixel description: DICOM_TRUNCATED, PIXELS_UNREADABLE.

So a CT that was also cut short is refused as a CT: sending it whole would not help.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from mammo.dicom.file import DicomFile
from mammo.dicom.kinds import (
    MAMMOGRAPHY_CLASSES,
    PROJECTION_CLASSES,
    Kind,
    check_kind,
    read_kind,
)
from mammo.dicom.tags import Tags
from mammo.dicom.terms import PHOTOMETRIC_INTERPRETATIONS, name_term, name_uid
from mammo.errors import DicomTruncated, PixelsUnreadable, TooLarge, UnsupportedSyntax

__all__ = [
    "CODECS",
    "LOSSY_SYNTAXES",
    "MAMMOGRAPHY_CLASSES",
    "MAX_PIXELS",
    "PROJECTION_CLASSES",
    "Header",
    "PixelLayout",
    "check_header",
    "check_kind",
    "name_uid",
    "read_header",
]
MAX_PIXELS = 64 * 2**20
"""Rows x Columns; the largest digitised film known here has 30 million."""

CODECS: dict[str, str] = {
    "1.2.840.10008.1.2": "native",
    "1.2.840.10008.1.2.1": "native",
    "1.2.840.10008.1.2.1.99": "native",
    "1.2.840.10008.1.2.2": "native",
    "1.2.840.10008.1.2.4.50": "jpeg",
    "1.2.840.10008.1.2.4.51": "jpeg",
    "1.2.840.10008.1.2.4.57": "jpeg",
    "1.2.840.10008.1.2.4.70": "jpeg",
    "1.2.840.10008.1.2.4.80": "jpegls",
    "1.2.840.10008.1.2.4.81": "jpegls",
    "1.2.840.10008.1.2.4.90": "jpeg2k",
    "1.2.840.10008.1.2.4.91": "jpeg2k",
    "1.2.840.10008.1.2.4.201": "htj2k",
    "1.2.840.10008.1.2.4.202": "htj2k",
    "1.2.840.10008.1.2.4.203": "htj2k",
    "1.2.840.10008.1.2.5": "rle",
}
"""Transfer syntax -> codec of :mod:`mammo.dicom.pixels`."""

LOSSY_SYNTAXES = frozenset(
    f"1.2.840.10008.1.2.4.{end}"
    for end in (50, 51, 81)  # JPEG baseline, extended, JPEG-LS near-lossless
)
"""Syntaxes that lose by definition; of JPEG 2000 the codestream tells."""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Image Pixel module (PS3.3 C.7.6.3), group 0028."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str

    @property
    def sample_bytes(self) -> int:
        """Bytes of one stored value."""
        return self.bits_allocated // 8

    @property
    def native_bytes(self) -> int:
        """Bytes of the uncompressed frame."""
        return self.rows * self.columns * self.sample_bytes


@dataclass(frozen=True, slots=True)
class Header(Kind):
    """The facts that decide whether a file is a mammogram that can be read."""

    syntax: str
    layout: PixelLayout


def read_header(file: DicomFile) -> Header:
    """Read the facts; what is absent is empty or 0."""
    tags = Tags(file.dataset, file.little_endian)
    kind = read_kind(tags, file.media_class)
    facts = {field.name: getattr(kind, field.name) for field in fields(kind)}
    return Header(**facts, syntax=file.syntax, layout=_read_layout(tags))


def _read_layout(tags: Tags) -> PixelLayout:
    bits_stored = tags.word("BitsStored") or 0
    high_bit = tags.word("HighBit")
    samples = tags.word("SamplesPerPixel")
    return PixelLayout(
        rows=tags.word("Rows") or 0,
        columns=tags.word("Columns") or 0,
        samples=1 if samples is None else samples,
        bits_allocated=tags.word("BitsAllocated") or 0,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        signed=tags.word("PixelRepresentation") == 1,
        photometric=tags.code("PhotometricInterpretation") or "MONOCHROME2",
    )


def check_header(header: Header, file: DicomFile) -> None:
    """Refuse what is no readable mammogram, in the order of the module's list.

    Raises
    ------
    NotMammography, Tomosynthesis, ForProcessing, UnsupportedSyntax, TooLarge,
    DicomTruncated, PixelsUnreadable
    """
    check_kind(header)
    if header.syntax not in CODECS:
        raise UnsupportedSyntax(
            f"Transfer Syntax UID (0002,0010) is {name_uid(header.syntax)}; allowed are "
            "uncompressed, deflated, RLE, JPEG, JPEG-LS, JPEG 2000 and HTJ2K still images"
        )
    layout = header.layout
    if layout.rows * layout.columns > MAX_PIXELS:
        raise TooLarge(
            f"the image has {layout.rows:,} x {layout.columns:,} pixels; "
            f"allowed are {MAX_PIXELS:,} in all"
        )
    _check_end(header, file)
    _check_layout(layout)


def _check_end(header: Header, file: DicomFile) -> None:
    """Tell a file without Pixel Data from one that was cut before it."""
    if file.pixel_start is not None:
        return
    if file.cut_short or not header.layout.rows:
        last = max(file.dataset.keys())
        raise DicomTruncated(f"the file ends at element {last}, before Pixel Data (7FE0,0010)")
    raise PixelsUnreadable("the file has no Pixel Data (7FE0,0010)")


def _check_layout(layout: PixelLayout) -> None:
    if layout.photometric not in ("MONOCHROME1", "MONOCHROME2") or layout.samples != 1:
        raise PixelsUnreadable(
            "Photometric Interpretation (0028,0004) is "
            f"{name_term(layout.photometric, PHOTOMETRIC_INTERPRETATIONS)} with {layout.samples} "
            "samples; allowed are MONOCHROME1 and MONOCHROME2 with 1"
        )
    if not layout.rows or not layout.columns:
        raise PixelsUnreadable(
            f"Rows (0028,0010) x Columns (0028,0011) is {layout.rows} x {layout.columns}"
        )
    sound = 6 <= layout.bits_stored <= layout.high_bit + 1 <= layout.bits_allocated
    if layout.bits_allocated not in (8, 16) or not sound:
        raise PixelsUnreadable(
            f"Bits Allocated, Bits Stored, High Bit (0028,0100-0102) are {layout.bits_allocated}, "
            f"{layout.bits_stored}, {layout.high_bit}; allowed are 8 or 16 allocated, 6-16 stored"
        )
