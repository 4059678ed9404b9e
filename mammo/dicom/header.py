"""What the header says, typed, and the checks on it.

The checks run from what no second try can mend to what it can, and the first
that fails names the refusal:

1. the kind of object: NOT_MAMMOGRAPHY, TOMOSYNTHESIS, FOR_PROCESSING;
2. the transfer syntax: UNSUPPORTED_SYNTAX;
3. the size: TOO_LARGE;
4. the file's end and the pixel description: DICOM_TRUNCATED, PIXELS_UNREADABLE.

So a CT that was also cut short is refused as a CT: sending it whole would not help.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.config import IGNORE
from pydicom.uid import UID

from mammo.dicom.file import DicomFile
from mammo.dicom.tags import Tags
from mammo.errors import (
    DicomTruncated,
    ForProcessing,
    NotMammography,
    PixelsUnreadable,
    Tomosynthesis,
    TooLarge,
    UnsupportedSyntax,
)

MAX_PIXELS = 64 * 2**20
"""Rows x Columns; the largest digitised film known here has 30 million."""

_STORAGE = "1.2.840.10008.5.1.4.1.1."
MAMMOGRAPHY_CLASSES = frozenset((_STORAGE + "1.2", _STORAGE + "1.2.1"))
TOMOSYNTHESIS_CLASSES = frozenset(_STORAGE + end for end in ("13.1.3", "13.1.4", "13.1.5"))
PROCESSING_CLASSES = frozenset(_STORAGE + end for end in ("1.1.1", "1.2.1"))
PROJECTION_CLASSES = MAMMOGRAPHY_CLASSES | {
    _STORAGE + end for end in ("1", "1.1", "1.1.1", "7", "7.2", "7.3")
}
"""CR, DX and Secondary Capture, in which mammograms are found too."""

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
class Header:
    """The facts that decide whether a file is a mammogram that can be read."""

    modality: str
    sop_class: str
    intent: str
    body_part: str
    image_type: tuple[str, ...]
    frames: int
    syntax: str
    layout: PixelLayout


def read_header(file: DicomFile) -> Header:
    """Read the facts; what is absent is empty or 0."""
    tags = Tags(file.dataset, file.little_endian)
    frames = tags.number("NumberOfFrames")
    return Header(
        modality=tags.code("Modality"),
        sop_class=tags.text("SOPClassUID") or file.media_class,
        intent=tags.code("PresentationIntentType"),
        body_part=tags.code("BodyPartExamined"),
        image_type=tuple(value.upper() for value in tags.texts("ImageType")),
        frames=1 if frames is None else int(frames),
        syntax=file.syntax,
        layout=_read_layout(tags),
    )


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


def check_kind(header: Header) -> None:
    """Refuse objects that are no 2-D mammogram for presentation."""
    if not _is_mammography(header):
        raise NotMammography(
            f"Modality (0008,0060) is {header.modality or 'absent'}, SOP Class (0008,0016) is "
            f"{name_uid(header.sop_class)}, Body Part Examined (0018,0015) is "
            f"{header.body_part or 'absent'}; allowed is mammography (MG)"
        )
    if header.sop_class in TOMOSYNTHESIS_CLASSES or header.frames > 1:
        raise Tomosynthesis(
            f"SOP Class (0008,0016) is {name_uid(header.sop_class)} with {header.frames} frames; "
            "only 2-D mammograms with one frame are read"
        )
    if header.intent == "FOR PROCESSING" or header.sop_class in PROCESSING_CLASSES:
        raise ForProcessing(
            f"Presentation Intent Type (0008,0068) is {header.intent or 'absent'}, SOP Class is "
            f"{name_uid(header.sop_class)}; allowed is FOR PRESENTATION"
        )


def _is_mammography(header: Header) -> bool:
    """True by SOP Class, else by Modality MG, else by nothing that speaks against it."""
    if header.sop_class in MAMMOGRAPHY_CLASSES | TOMOSYNTHESIS_CLASSES:
        return True
    known_class = not header.sop_class or header.sop_class in PROJECTION_CLASSES
    if header.modality:
        return header.modality == "MG" and known_class
    return known_class and header.body_part in ("", "BREAST")


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
            f"Photometric Interpretation (0028,0004) is {layout.photometric} with "
            f"{layout.samples} samples; allowed are MONOCHROME1 and MONOCHROME2 with 1"
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


def name_uid(uid: str) -> str:
    """Return a UID's registered name; what is not registered stays unnamed: it may identify."""
    if not uid:
        return "absent"
    name = UID(uid, validation_mode=IGNORE).name  # its warning would quote the value
    return name if name != uid else "not a registered UID"
