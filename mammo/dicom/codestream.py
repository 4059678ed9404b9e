"""What a compressed frame says of itself, read before anything is decoded.

JPEG (ITU-T T.81), JPEG-LS (T.87), JPEG 2000 (T.800) and HTJ2K (T.814). Only
marker segments are read, so that a size that would fill the memory, an end that
is missing or a loss that the header keeps quiet is known beforehand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

END_OF_IMAGE = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS, EOC of JPEG 2000: the same two bytes."""
JPEG_LOSSLESS_FRAME, JPEG_LS_FRAME = 0xC3, 0xF7
FRAMES = {"jpeg": (0xC0, 0xC1, JPEG_LOSSLESS_FRAME), "jpegls": (JPEG_LS_FRAME,)}
"""Baseline, extended and lossless: the processes that DICOM names (PS3.5 A.4.1)."""
STANDALONE_MARKERS = frozenset((0x01, *range(0xD0, 0xD9)))
SCAN, RESTART = 0xDA, 0xD0
JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
JPEG2000_START = b"\xff\x4f\xff\x51"
COD = 0x52
USUAL_SEGMENTS = frozenset((0x50, 0x51, COD, 0x55, 0x5C, 0x64))
"""CAP, SIZ, COD, TLM, QCD, COM."""
TILE_PART, TILE_DATA = b"\xff\x90", b"\xff\x93"
LAST_PACKET_PREFIX = 0x8F
"""FF90 to FFFF are markers: no packet holds them (T.800 B.10.1)."""
MAX_SEGMENTS = 4096
"""Fill bytes count too: a file of nothing else must not hold the reader up."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """Size and coding of one compressed frame.

    ``data`` is the codestream alone, without the boxes of JP2 around it. ``signed``
    is None of JPEG and JPEG-LS, which know no sign; ``least_bits`` is what the
    data after ``body`` cannot be shorter than. Of JPEG
    2000 ``levels`` is the number of wavelet decompositions, ``tiles`` of tiles,
    ``body`` the place of the first tile-part (of JPEG of the first scan's data),
    and ``plain`` is True when the main header holds the usual segments alone.
    """

    data: bytes
    rows: int
    columns: int
    components: int
    precision: int
    signed: bool | None = None
    lossy: bool = False
    least_bits: int = 0
    levels: int = 0
    tiles: int = 1
    body: int = 0
    plain: bool = False


def read_codestream(stream: bytes, codec: str) -> Codestream | None:
    """Return what the codestream of ``codec`` says; None if it begins with none.

    ``codec`` is one of ``jpeg``, ``jpegls``, ``jpeg2k`` and ``htj2k``.
    """
    try:
        if codec in FRAMES:
            return _read_jpeg(stream, FRAMES[codec])
        return _read_jpeg2000(_unwrap(stream))
    except (struct.error, IndexError):
        return None


def has_end(data: bytes) -> bool:
    """True if the end marker is there; a few bytes or any zeros may follow as padding."""
    return END_OF_IMAGE in data[-16:] or data.rstrip(b"\0").endswith(END_OF_IMAGE)


def _segments(data: bytes, place: int) -> Iterator[tuple[int, int]]:
    """Yield marker code and place of each segment's content, up to the first data."""
    for _ in range(MAX_SEGMENTS):
        if data[place] != 0xFF:
            return
        marker = data[place + 1]
        if marker == 0xFF or marker in STANDALONE_MARKERS:
            place += 1 if marker == 0xFF else 2
            continue
        yield marker, place + 4
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def _read_jpeg(data: bytes, frames: tuple[int, ...]) -> Codestream | None:
    """Read frame header and first scan header (T.81 B.2.2, B.2.3; T.87 C.2)."""
    if data[:2] != b"\xff\xd8":
        return None
    frame, size = 0, (0, 0, 0, 0)
    for marker, start in _segments(data, 2):
        if marker in frames:
            frame, size = marker, struct.unpack_from(">BHHB", data, start)
        elif marker == SCAN and frame:
            precision, rows, columns, components = size
            after = start + 1 + 2 * data[start]
            # NEAR of JPEG-LS; point transform, the low half of the third byte, of lossless JPEG
            loss = {JPEG_LS_FRAME: data[after], JPEG_LOSSLESS_FRAME: data[after + 2] & 0x0F}
            lossy = loss.get(frame, 1) > 0
            body = start - 2 + int.from_bytes(data[start - 2 : start], "big")
            # a Huffman code for each pixel (T.81 H.1.2.2); of lossy JPEG, two for each block
            least = rows * columns if frame == JPEG_LOSSLESS_FRAME else rows * columns // 32
            return Codestream(
                data,
                rows,
                columns,
                components,
                precision,
                lossy=lossy,
                least_bits=0 if frame == JPEG_LS_FRAME else least,
                body=body,
            )
    return None


def _unwrap(stream: bytes) -> bytes:
    """Return the codestream in JP2 boxes, which some writers leave around it (T.800 I.4)."""
    place = 0
    while stream.startswith(JP2_SIGNATURE) and place + 16 <= len(stream):
        length, kind = struct.unpack_from(">L4s", stream, place)
        head = 16 if length == 1 else 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", stream, place + 8)
        end = place + length if length else len(stream)
        if kind == b"jp2c":
            return stream[place + head : end]
        if end <= place:
            break
        place = end
    return stream


def _read_jpeg2000(data: bytes) -> Codestream | None:
    """Read the main header (T.800 A.5.1, A.6.1)."""
    if data[:4] != JPEG2000_START:
        return None
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(
        ">8L", data, 8
    )
    (components,) = struct.unpack_from(">H", data, 40)
    tiles = 0
    if tile_width and tile_height:
        tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    # OpenJPH never ends where a tile begins after the image (T.800 B.3 forbids it)
    known = not (left or top or tile_left or tile_top)
    coding, body = None, 0
    for marker, start in _segments(data, 2):
        body = start - 4
        if marker == TILE_PART[1]:
            break
        known &= marker in USUAL_SEGMENTS
        if marker == COD:
            coding = data[start + 5], data[start + 9]
    if coding is None:
        return None
    return Codestream(
        data,
        rows=bottom - top,
        columns=right - left,
        components=components,
        precision=(data[42] & 0x7F) + 1,
        signed=bool(data[42] & 0x80),
        lossy=coding[1] == 0,
        levels=coding[0],
        tiles=tiles,
        body=body,
        plain=known,
    )


def tile_parts_fit(frame: Codestream) -> bool:
    """True if tile-parts follow one another up to the end marker, with no other marker in them.

    Nothing but SOD may follow the SOT of a tile-part (T.800 A.4.2).
    """
    data, place = frame.data, frame.body
    values = np.frombuffer(data, np.uint8)
    while data[place : place + 2] == TILE_PART:
        length = int.from_bytes(data[place + 6 : place + 10], "big")
        if length < 14 or data[place + 12 : place + 14] != TILE_DATA:
            return False
        _, following = _after_ff(values[place + 14 : place + length])
        if (following > LAST_PACKET_PREFIX).any():
            return False
        place += length
    return data[place : place + 2] == END_OF_IMAGE


def find_stray_marker(frame: Codestream) -> int | None:
    """Return the place of a marker inside the only scan of a JPEG frame, None where there is none.

    Between SOS and EOI only stuffed zeros, fill bytes and restarts follow FF
    (T.81 B.1.1.2, B.2.1); libjpeg takes anything else for the end, and fills up.
    """
    end = frame.data.rfind(END_OF_IMAGE)
    places, following = _after_ff(np.frombuffer(frame.data, np.uint8)[frame.body : end])
    harmless = (following == 0) | (following == 0xFF) | (following & 0xF8 == RESTART)
    stray = places[~harmless]
    return frame.body + int(stray[0]) if stray.size else None


def _after_ff(values: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Return where FF is, the last byte apart, and the bytes that follow."""
    places = np.flatnonzero(values[:-1] == 0xFF)
    return places, values[places + 1]
