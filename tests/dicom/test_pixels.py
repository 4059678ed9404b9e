"""Every transfer syntax gives back exactly the pixels that went in, or refuses."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, get_frame
from pydicom.filebase import DicomBytesIO
from pydicom.pixels import get_decoder

from mammo.dicom.file import parse_file
from mammo.dicom.header import CODECS, check_header, read_header
from mammo.dicom.pixels import DECODERS, decode_pixels
from mammo.dicom.stored_values import DecodedPixels
from mammo.errors import DicomTruncated, PixelsUnreadable, ReadError, TooLarge

from .builders import ENCODERS, draw_pixels, make_dataset, make_file, to_bytes

NATIVE = [uid for uid, codec in CODECS.items() if codec == "native"]
DECODED_BY_PYDICOM = [*NATIVE, *(uid for uid in ENCODERS if get_decoder(uid).is_available)]
EXPLICIT, JPEG_LOSSLESS, J2K, LOSSY_2000, RLE = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
)


Encoder = Callable[[np.ndarray], bytes]


def decode_all(data: bytes) -> DecodedPixels:
    file = parse_file(data, 2**24)
    header = read_header(file)
    check_header(header, file)
    return decode_pixels(file, header)


def decode(data: bytes) -> np.ndarray:
    return decode_all(data).values


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("syntax", [*NATIVE, *ENCODERS])
def test_decodes_exactly(syntax: str, bits: int) -> None:
    pixels = draw_pixels(bits)
    decoded = decode(make_file(pixels, syntax, bits))
    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("bits", range(9, 17))
@pytest.mark.parametrize("syntax", [*NATIVE, *ENCODERS])
def test_extends_the_sign(syntax: str, bits: int) -> None:
    pixels = draw_pixels(bits, signed=True)
    masked = (pixels.view(np.uint16) & (2**bits - 1)).astype(np.uint16).view(np.int16)
    decoded = decode(make_file(masked, syntax, bits))
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", DECODED_BY_PYDICOM)
def test_agrees_with_pydicom(syntax: str, bits: int) -> None:
    data = make_file(draw_pixels(bits), syntax, bits)
    np.testing.assert_array_equal(decode(data), dcmread(DicomBytesIO(data)).pixel_array)


@pytest.mark.parametrize(
    ("high_bit", "place"), [(11, 0), (15, 4), (13, 2)], ids=["overlay above", "shifted", "middle"]
)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, *ENCODERS])
def test_masks_bits_outside_the_stored_ones(
    syntax: str, signed: bool, high_bit: int, place: int
) -> None:
    """Codecs code the whole cell where its bits are not the lowest (RLE: PS3.5 annex G)."""
    pixels = draw_pixels(12, signed)
    noise = np.random.default_rng(0).integers(0, 2**16, pixels.shape, dtype=np.uint16)
    mask = np.uint16(0xFFF << place)
    cells = ((pixels.view(np.uint16) << place) & mask) | (noise & ~mask)
    changes = {"BitsStored": 12, "HighBit": high_bit, "PixelRepresentation": int(signed)}
    decoded = decode(make_file(cells, syntax, 16, **changes))
    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded, pixels)


def test_shifts_a_lossy_cell_before_anything_is_clipped() -> None:
    pixels = _smooth(12)
    dataset = make_dataset(pixels << 4, LOSSY_2000, 16, BitsStored=12, HighBit=15)
    stream = _jpeg2000(pixels << 4, 16, level=90, reversible=False)
    dataset.PixelData = encapsulate([stream])
    np.testing.assert_allclose(decode(to_bytes(dataset)).astype(int), pixels, atol=4)


@pytest.mark.parametrize(("precision", "bits"), [(12, 16), (12, 14), (8, 12)])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.57", JPEG_LOSSLESS])
def test_jpeg_has_no_sign(syntax: str, precision: int, bits: int) -> None:
    """With a negative value, two's complement of Bits Stored would need all of its bits."""
    pixels = draw_pixels(precision).astype(np.int16)
    dataset = make_dataset(pixels, EXPLICIT, bits)
    dataset.file_meta.TransferSyntaxUID = syntax
    narrow = pixels.astype(np.uint8 if precision == 8 else np.uint16)
    dataset.PixelData = encapsulate([ENCODERS[syntax](narrow, precision)])
    decoded = decode_all(to_bytes(dataset))
    assert (decoded.values.dtype, decoded.quality) == (np.int16, (MISMATCH,))
    np.testing.assert_array_equal(decoded.values, pixels)


ABOVE = "BITS_ABOVE_STORED"
MISMATCH = "PRECISION_MISMATCH"


