"""Pixel Data to stored values, exact or not at all.

imagecodecs decodes: it is exact, the fastest measured here, and releases the
interpreter lock, so that a server goes on answering. A codestream's own size is
compared with Rows and Columns before it is decoded, and its end is looked for:
libjpeg fills what is missing with grey and reports success.

Every codec's output then goes the same way: unused high bits are masked (old
files keep overlays there) and signed values are extended from Bits Stored
(PS3.5 section 8).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from mammo.dicom.file import DicomFile, PixelElement, read_pixel_element
from mammo.dicom.header import CODECS, Header, PixelLayout
from mammo.errors import DicomTruncated, PixelsUnreadable

END_OF_IMAGE = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS, EOC of JPEG 2000: the same two bytes."""
STANDALONE_MARKERS = frozenset((0x01, *range(0xD0, 0xD9)))
FRAME_MARKERS = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}

Decoder = Callable[[bytes], NDArray[Any]]
DECODERS: dict[str, tuple[Decoder, ...]] = {
    "jpeg": (imagecodecs.jpeg8_decode, imagecodecs.jpegsof3_decode),
    "jpegls": (imagecodecs.jpegls_decode,),
    "jpeg2k": (imagecodecs.jpeg2k_decode,),
    "htj2k": (imagecodecs.jpeg2k_decode,),
}
"""Codec -> decoders, the next is tried when one refuses; all are exact.

OpenJPEG decodes HTJ2K too: imagecodecs' own ``htj2k_decode`` takes half the time
(50 against 110 ms for 3328 x 2560), and gives a half-black image, without an
error, for a damaged codestream.
"""


def decode_pixels(file: DicomFile, header: Header) -> NDArray[Any]:
    """Decode the frame.

    Returns
    -------
    numpy.ndarray
        (rows, columns); uint8 or uint16 as Bits Allocated (0028,0100) is 8 or
        16, int16 where Pixel Representation (0028,0103) is 1.

    Raises
    ------
    DicomTruncated
        The data ends early.
    PixelsUnreadable
        There is none, the codec refuses it, or it is of another size.
    """
    element, layout = read_pixel_element(file), header.layout
    if element is None:
        raise PixelsUnreadable("the file has no Pixel Data (7FE0,0010)")
    codec = CODECS[header.syntax]
    if (element.native is not None) != (codec == "native"):
        stated, found = ("un", "") if codec == "native" else ("", "un")
        raise PixelsUnreadable(
            f"Transfer Syntax UID (0002,0010) says {stated}compressed, "
            f"Pixel Data (7FE0,0010) is {found}compressed"
        )
    if element.native is not None:
        raw = _read_native(element, layout, file.little_endian)
        return _to_stored(raw, layout, layout.high_bit + 1 - layout.bits_stored)
    stream = b"".join(element.fragments)
    decoded = _decode_rle(stream, layout) if codec == "rle" else _decode(stream, codec, layout)
    return _to_stored(decoded, layout, 0)


