"""Bytes to data set and pixel element (PS3.5 section 7, PS3.10 section 7).

pydicom parses the header; the end of the file is watched here, because pydicom
gives an empty data set for a file cut inside its pixel data. Tolerated: no
preamble, no File Meta Information, a transfer syntax that is wrong about
implicit or explicit VR.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from mammo.dicom.tags import PARSE_ERRORS, Tags
from mammo.errors import DicomTruncated, EmptyFile, NotDicom, TooLarge

PIXEL_DATA = 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
OTHER_FORMATS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 codestream",
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy array",
}


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A parsed file: the data set before Pixel Data, and where Pixel Data lies.

    ``body`` holds the data set (inflated where it was deflated); ``pixel_start``
    is the offset of the element Pixel Data (7FE0,0010) in it, None where there
    is none. ``cut_short`` is True when the last element is incomplete.
    ``media_class`` is Media Storage SOP Class UID (0002,0002).
    """

    dataset: Dataset
    syntax: str
    little_endian: bool
    implicit: bool
    body: bytes
    pixel_start: int | None
    cut_short: bool
    media_class: str = ""


@dataclass(frozen=True, eq=False)
class PixelElement:
    """The value of Pixel Data: native bytes or the fragments of one frame."""

    vr: str
    native: memoryview | None
    fragments: tuple[memoryview, ...]


def parse_file(data: bytes, max_bytes: int) -> DicomFile:
    """Parse the header of a DICOM file.

    Raises
    ------
    EmptyFile, TooLarge, NotDicom, DicomTruncated
    """
    if not data:
        raise EmptyFile("the file has 0 bytes")
    if len(data) > max_bytes:
        raise TooLarge(f"the file has {len(data):,} bytes; allowed are {max_bytes:,}")
    meta, start = _read_meta(data, _find_start(data))
    syntax = meta.text("TransferSyntaxUID")
    body = data
    if syntax == DeflatedExplicitVRLittleEndian:
        body, start = _inflate(memoryview(data)[start:], max_bytes), 0
    little = syntax != ExplicitVRBigEndian
    implicit = _is_implicit(body, start, little)
    fallback = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset, end, cut = _read_elements(body, start, implicit, little, _is_pixel_data)
    if not dataset:
        raise DicomTruncated(f"the file ends after {len(data):,} bytes, before any of its data set")
    has_pixels = end + 8 <= len(body) and _tag_at(body, end, little) == PIXEL_DATA
    pixel_start = end if has_pixels else None
    syntax, media_class = syntax or fallback, meta.text("MediaStorageSOPClassUID")
    return DicomFile(dataset, syntax, little, implicit, body, pixel_start, cut, media_class)


def read_pixel_element(file: DicomFile) -> PixelElement | None:
    """Return the value of Pixel Data without copying it; None where there is none.

    Raises
    ------
    DicomTruncated
        The file ends before the element's stated length or its last fragment.
    """
    if file.pixel_start is None:
        return None
    order, start = "<" if file.little_endian else ">", file.pixel_start
    vr = "OW" if file.implicit else file.body[start + 4 : start + 6].decode("latin-1")
    start += 4 if file.implicit else 8
    if start + 4 > len(file.body):
        raise DicomTruncated("the file ends inside the header of Pixel Data (7FE0,0010)")
    (length,) = struct.unpack_from(f"{order}L", file.body, start)
    value = memoryview(file.body)[start + 4 :]
    if length == UNDEFINED_LENGTH:
        return PixelElement(vr, None, _read_fragments(value, order))
    if len(value) < length:
        raise DicomTruncated(
            f"Pixel Data (7FE0,0010) states {length:,} bytes, and {len(value):,} are there"
        )
    return PixelElement(vr, value[:length], ())


