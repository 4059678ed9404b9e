"""Texts inside compressed pixel data: comments, application segments, unused places.

Encoders write names, dates and whole headers there, and no attribute tells of
it. The texts are overwritten with zeros in their place: no length, no offset
and no coded sample changes, so that the image decodes to the same pixels.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from mammo.dicom.codestream import END_OF_IMAGE, JP2_SIGNATURE

JPEG_START, JPEG2000_START = b"\xff\xd8", b"\xff\x4f"
SOS, EOI = 0xFFDA, 0xFFD9
COM, APP = 0xFFFE, range(0xFFE0, 0xFFF0)
NO_LENGTH = frozenset((0xFF01, 0xFFD8, *range(0xFFD0, 0xFFD8)))
AFTER_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""A marker that no scan holds: neither a stuffed byte nor a restart."""
DECODING = {
    0xFFE0: ((b"JFIF\0", 12),),  # then the size of a thumbnail, and the thumbnail
    0xFFE8: ((b"mrfx", 5), (b"SPIFF\0", 30), (b"\0\0\0\1\xff\xd8", 6)),
    0xFFEE: ((b"Adobe", 12),),
}
"""Application marker -> identifiers and how many bytes say how to decode: density,
colour transform, header of SPIFF and its end."""
JPEG2000_COM, SOT, SOD = 0xFF64, 0xFF90, 0xFF93
JP2_BOXES = (b"jP  ", b"ftyp", b"jp2h")
"""Boxes around a codestream that say how to decode it (ISO/IEC 15444-1 I.4)."""
RLE_HEADER = 64


def blank_comments(codestream: bytearray) -> None:
    """Overwrite the texts in and after a JPEG, JPEG-LS or JPEG 2000 codestream with zeros."""
    found: Iterator[tuple[int, int]] = iter(())
    if codestream.startswith(JP2_SIGNATURE):
        found = _blank_boxes(codestream)
    elif codestream.startswith(JPEG_START):
        found = _jpeg_texts(codestream)
    elif codestream.startswith(JPEG2000_START):
        found = _jpeg2000_texts(codestream)
    else:
        return
    _blank(codestream, found)
    end = codestream.rfind(END_OF_IMAGE)
    if end >= 0:
        _blank(codestream, [(end + len(END_OF_IMAGE), len(codestream))])


def blank_rle_header(stream: bytearray) -> None:
    """Zero the words of an RLE header (PS3.5 annex G.5) that are the offset of no segment."""
    used = 4 * (1 + int.from_bytes(stream[:4], "little"))
    if used < RLE_HEADER <= len(stream):
        _blank(stream, [(used, RLE_HEADER)])


def _blank(codestream: bytearray, places: Iterable[tuple[int, int]]) -> None:
    for start, end in places:
        codestream[start:end] = bytes(end - start)


def _blank_boxes(stream: bytearray) -> Iterator[tuple[int, int]]:
    """Blank the codestream in JP2 boxes; yield the boxes that are of no use to it."""
    place = 0
    while place + 16 <= len(stream):
        length, kind, longer = struct.unpack_from(">L4sQ", stream, place)
        start = place + (16 if length == 1 else 8)
        end = min(place + (longer if length == 1 else length), len(stream))
        end = end if length else len(stream)
        if end <= start:
            return
        if kind == b"jp2c":
            inner = stream[start:end]
            blank_comments(inner)
            stream[start:end] = inner
        elif kind not in JP2_BOXES:
            yield start, end
        place = end


def _segments(codestream: bytearray, place: int) -> Iterator[tuple[int, int, int]]:
    """Yield marker, and start and end of the parameters, of each segment from a place on."""
    while place + 4 <= len(codestream):
        marker, length = struct.unpack_from(">HH", codestream, place)
        if marker == 0xFFFF:  # a fill byte
            place += 1
        elif marker in NO_LENGTH:
            place += 2
        elif marker < 0xFF01 or length < 2:  # not a codestream any more
            return
        else:
            end = min(place + 2 + length, len(codestream))
            yield marker, place + 4, end
            place = end


def _jpeg_texts(codestream: bytearray) -> Iterator[tuple[int, int]]:
    """Yield the places of texts before and after each scan (ISO/IEC 10918-1 B.2.4)."""
    place: int | None = 2
    while place is not None:
        after, place = place, None
        for marker, start, end in _segments(codestream, after):
            if marker == EOI:
                return
            if marker == SOS:
                found = AFTER_SCAN.search(codestream, end)
                place = found.start() if found else None
                break
            if marker == COM or marker in APP:
                yield start + _decoding_bytes(marker, codestream[start:end]), end


def _decoding_bytes(marker: int, content: bytearray) -> int:
    """Return how many bytes at the segment's start say how to decode; at most all it has."""
    sizes = (size for name, size in DECODING.get(marker, ()) if content.startswith(name))
    return min(next(sizes, 0), len(content))


def _jpeg2000_texts(codestream: bytearray) -> Iterator[tuple[int, int]]:
    """Yield the places of comments in main and tile-part headers (ISO/IEC 15444-1 A.9.2)."""
    place = 2
    while 0 < place < len(codestream):
        next_part = 0
        for marker, start, end in _segments(codestream, place):
            if marker == JPEG2000_COM:
                yield start + 2, end  # after Rcom, which tells text from binary
            elif marker == SOT:
                if place != start - 4:  # the first tile-part follows the main header
                    next_part = start - 4
                    break
                (length,) = struct.unpack_from(">L", codestream, start + 2)
                next_part = place + length if length else 0
            elif marker == SOD:
                break
        if next_part <= place:
            return
        place = next_part