@pytest.mark.parametrize(
    ("signed", "bits", "raw", "value", "codes"),
    [
        (False, 12, 0x0FFF, 4095, ()),
        (False, 12, 0x1234, 0x234, (ABOVE,)),
        (False, 16, 0xF234, 0xF234, ()),
        (True, 12, 0x0FFF, -1, ()),
        (True, 12, 0xFFFF, -1, ()),  # the sign repeated above: nothing is lost
        (True, 12, 0x0800, -2048, ()),
        (True, 12, 0x1FFF, -1, (ABOVE,)),
        (True, 12, 0x1001, 1, (ABOVE,)),
    ],
)
def test_names_what_was_masked(
    signed: bool, bits: int, raw: int, value: int, codes: tuple[str, ...]
) -> None:
    pixels = np.full((8, 6), 5, np.uint16)
    pixels[3, 4] = raw
    decoded = decode_all(make_file(pixels, EXPLICIT, bits, PixelRepresentation=int(signed)))
    assert (decoded.values[3, 4], decoded.values[0, 0], decoded.quality) == (value, 5, codes)


@pytest.mark.parametrize(
    ("stream_bits", "stream_signed", "bits", "signed", "codes"),
    [
        (12, False, 12, False, ()),
        (12, True, 12, True, ()),
        (16, True, 16, True, ()),
        (16, False, 12, False, (MISMATCH,)),
        (12, False, 16, False, (MISMATCH,)),
        (16, True, 12, True, (MISMATCH,)),
        (12, True, 16, True, (MISMATCH,)),
        (13, False, 13, True, (MISMATCH,)),  # pydicom's J2K_pixelrep_mismatch.dcm
        (12, False, 16, True, (MISMATCH,)),
        (12, True, 12, False, (MISMATCH,)),
        (12, True, 16, False, (MISMATCH,)),
    ],
)
def test_a_codestream_may_differ_from_the_header(
    stream_bits: int, stream_signed: bool, bits: int, signed: bool, codes: tuple[str, ...]
) -> None:
    """The stream's bits are kept: as two's complement where the header says signed."""
    wide = min(stream_bits, bits)
    expected = draw_pixels(wide, signed)
    patterns = expected.astype(np.int32) & (2**stream_bits - 1 if stream_signed else 2**wide - 1)
    coded = patterns.astype(np.uint16)
    if stream_signed:
        coded = (coded << (16 - stream_bits)).view(np.int16) >> (16 - stream_bits)
    stream = imagecodecs.jpeg2k_encode(
        coded, level=0, codecformat="j2k", reversible=True, bitspersample=stream_bits
    )
    dataset = make_dataset(expected, J2K, bits)
    dataset.PixelData = encapsulate([stream])
    decoded = decode_all(to_bytes(dataset))
    np.testing.assert_array_equal(decoded.values, expected)
    assert decoded.quality == codes


LOSSY = "LOSSY_COMPRESSED"


def _smooth(bits: int) -> np.ndarray:
    y, x = np.mgrid[:64, :48]
    dtype = np.uint8 if bits == 8 else np.uint16
    return ((y * 3 + x) / 240 * (2**bits - 1) * 0.9).astype(dtype)


@pytest.mark.parametrize(
    ("syntax", "bits", "encode", "codes", "bound"),
    [
        ("50", 8, lambda a: imagecodecs.jpeg8_encode(a, level=90), (LOSSY,), 4),
        ("51", 12, lambda a: imagecodecs.jpeg8_encode(a, level=90, bitspersample=12), (LOSSY,), 64),
        ("80", 12, lambda a: imagecodecs.jpegls_encode(a), (), 0),
        ("81", 8, lambda a: imagecodecs.jpegls_encode(a, level=2), (LOSSY,), 2),
        ("81", 16, lambda a: imagecodecs.jpegls_encode(a, level=5), (LOSSY,), 5),
        ("81", 16, lambda a: imagecodecs.jpegls_encode(a), (), 0),
        ("81", 12, lambda a: imagecodecs.jpegls_encode(a, level=3), (LOSSY,), 3),
        ("90", 12, lambda a: _jpeg2000(a, 12, level=0, reversible=True), (), 0),
        ("91", 12, lambda a: _jpeg2000(a, 12, level=60, reversible=False), (LOSSY,), 24),
        ("91", 16, lambda a: _jpeg2000(a, 16, level=0, reversible=True), (), 0),
        ("203", 16, lambda a: imagecodecs.htj2k_encode(a, level=0.0001), (LOSSY,), 32),
        ("202", 16, lambda a: imagecodecs.htj2k_encode(a), (), 0),
    ],
)
def test_loss_is_known_from_the_codestream(
    syntax: str, bits: int, encode: Encoder, codes: tuple[str, ...], bound: int
) -> None:
    pixels = _smooth(bits)
    dataset = make_dataset(pixels, f"1.2.840.10008.1.2.4.{syntax}", bits)
    dataset.PixelData = encapsulate([encode(pixels)])
    dataset["PixelData"].is_undefined_length = True
    decoded = decode_all(to_bytes(dataset))
    assert tuple(code for code in decoded.quality if code != MISMATCH) == codes
    assert np.abs(decoded.values.astype(int) - pixels).max() <= bound
    np.testing.assert_array_equal(decoded.values, pixels) if not bound else None


