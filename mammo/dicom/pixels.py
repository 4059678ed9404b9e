"""Pixel Data to stored values, exact or not at all.

imagecodecs decodes: it is exact, the fastest measured here, and releases the
interpreter lock, so that a server goes on answering. What a codestream says of
itself is compared with the header before it is decoded, and its end is looked
for: libjpeg fills what is missing with grey and reports success.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from mammo.dicom.codestream import Codestream, find_stray_marker, has_end, read_codestream
from mammo.dicom.file import DicomFile, PixelElement, read_pixel_element
from mammo.dicom.header import CODECS, Header, PixelLayout
from mammo.dicom.jpeg2000 import decode_htj2k, decode_reduced
from mammo.dicom.stored_values import DecodedPixels, low_bits, to_stored
from mammo.errors import DicomTruncated, PixelsUnreadable, TooLarge

MAX_TILES = 1024
"""Of JPEG 2000; OpenJPEG takes 6 kB for each before it decodes one."""
MAX_LEVELS = 32
"""Wavelet decompositions (T.800 A.6.1)."""

Decoder = Callable[[bytes], NDArray[Any]]
DECODERS: dict[str, tuple[Decoder, ...]] = {
    "jpeg": (imagecodecs.jpeg8_decode, imagecodecs.jpegsof3_decode),
    "jpegls": (imagecodecs.jpegls_decode,),
    "jpeg2k": (imagecodecs.jpeg2k_decode,),
    "htj2k": (imagecodecs.jpeg2k_decode,),
}
"""Codec -> decoders, the next is tried when one refuses; all are exact. HTJ2K is
tried by :func:`mammo.dicom.jpeg2000.decode_htj2k` before."""


def decode_pixels(file: DicomFile, header: Header, reduce: int = 0) -> DecodedPixels:
    """Decode the frame; JPEG 2000 and HTJ2K at 1 / 2**``reduce`` where their levels allow it.

    Raises
    ------
    DicomTruncated
        The data ends early.
    TooLarge
        A JPEG 2000 codestream has more than :data:`MAX_TILES` tiles.
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
        return to_stored(_read_native(element, layout, file.little_endian), layout)
    stream = b"".join(element.fragments)
    if codec == "rle":
        return to_stored(_decode_rle(stream, layout), layout)
    frame = read_codestream(stream, codec)
    if frame is None:
        raise PixelsUnreadable(
            f"Pixel Data (7FE0,0010) of {len(stream):,} bytes begins with no {codec} codestream"
        )
    _check_codestream(frame, codec, layout)
    # the low-pass band of two's complement in an unsigned stream would be none of its values,
    # nor would that of a cell with other bits around its value
    plain = frame.signed == layout.signed and not low_bits(layout)
    reduction = reduce if plain and frame.levels >= reduce else 0
    return to_stored(_decode(frame, codec, layout, reduction), layout, frame, reduction)


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


