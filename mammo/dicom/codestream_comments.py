"""Texts inside compressed pixel data: comment and application segments.

Encoders write names, dates and whole headers there, and no attribute tells of
it. The texts are overwritten with zeros in their place: no length, no offset
and no coded sample changes, so that the image decodes to the same pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

JPEG_START, JPEG2000_START = b"\xff\xd8", b"\xff\x4f"
SOS, EOI = 0xFFDA, 0xFFD9
COM, APP = 0xFFFE, range(0xFFE0, 0xFFF0)
NO_LENGTH = frozenset((0xFF01, 0xFFD8, *range(0xFFD0, 0xFFD8)))
DECODING = (b"JFIF\0", b"Adobe", b"mrfx", b"SPIFF\0", b"\0\0\0\1\xff\xd8")
"""Application segments that say how to decode: density, colour transform, end of SPIFF's header."""
JPEG2000_COM, SOT, SOD = 0xFF64, 0xFF90, 0xFF93


def blank_comments(codestream: bytearray) -> None:
    """Overwrite the texts in a JPEG, JPEG-LS or JPEG 2000 codestream with zeros."""
    found: Iterator[tuple[int, int]] = iter(())
    if codestream.startswith(JPEG_START):
        found = _jpeg_texts(codestream)
    elif codestream.startswith(JPEG2000_START):
        found = _jpeg2000_texts(codestream)
    for start, end in found:
        codestream[start:end] = bytes(end - start)


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
    """Yield the places of texts before the first scan (ISO/IEC 10918-1 B.2.4)."""
    for marker, start, end in _segments(codestream, 2):
        if marker in (SOS, EOI):
            return
        text = marker == COM or marker in APP
        if text and not codestream[start:end].startswith(DECODING):
            yield start, end


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