def _jpeg2000(pixels: np.ndarray, bits: int, **more: Any) -> bytes:
    return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", bitspersample=bits, **more)


def test_an_overshoot_stays_white() -> None:
    """The stream has 16 bits, the header 12: values above 4095 are the filter's, not overlays."""
    pixels = np.zeros((64, 48), np.uint16)
    pixels[16:48, 12:36] = 4095
    dataset = make_dataset(pixels, "1.2.840.10008.1.2.4.91", 12)
    stream = _jpeg2000(pixels, 16, level=70, reversible=False)
    assert imagecodecs.jpeg2k_decode(stream).max() > 4095
    dataset.PixelData = encapsulate([stream])
    decoded = decode_all(to_bytes(dataset))
    assert decoded.quality == (LOSSY, MISMATCH)
    assert np.abs(decoded.values.astype(int) - pixels).max() < 200


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_predictor_of_jpeg_lossless(predictor: int, bits: int) -> None:
    pixels = draw_pixels(bits)
    stream = imagecodecs.jpeg8_encode(
        pixels, lossless=True, predictor=predictor, bitspersample=bits
    )
    assert stream[stream.index(b"\xff\xda") + 7] == predictor
    dataset = make_dataset(pixels, "1.2.840.10008.1.2.4.57", bits)
    dataset.PixelData = encapsulate([stream])
    np.testing.assert_array_equal(decode(to_bytes(dataset)), pixels)


def test_restart_markers_belong_to_the_scan() -> None:
    stream = io.BytesIO()
    pixels = _smooth(8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=90, restart_marker_blocks=1)
    assert b"\xff\xd3" in stream.getvalue()
    dataset = make_dataset(pixels, "1.2.840.10008.1.2.4.50", 8)
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    np.testing.assert_allclose(decode(to_bytes(dataset)), pixels, atol=6)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_expb.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_padded.dcm", "MR_small.dcm"),
    ],
)
def test_pydicoms_files_have_one_image_in_every_syntax(name: str, twin: str) -> None:
    decoded, plain = (decode_foreign(get_testdata_file(file)) for file in (name, twin))
    np.testing.assert_array_equal(decoded.values, plain.values)
    np.testing.assert_array_equal(plain.values, dcmread(get_testdata_file(twin)).pixel_array)


def test_a_sign_that_the_codestream_denies() -> None:
    path = get_testdata_file("J2K_pixelrep_mismatch.dcm")
    decoded = decode_foreign(path)
    assert (decoded.quality, decoded.values[0, 0]) == ((MISMATCH,), -2000)
    np.testing.assert_array_equal(decoded.values, dcmread(path).pixel_array)


def decode_foreign(path: str) -> DecodedPixels:
    """Decode an image that is no mammogram."""
    file = parse_file(Path(path).read_bytes(), 2**24)
    return decode_pixels(file, read_header(file))


def test_big_endian_words_hold_swapped_bytes() -> None:
    pixels = draw_pixels(8, rows=3, columns=5)
    padded = pixels.tobytes() + b"\0"
    dataset = make_dataset(pixels, "1.2.840.10008.1.2.2", 8)
    dataset.PixelData = np.frombuffer(padded, "<u2").astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    np.testing.assert_array_equal(decode(to_bytes(dataset)), pixels)


def test_joins_the_fragments_of_a_frame() -> None:
    pixels = draw_pixels(12)
    dataset = make_dataset(pixels, JPEG_LOSSLESS, 12)
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([stream], fragments_per_frame=3)
    np.testing.assert_array_equal(decode(to_bytes(dataset)), pixels)


def test_a_signed_codestream_agrees_with_pixel_representation() -> None:
    pixels = draw_pixels(16, signed=True)
    dataset = make_dataset(pixels, J2K, 16)
    stream = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True)
    dataset.PixelData = encapsulate([stream])
    np.testing.assert_array_equal(decode(to_bytes(dataset)), pixels)