def _check_codestream(frame: Codestream, codec: str, layout: PixelLayout) -> None:
    """Refuse what is of another size or has no end, before memory is spent on it."""
    found = frame.rows, frame.columns, frame.components
    if found != (layout.rows, layout.columns, 1):
        raise PixelsUnreadable(
            f"the codestream has {frame.rows} x {frame.columns} pixels and {frame.components} "
            f"components; Rows x Columns (0028,0010-0011) are {layout.rows} x {layout.columns}"
        )
    if frame.precision > layout.bits_allocated:
        raise PixelsUnreadable(
            f"the codestream has {frame.precision} bits; Bits Allocated (0028,0100) are "
            f"{layout.bits_allocated}"
        )
    if low_bits(layout) and frame.precision < layout.bits_allocated:
        raise PixelsUnreadable(
            f"the codestream has {frame.precision} bits; High Bit (0028,0102) {layout.high_bit} "
            f"of Bits Stored (0028,0101) {layout.bits_stored} needs {layout.bits_allocated}"
        )
    if frame.tiles > MAX_TILES:
        raise TooLarge(f"the codestream has {frame.tiles:,} tiles; allowed are {MAX_TILES:,}")
    if frame.tiles < 1 or frame.levels > MAX_LEVELS:
        raise PixelsUnreadable(
            f"the codestream has {frame.tiles} tiles and {frame.levels} decomposition levels"
        )
    if 8 * (len(frame.data) - frame.body) < frame.least_bits:
        raise DicomTruncated(
            f"the codestream of {len(frame.data):,} bytes is too short for "
            f"{frame.rows} x {frame.columns} pixels"
        )
    if not has_end(frame.data):
        raise DicomTruncated(
            f"the codestream ends after {len(frame.data):,} bytes without its end marker FFD9"
        )
    if codec == "jpeg" and (place := find_stray_marker(frame)) is not None:
        raise PixelsUnreadable(
            f"the JPEG scan is broken by the marker FF{frame.data[place + 1]:02X} "
            f"at byte {place:,} of {len(frame.data):,}"
        )


def _decode(frame: Codestream, codec: str, layout: PixelLayout, reduction: int) -> NDArray[Any]:
    """Decode a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream."""
    if codec == "htj2k" and not reduction:
        quick = decode_htj2k(frame, layout.bits_stored)
        if quick is not None and quick.shape == (layout.rows, layout.columns):
            return quick
    decoders: tuple[Decoder, ...] = DECODERS[codec]
    if reduction:
        decoders = (lambda _: decode_reduced(frame, reduction),)
    shape = -(-layout.rows >> reduction), -(-layout.columns >> reduction)
    failures = []
    for decoder in decoders:
        try:
            decoded = decoder(frame.data)
        except (RuntimeError, ValueError, TypeError, OSError, SyntaxError) as error:
            failures.append(f"{decoder.__name__}: {error}")
            continue
        if decoded.shape == shape and decoded.dtype.kind in "iu":
            return decoded
        failures.append(f"{decoder.__name__} gave {decoded.dtype} {decoded.shape}")
    raise PixelsUnreadable(f"Pixel Data (7FE0,0010) cannot be decoded: {'; '.join(failures)}")


def _decode_rle(stream: bytes, layout: PixelLayout) -> NDArray[Any]:
    """Decode RLE Lossless (PS3.5 annex G): one segment per byte of a value, high byte first."""
    segments = int.from_bytes(stream[:4], "little")
    if segments != layout.sample_bytes:
        raise PixelsUnreadable(
            f"the RLE header names {segments} segments; {layout.bits_allocated} bits allocated "
            f"need {layout.sample_bytes}"
        )
    offsets = [int.from_bytes(stream[4 * n : 4 * n + 4], "little") for n in range(1, segments + 1)]
    # the codec itself follows an offset out of the stream, into other memory (PS3.5 G.5)
    if offsets != sorted(offsets) or not 64 <= offsets[0] <= offsets[-1] <= len(stream):
        raise PixelsUnreadable(
            f"the RLE header names segments at {offsets} of a stream of {len(stream):,} bytes"
        )
    # the codec writes into a buffer of the frame's size: a stream that swells cannot take more;
    # NumPy's zeros cost nothing before they are written
    frame = np.zeros(layout.native_bytes, np.uint8)
    dtype = np.dtype(f"<u{layout.sample_bytes}")
    try:
        written = imagecodecs.dicomrle_decode(stream, dtype, out=frame.data)
    except (RuntimeError, ValueError, TypeError) as error:
        raise PixelsUnreadable(f"the RLE segments cannot be decoded: {error}") from error
    if len(written) != layout.native_bytes:
        raise PixelsUnreadable(
            f"the RLE segments give {len(written):,} bytes; {layout.rows} x {layout.columns} "
            f"need {layout.native_bytes:,}"
        )
    return np.frombuffer(written, dtype).reshape(layout.rows, layout.columns)
