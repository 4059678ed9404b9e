"""Bytes to data set and pixel element (PS3.5 section 7, PS3.10 section 7).

pydicom parses the header; the end of the file is watched here, because pydicom
gives an empty data set for a file cut inside its pixel data. Tolerated: no
preamble, no File Meta Information or one in big endian, group lengths that lie,
a transfer syntax that is wrong about implicit or explicit VR, a TIFF header as
preamble (dual-personality files, PS3.10 section 7.1).

Anyone may have made the file. Before anything is allocated or parsed, limits
hold on its size, on what it inflates to, on the depth and number of its elements
(:mod:`mammo.dicom.nesting`) and on the fragments of its pixel data; a preamble
that begins a program is refused.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from mammo.dicom.charsets import hide_unknown_terms
from mammo.dicom.inflate import inflate
from mammo.dicom.nesting import UNDEFINED_LENGTH, NestingCheck, Stop, names_vr
from mammo.dicom.preamble import PREAMBLE_END, find_start
from mammo.dicom.tags import PARSE_ERRORS, Tags
from mammo.errors import (
    DicomTruncated,
    EmptyFile,
    NestedTooDeep,
    NotDicom,
    TooLarge,
)

PIXEL_DATA = 0x7FE00010
ITEM, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
MAX_FRAGMENTS = 65_536


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A parsed file: the data set before Pixel Data, and where Pixel Data lies.

    ``body`` holds the data set (inflated where it was deflated); ``pixel_start``
    is the offset of the element Pixel Data (7FE0,0010) in it, None where there
    is none. ``cut_short`` is True when the last element is incomplete.
    ``media_class`` is Media Storage SOP Class UID (0002,0002); ``preamble`` is
    False where the 128 bytes and the prefix DICM are missing. ``start`` is the offset
    in the file at which its data set begins, behind the File Meta Information.
    """

    dataset: Dataset
    syntax: str
    little_endian: bool
    implicit: bool
    body: bytes
    pixel_start: int | None
    cut_short: bool
    media_class: str = ""
    preamble: bool = True
    start: int = 0


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
    EmptyFile, TooLarge, NotDicom, ExecutablePreamble, NestedTooDeep, DicomTruncated
    """
    if not data:
        raise EmptyFile("the file has 0 bytes")
    if len(data) > max_bytes:
        raise TooLarge(f"the file has {len(data):,} bytes; allowed are {max_bytes:,}")
    first = find_start(data)
    meta, start = _read_meta(data, first)
    syntax = meta.text("TransferSyntaxUID") or _guess_syntax(data, start)
    body, begins = data, start
    if syntax == DeflatedExplicitVRLittleEndian:
        body, start = inflate(memoryview(data)[start:], max_bytes), 0
    little = syntax != ExplicitVRBigEndian
    implicit = _is_implicit(body, start, little)
    dataset, end, cut = _read_elements(body, start, implicit, little, _is_pixel_data)
    if not dataset:
        raise DicomTruncated(f"the file ends after {len(data):,} bytes, before any of its data set")
    has_pixels = end + 8 <= len(body) and _tag_at(body, end, little) == PIXEL_DATA
    pixel_start = end if has_pixels else None
    media_class, preamble = meta.text("MediaStorageSOPClassUID"), first == PREAMBLE_END
    return DicomFile(
        dataset, syntax, little, implicit, body, pixel_start, cut, media_class, preamble, begins
    )


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
        if len(fragments) > MAX_FRAGMENTS:
            raise TooLarge(f"Pixel Data (7FE0,0010) has more than {MAX_FRAGMENTS:,} fragments")
        fragments.append(value[place : place + length])
        place += length
    raise DicomTruncated(
        f"Pixel Data (7FE0,0010) ends in its item {len(fragments) + 1}: "
        "no whole fragment and no Sequence Delimitation Item follow"
    )


def _read_meta(data: bytes, start: int) -> tuple[Tags, int]:
    """Return the File Meta Information, possibly none, and where the data set begins.

    It is in little endian; old writers of big-endian files wrote it like the rest.
    """
    group = data[start : start + 2]
    little = group == b"\x02\0"
    if not little and group != b"\0\x02":
        return Tags(Dataset()), start
    meta, end, _ = _read_elements(data, start, False, little, _is_past_meta)
    return Tags(meta, little), end


def _guess_syntax(data: bytes, start: int) -> str:
    """Return the uncompressed syntax that the first element looks like."""
    if not names_vr(data, start + 4):
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if data[start] == 0 else ExplicitVRLittleEndian


def _read_elements(
    body: bytes, start: int, implicit: bool, little: bool, stop: Stop
) -> tuple[Dataset, int, bool]:
    """Return the elements up to ``stop``, where that is, and whether the last was cut."""
    check = NestingCheck(body, start, implicit, little, stop)
    check.run()
    stream = io.BytesIO(hide_unknown_terms(body, start, implicit, little, check.character_sets))
    stream.seek(start)
    try:
        dataset = read_dataset(
            stream, implicit, little, stop_when=lambda tag, _vr, _length: stop(tag)
        )
    except RecursionError as error:
        raise NestedTooDeep("sequences lie inside each other too deep to be read") from error
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
    last = next(reversed(tuple(dataset.keys())))  # in the file's order, which may be any
    element = dataset.get_item(last, keep_deferred=True)
    if not isinstance(element, RawDataElement):
        return False
    if element.length in (UNDEFINED_LENGTH, len(element.value or b"")):
        return False
    del dataset[last]
    return True


def _is_pixel_data(tag: int) -> bool:
    return tag >= PIXEL_DATA


def _is_past_meta(tag: int) -> bool:
    return tag >> 16 != 0x0002


def _is_implicit(body: bytes, start: int, little: bool) -> bool:
    """True if the first element has no VR; of big endian only explicit VR exists."""
    return little and not names_vr(body, start + 4)


def _tag_at(body: bytes, place: int, little: bool) -> int:
    group, element = struct.unpack_from("<HH" if little else ">HH", body, place)
    return int(group) << 16 | int(element)