def _read_fragments(value: memoryview, order: str) -> tuple[memoryview, ...]:
    """Return the fragments after the Basic Offset Table (PS3.5 annex A.4)."""
    fragments: list[memoryview] = []
    place = 0
    while place + 8 <= len(value):
        group, element, length = struct.unpack_from(f"{order}HHL", value, place)
        place += 8
        if (group, element) == SEQUENCE_END:
            return tuple(fragments[1:])
        if (group, element) != ITEM or place + length > len(value):
            break
        fragments.append(value[place : place + length])
        place += length
    raise DicomTruncated(
        f"Pixel Data (7FE0,0010) ends in its item {len(fragments) + 1}: "
        "no whole fragment and no Sequence Delimitation Item follow"
    )


def _find_start(data: bytes) -> int:
    """Return where the first element is: after the prefix DICM, or at the beginning."""
    if data[128:132] == b"DICM":
        return 132
    if data[:4] == b"DICM":  # the preamble was cut off, the prefix was not
        return 4
    if _is_plausible(data):
        return 0
    found = next((name for magic, name in OTHER_FORMATS.items() if data.startswith(magic)), None)
    looks = f"; it looks like {found}" if found else ""
    raise NotDicom(f"the file has no DICM prefix and does not begin with a DICOM element{looks}")


def _is_plausible(data: bytes) -> bool:
    """True if the bytes begin with a likely first element: group 0002 or 0008."""
    if len(data) < 16:
        return False
    group, element, implicit_length = struct.unpack_from("<HHL", data)
    if group not in (0x0002, 0x0008) or element > 0x0100:
        return False
    return data[4:6] in (b"UL", b"OB", b"UI", b"CS", b"LO", b"DA", b"SH") or implicit_length <= 1024


def _read_meta(data: bytes, start: int) -> tuple[Tags, int]:
    """Return the File Meta Information, possibly none, and where the data set begins."""
    if data[start : start + 2] != b"\x02\x00":
        return Tags(Dataset()), start
    meta, end, _ = _read_elements(data, start, False, True, _is_past_meta)
    return Tags(meta), end


def _read_elements(
    body: bytes,
    start: int,
    implicit: bool,
    little: bool,
    stop: Callable[[BaseTag, str | None, int], bool],
) -> tuple[Dataset, int, bool]:
    """Return the elements up to ``stop``, where that is, and whether the last was cut."""
    stream = io.BytesIO(body)
    stream.seek(start)
    try:
        dataset = read_dataset(stream, implicit, little, stop_when=stop)
    except PARSE_ERRORS as error:
        if stream.tell() >= len(body):
            raise DicomTruncated("the file ends inside its header") from error
        raise NotDicom(f"the header is damaged at byte {stream.tell():,}") from error
    cut = _drop_cut_element(dataset)
    return dataset, stream.tell(), cut


def _drop_cut_element(dataset: Dataset) -> bool:
    """Remove the last element if the file ended inside its value; True if it did."""
    if not dataset:
        return False
    last = max(dataset.keys())
    element = dataset.get_item(last, keep_deferred=True)
    if not isinstance(element, RawDataElement):
        return False
    if element.length in (UNDEFINED_LENGTH, len(element.value or b"")):
        return False
    del dataset[last]
    return True


def _is_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag >= PIXEL_DATA


def _is_past_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 0x0002


def _is_implicit(body: bytes, start: int, little: bool) -> bool:
    """True if the first element has no VR; of big endian only explicit VR exists."""
    return little and not body[start + 4 : start + 6].isalpha()


def _tag_at(body: bytes, place: int, little: bool) -> int:
    group, element = struct.unpack_from("<HH" if little else ">HH", body, place)
    return int(group) << 16 | int(element)


def _inflate(deflated: memoryview, max_bytes: int) -> bytes:
    """Inflate a data set (PS3.5 A.5) without ever holding more than the limit."""
    stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        body = stream.decompress(deflated, max_bytes + 1)
    except zlib.error as error:
        raise NotDicom("the deflated data set cannot be inflated") from error
    if len(body) > max_bytes:
        raise TooLarge(f"the data set inflates to more than {max_bytes:,} bytes")
    if not stream.eof:
        raise DicomTruncated(f"the deflated data set ends early, after {len(body):,} bytes")
    return body