def _read_native(element: PixelElement, layout: PixelLayout, little: bool) -> NDArray[Any]:
    assert element.native is not None
    if len(element.native) < layout.native_bytes:
        raise DicomTruncated(
            f"Pixel Data (7FE0,0010) has {len(element.native):,} bytes; {layout.rows} x "
            f"{layout.columns} of {layout.sample_bytes} bytes need {layout.native_bytes:,}"
        )
    order = "<" if little else ">"
    if layout.sample_bytes == 2:
        flat = np.frombuffer(element.native[: layout.native_bytes], f"{order}u2")
    elif not little and element.vr == "OW":  # pairs of bytes are swapped (PS3.5 8.1.1)
        words = np.frombuffer(element.native[: len(element.native) // 2 * 2], ">u2")
        flat = words.astype("<u2").view(np.uint8)[: layout.native_bytes]
    else:
        flat = np.frombuffer(element.native[: layout.native_bytes], np.uint8)
    if flat.size < layout.rows * layout.columns:
        raise DicomTruncated("Pixel Data (7FE0,0010) lacks its last byte")
    return flat.reshape(layout.rows, layout.columns)


def _decode(stream: bytes, codec: str, layout: PixelLayout) -> NDArray[Any]:
    """Decode a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream."""
    _check_stream(stream, codec, layout)
    failures = []
    for decoder in DECODERS[codec]:
        try:
            decoded = decoder(stream)
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            failures.append(f"{decoder.__name__}: {error}")
            continue
        if decoded.shape == (layout.rows, layout.columns) and decoded.dtype.kind in "iu":
            return decoded
        failures.append(f"{decoder.__name__} gave {decoded.dtype} {decoded.shape}")
    raise PixelsUnreadable(f"Pixel Data (7FE0,0010) cannot be decoded: {'; '.join(failures)}")


def _check_stream(stream: bytes, codec: str, layout: PixelLayout) -> None:
    """Refuse a stream that is of another size or has no end, before memory is spent on it."""
    size = (_jpeg2000_size if codec in ("jpeg2k", "htj2k") else _jpeg_size)(stream)
    if size is None:
        raise PixelsUnreadable(
            f"Pixel Data (7FE0,0010) of {len(stream):,} bytes begins with no {codec} codestream"
        )
    rows, columns, components, precision = size
    if (rows, columns, components) != (layout.rows, layout.columns, 1):
        raise PixelsUnreadable(
            f"the codestream has {rows} x {columns} pixels and {components} components; "
            f"Rows x Columns (0028,0010-0011) are {layout.rows} x {layout.columns}"
        )
    if precision > layout.bits_allocated:
        raise PixelsUnreadable(
            f"the codestream has {precision} bits; Bits Allocated (0028,0100) are "
            f"{layout.bits_allocated}"
        )
    if END_OF_IMAGE not in stream[-16:]:  # a few bytes of padding may follow
        raise DicomTruncated(
            f"the codestream ends after {len(stream):,} bytes without its end marker FFD9"
        )


def _jpeg_size(stream: bytes) -> tuple[int, int, int, int] | None:
    """Return rows, columns, components, bits of the frame header (ITU-T T.81 B.2.2, T.87)."""
    place = 2
    while stream[:2] == b"\xff\xd8" and place + 10 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker == 0xFF or marker in STANDALONE_MARKERS:
            place += 1 if marker == 0xFF else 2
            continue
        if marker in FRAME_MARKERS:
            precision, rows, columns, components = struct.unpack_from(">BHHB", stream, place + 4)
            return rows, columns, components, precision
        place += 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
    return None


def _jpeg2000_size(stream: bytes) -> tuple[int, int, int, int] | None:
    """Return rows, columns, components, bits of the SIZ segment (ITU-T T.800 A.5.1)."""
    start = stream.find(b"\xff\x4f\xff\x51", 0, 512)  # some writers leave the JP2 boxes around it
    if start < 0 or start + 43 > len(stream):
        return None
    right, bottom, left, top = struct.unpack_from(">4L", stream, start + 8)
    (components,) = struct.unpack_from(">H", stream, start + 40)
    precision = (stream[start + 42] & 0x7F) + 1
    return bottom - top, right - left, components, precision


def _decode_rle(stream: bytes, layout: PixelLayout) -> NDArray[Any]:
    """Decode RLE Lossless (PS3.5 annex G): one segment per byte of a value, high byte first."""
    segments = int.from_bytes(stream[:4], "little")
    if segments != layout.sample_bytes:
        raise PixelsUnreadable(
            f"the RLE header names {segments} segments; {layout.bits_allocated} bits allocated "
            f"need {layout.sample_bytes}"
        )
    # the codec writes into a buffer of the frame's size: a stream that swells cannot take more
    frame = bytearray(layout.native_bytes)
    dtype = np.dtype(f"<u{layout.sample_bytes}")
    try:
        written = imagecodecs.dicomrle_decode(stream, dtype, out=frame)
    except (RuntimeError, ValueError, TypeError) as error:
        raise PixelsUnreadable(f"the RLE segments cannot be decoded: {error}") from error
    if len(written) != layout.native_bytes:
        raise PixelsUnreadable(
            f"the RLE segments give {len(written):,} bytes; {layout.rows} x {layout.columns} "
            f"need {layout.native_bytes:,}"
        )
    return np.frombuffer(written, dtype).reshape(layout.rows, layout.columns)


def _to_stored(values: NDArray[Any], layout: PixelLayout, shift: int) -> NDArray[Any]:
    """Return the stored values: bits above Bits Stored masked, sign extended."""
    unsigned = np.dtype(f"u{layout.sample_bytes}")
    bits = layout.bits_stored
    stored: NDArray[Any] = values.astype(unsigned, copy=False)  # a signed codec's values wrap
    if shift:
        stored = stored >> unsigned.type(shift)
    if bits < layout.bits_allocated:
        stored = stored & unsigned.type(2**bits - 1)
    if not layout.signed:
        return np.ascontiguousarray(stored)
    # the sign bit is shifted to the top, then back arithmetically
    raised = (stored.astype(np.uint16) << np.uint16(16 - bits)).view(np.int16)
    return raised >> np.int16(16 - bits)
