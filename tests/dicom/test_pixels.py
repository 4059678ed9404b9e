"""Every transfer syntax gives back exactly the pixels that went in, or refuses."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.filebase import DicomBytesIO
from pydicom.pixels import get_decoder

from mammo.dicom.file import parse_file
from mammo.dicom.header import CODECS, check_header, read_header
from mammo.dicom.pixels import DECODERS, decode_pixels
from mammo.errors import DicomTruncated, PixelsUnreadable, ReadError, TooLarge

from .builders import ENCODERS, draw_pixels, make_dataset, make_file, to_bytes

NATIVE = [uid for uid, codec in CODECS.items() if codec == "native"]
DECODED_BY_PYDICOM = [*NATIVE, *(uid for uid in ENCODERS if get_decoder(uid).is_available)]
EXPLICIT, JPEG_LOSSLESS, J2K, RLE = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)


def decode(data: bytes) -> np.ndarray:
    file = parse_file(data, 2**24)
    header = read_header(file)
    check_header(header, file)
    return decode_pixels(file, header)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", [*NATIVE, *ENCODERS])
def test_decodes_exactly(syntax: str, bits: int) -> None:
    pixels = draw_pixels(bits)
    decoded = decode(make_file(pixels, syntax, bits))
    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("bits", [10, 12, 16])
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
def test_masks_bits_outside_the_stored_ones(high_bit: int, place: int) -> None:
    pixels = draw_pixels(12)
    noise = np.random.default_rng(0).integers(0, 2**16, pixels.shape, dtype=np.uint16)
    holes = np.uint16(0xFFFF ^ (0xFFF << place))
    data = make_file((pixels << place) | (noise & holes), EXPLICIT, 12, HighBit=high_bit)
    np.testing.assert_array_equal(decode(data), pixels)


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


def test_a_damaged_htj2k_stream_is_not_shown_half_black() -> None:
    stream = bytearray(
        ENCODERS["1.2.840.10008.1.2.4.201"](draw_pixels(12, rows=200, columns=200), 12)
    )
    stream[200:-200:50] = bytes(len(stream[200:-200:50]))
    dataset = make_dataset(draw_pixels(12, rows=200, columns=200), "1.2.840.10008.1.2.4.201", 12)
    dataset.PixelData = encapsulate([bytes(stream)])
    with pytest.raises(PixelsUnreadable, match="jpeg2k_decode"):
        decode(to_bytes(dataset))


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
        (_with_stream(JPEG_LOSSLESS, b"\xff" * 900), PixelsUnreadable, "begins with no jpeg"),
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
