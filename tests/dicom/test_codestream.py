"""What is read of a codestream before it is decoded, and what is refused by it."""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate

from mammo.dicom.codestream import find_stray_marker, has_end, read_codestream, tile_parts_fit
from mammo.dicom.file import parse_file
from mammo.dicom.header import read_header
from mammo.dicom.pixels import decode_pixels
from mammo.errors import DicomTruncated, PixelsUnreadable, ReadError, TooLarge

from .builders import draw_pixels, make_dataset, to_bytes

PIXELS = draw_pixels(12, rows=70, columns=50)
JPEG = imagecodecs.jpeg8_encode(PIXELS, lossless=True, bitspersample=12)
JPEG_LS = imagecodecs.jpegls_encode(PIXELS)
JPEG2000 = imagecodecs.jpeg2k_encode(
    PIXELS, level=0, codecformat="j2k", reversible=True, bitspersample=12
)
JP2 = imagecodecs.jpeg2k_encode(
    PIXELS, level=0, codecformat="jp2", reversible=True, bitspersample=12
)
HTJ2K = imagecodecs.htj2k_encode(PIXELS, tile=(32, 32))
LONG_BOX = b"\0\0\0\x01jp2c" + struct.pack(">Q", 16 + len(JPEG2000)) + JPEG2000
SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
AFTER = b"\0\0\0\x0cxml abcd"


def decode(stream: bytes, syntax: str) -> np.ndarray:
    dataset = make_dataset(PIXELS, "1.2.840.10008.1.2.1", 12)
    dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{syntax}"
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    file = parse_file(to_bytes(dataset), 2**24)
    return decode_pixels(file, read_header(file)).values


def change(stream: bytes, place: int, form: str, value: int) -> bytes:
    changed = bytearray(stream)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("stream", "codec", "precision", "signed", "levels", "tiles"),
    [
        (JPEG, "jpeg", 12, None, 0, 1),
        (JPEG_LS, "jpegls", 16, None, 0, 1),
        (JPEG2000, "jpeg2k", 12, False, 2, 1),
        (JP2, "jpeg2k", 12, False, 2, 1),
        (HTJ2K, "htj2k", 16, False, 5, 6),
        (imagecodecs.htj2k_encode(PIXELS.astype(np.int16)), "htj2k", 16, True, 5, 1),
    ],
)
def test_reads_size_and_coding(
    stream: bytes, codec: str, precision: int, signed: bool | None, levels: int, tiles: int
) -> None:
    frame = read_codestream(stream, codec)
    assert frame is not None
    assert (frame.rows, frame.columns, frame.components) == (70, 50, 1)
    found = (frame.precision, frame.signed, frame.levels, frame.tiles, frame.lossy)
    assert found == (precision, signed, levels, tiles, False)


@pytest.mark.parametrize(
    ("stream", "codec"),
    [
        (b"", "jpeg"),
        (JPEG[:40], "jpeg"),
        (JPEG, "jpegls"),
        (JPEG_LS, "jpeg"),
        (JPEG2000, "jpeg"),
        (JPEG, "jpeg2k"),
        (JPEG2000[:60], "jpeg2k"),
        (b"\xff\xd8" + b"\xff" * 100_000, "jpeg"),
        (SIGNATURE + AFTER, "jpeg2k"),
        (SIGNATURE + bytes(64), "jpeg2k"),
        (JPEG.replace(b"\xff\xc3", b"\xff\xc2"), "jpeg"),  # progressive is no DICOM process
    ],
)
def test_what_is_no_codestream_is_none(stream: bytes, codec: str) -> None:
    assert read_codestream(stream, codec) is None


@pytest.mark.parametrize(
    ("stream", "syntax"),
    [
        (JP2, "90"),
        (JP2 + AFTER, "90"),
        (SIGNATURE + AFTER + LONG_BOX + AFTER, "90"),
        (JPEG2000 + b"\0", "90"),
        (JPEG + bytes(5000), "70"),
        (JPEG_LS + b"\0", "80"),
        (HTJ2K + b"\0", "202"),
        (JPEG[:2] + b"\xff\xff" + JPEG[2:], "57"),  # fill bytes before a marker
        (JPEG[:2] + b"\xff\xfe\0\x06note" + JPEG[2:], "57"),
    ],
)
def test_padding_and_boxes_are_no_pixels(stream: bytes, syntax: str) -> None:
    np.testing.assert_array_equal(decode(stream, syntax), PIXELS)


@pytest.mark.parametrize(
    ("stream", "syntax", "error", "text"),
    [
        (change(JPEG2000, 24, ">Q", 1 << 32 | 1), "90", TooLarge, "has 3,500 tiles; allowed"),
        (change(JPEG2000, 24, ">Q", 0), "90", PixelsUnreadable, "has 0 tiles"),
        (change(HTJ2K, 24, ">Q", 1 << 32 | 1), "201", TooLarge, "allowed are 1,024"),
        (change(JPEG2000, 8, ">L", 0x7FFFFFFF), "90", PixelsUnreadable, "70 x 2147483647 pixels"),
        (change(JPEG2000, 40, ">H", 16384), "90", PixelsUnreadable, "16384 components"),
        (change(JPEG2000, 42, "B", 37), "90", PixelsUnreadable, "has 38 bits"),
        (JPEG[:400] + b"\xff\xd9", "70", DicomTruncated, "bytes is too short for 70 x 50 pixels"),
        (JPEG2000[:-2], "90", DicomTruncated, "without its end marker FFD9"),
        (JPEG[:-200] + b"\xff\xd9" + JPEG[-200:], "70", PixelsUnreadable, "broken by the marker"),
        (JPEG[:-90] + b"\xff\xe0" + JPEG[-88:], "70", PixelsUnreadable, "by the marker FFE0"),
    ],
)
def test_refused_before_it_is_decoded(
    stream: bytes, syntax: str, error: type[ReadError], text: str
) -> None:
    with pytest.raises(error) as caught:
        decode(stream, syntax)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("tail", "ends"),
    [
        (b"\xff\xd9", True),
        (b"\xff\xd9\0", True),
        (b"\xff\xd9" + b"x" * 14, True),
        (b"\xff\xd9" + bytes(100), True),
        (b"\xff\xd9" + b"x" * 100, False),
        (b"", False),
    ],
)
def test_the_end_may_be_padded(tail: bytes, ends: bool) -> None:
    assert has_end(b"data" * 9 + tail) is ends


@pytest.mark.parametrize(
    ("change_of", "fits"),
    [
        (lambda s: s, True),
        (lambda s: s[:-9] + s[-2:], False),
        (lambda s: s[:-2] + b"\0" + s[-2:], False),
        (lambda s: s[:-20] + b"\xff\x90" + s[-18:], False),
        (lambda s: s.replace(b"\xff\x93", b"\xff\x58", 1), False),
        (lambda s: change(s, s.index(b"\xff\x90") + 6, ">L", 0), False),
        (lambda s: change(s, s.index(b"\xff\x90") + 6, ">L", 2**31), False),
    ],
)
def test_tile_parts_follow_one_another(change_of: Any, fits: bool) -> None:
    frame = read_codestream(change_of(HTJ2K), "htj2k")
    assert frame is not None
    assert tile_parts_fit(frame) is fits


def test_a_whole_scan_has_no_stray_marker() -> None:
    for stream in (JPEG, imagecodecs.jpeg8_encode((PIXELS >> 4).astype(np.uint8))):
        frame = read_codestream(stream, "jpeg")
        assert frame is not None
        assert find_stray_marker(frame) is None