@pytest.mark.parametrize("name", [decoder.__name__ for decoder in DECODERS["jpeg"]])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_lossless_differences_wrap(name: str, bits: int) -> None:
    pixels = draw_pixels(bits)
    pixels[:, ::2], pixels[:, 1::2] = 0, 2**bits - 1  # every difference is the largest
    for encoded in (ENCODERS[uid](pixels, bits) for uid in list(ENCODERS)[:2]):
        np.testing.assert_array_equal(getattr(imagecodecs, name)(encoded), pixels)


def _with_stream(syntax: str, stream: bytes) -> bytes:
    dataset = make_dataset(draw_pixels(12), syntax, 12)
    dataset.PixelData = encapsulate([stream])
    return to_bytes(dataset)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("syntax", list(ENCODERS))
def test_a_stream_cut_short_is_refused(syntax: str, kept: float) -> None:
    stream = ENCODERS[syntax](draw_pixels(12), 12)
    with pytest.raises((DicomTruncated, PixelsUnreadable)):
        decode(_with_stream(syntax, stream[: int(len(stream) * kept)]))


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (
            _with_stream(JPEG_LOSSLESS, ENCODERS[JPEG_LOSSLESS](draw_pixels(12, rows=99), 12)),
            PixelsUnreadable,
            "codestream has 99 x 24 pixels and 1 components; Rows x Columns",
        ),
        (
            _with_stream(J2K, ENCODERS[J2K](draw_pixels(12, columns=9999), 12)),
            PixelsUnreadable,
            "codestream has 37 x 9999 pixels",
        ),
        (_with_stream(J2K, b"\0" * 900), PixelsUnreadable, "begins with no jpeg2k codestream"),
        (
            _with_stream(JPEG_LOSSLESS, b"\xff" * 900),
            PixelsUnreadable,
            "begins with no jpeg codestream",
        ),
        (_with_stream(RLE, b"\x03" + bytes(99)), PixelsUnreadable, "RLE header names 3 segments"),
        (
            _with_stream(RLE, ENCODERS[RLE](draw_pixels(12, rows=3000), 12)),
            PixelsUnreadable,
            "RLE segments cannot be decoded",
        ),
        (
            _with_stream(RLE, ENCODERS[RLE](draw_pixels(12, rows=3), 12)),
            PixelsUnreadable,
            "RLE segments give 144 bytes; 37 x 24 need 1,776",
        ),
        (make_file(Rows=999), DicomTruncated, "999 x 24 of 2 bytes need 47,952"),
        (make_file(Rows=65535, Columns=65535), TooLarge, "65,535 x 65,535 pixels; allowed are"),
        (make_file(PixelData=None), PixelsUnreadable, "has no Pixel Data"),
        (make_file(Rows=0), PixelsUnreadable, "0 x 24"),
        (make_file(BitsStored=17), PixelsUnreadable, "16, 17, 11; allowed are 8 or 16"),
        (make_file(BitsAllocated=32), PixelsUnreadable, "32, 12, 11"),
        (
            make_file(syntax=JPEG_LOSSLESS, HighBit=15),
            PixelsUnreadable,
            "codestream has 12 bits; High Bit (0028,0102) 15 of Bits Stored (0028,0101) 12 needs",
        ),
        (make_file(SamplesPerPixel=3), PixelsUnreadable, "MONOCHROME2 with 3 samples"),
        (make_file(PhotometricInterpretation="RGB"), PixelsUnreadable, "is RGB"),
    ],
)
def test_refusals_say_what_is_wrong(data: bytes, error: type[ReadError], text: str) -> None:
    with pytest.raises(error) as caught:
        decode(data)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "used", "text"),
    [
        (EXPLICIT, JPEG_LOSSLESS, "says uncompressed, Pixel Data .* is compressed"),
        (JPEG_LOSSLESS, EXPLICIT, "says compressed, Pixel Data .* is uncompressed"),
    ],
)
def test_a_wrong_transfer_syntax_is_named(stated: str, used: str, text: str) -> None:
    data = make_file(syntax=used)
    element = b"\x02\x00\x10\x00UI"
    start = data.index(element) + len(element)
    length = int.from_bytes(data[start : start + 2], "little")
    uid = stated.encode() + b"\0" * (len(stated) % 2)
    data = data[:start] + len(uid).to_bytes(2, "little") + uid + data[start + 2 + length :]
    with pytest.raises(PixelsUnreadable, match=text):
        decode(data)
