"""HTJ2K's quick way shows what OpenJPEG shows or nothing; half resolution is the low-pass band."""

from __future__ import annotations

import io
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from mammo.dicom.codestream import Codestream, read_codestream
from mammo.dicom.file import parse_file
from mammo.dicom.header import read_header
from mammo.dicom.jpeg2000 import decode_htj2k, decode_reduced
from mammo.dicom.pixels import decode_pixels
from mammo.dicom.stored_values import DecodedPixels
from mammo.errors import PixelsUnreadable

from .builders import draw_pixels, make_dataset, make_file, to_bytes

J2K, HTJ2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"
BITS = 12
Damage = Callable[[bytearray, int, int, np.random.Generator], None]


def draw_film(rows: int = 200, columns: int = 170) -> np.ndarray:
    """Return texture beside black air, with black last rows: what damage must not look like."""
    y, x = np.mgrid[:rows, :columns]
    film = 1800 + 900 * np.sin(x / 9) * np.cos(y / 13)
    film += np.random.default_rng(0).normal(0, 40, film.shape)
    film[x > columns * 0.6] = 0
    film[-20:] = 0
    film[10:30, 20:40] = 4095
    return np.clip(film, 0, 4095).astype(np.uint16)


def parse(stream: bytes) -> Codestream:
    frame = read_codestream(stream, "htj2k")
    assert frame is not None
    return frame


def decode(
    stream: bytes, syntax: str, reduce: int = 0, pixels: np.ndarray | None = None
) -> DecodedPixels:
    pixels = draw_film() if pixels is None else pixels
    dataset = make_dataset(pixels, "1.2.840.10008.1.2.1", BITS)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    file = parse_file(to_bytes(dataset), 2**24)
    return decode_pixels(file, read_header(file), reduce)


@pytest.mark.parametrize(
    "options", [{}, {"tile": (64, 96)}, {"tlm": True}, {"tilepart": 1}, {"resolutions": 2}], ids=str
)
def test_htj2k_is_decoded_quickly_and_exactly(options: dict[str, object]) -> None:
    film = draw_film()
    stream = imagecodecs.htj2k_encode(film, **options)
    quick = decode_htj2k(parse(stream), BITS)
    assert quick is not None
    np.testing.assert_array_equal(quick, film)
    np.testing.assert_array_equal(decode(stream, HTJ2K).values, film)


@pytest.mark.parametrize(
    ("pixels", "bits", "options"),
    [
        (draw_pixels(16), 16, {}),  # an overflow would not be seen
        (draw_pixels(8), 8, {}),
        (draw_film().astype(np.int16) - 2048, 12, {}),
        (draw_film(), 12, {"level": 0.0005}),  # lossy: overflows are usual
        (draw_film(), 11, {}),  # values above the stored bits
        (np.full((40, 30), 32768, np.uint16), 15, {}),  # the last row is mid-grey
    ],
    ids=["16 bits", "8 bits", "signed", "lossy", "above", "grey"],
)
def test_in_doubt_openjpeg_decides(
    pixels: np.ndarray, bits: int, options: dict[str, object]
) -> None:
    frame = parse(imagecodecs.htj2k_encode(pixels, **options))
    assert decode_htj2k(frame, bits) is None
    expected = imagecodecs.jpeg2k_decode(frame.data)
    if "level" not in options:
        np.testing.assert_array_equal(expected, pixels)


def _zero(stream: bytearray, start: int, end: int, _: np.random.Generator) -> None:
    stream[start:end] = bytes(end - start)


def _fill(stream: bytearray, start: int, end: int, _: np.random.Generator) -> None:
    stream[start:end] = b"\xff" * (end - start)


def _noise(stream: bytearray, start: int, end: int, rng: np.random.Generator) -> None:
    stream[start:end] = rng.integers(0, 256, end - start).astype(np.uint8).tobytes()


def _delete(stream: bytearray, start: int, end: int, _: np.random.Generator) -> None:
    del stream[start:end]


def _insert(stream: bytearray, start: int, end: int, _: np.random.Generator) -> None:
    stream[start:start] = stream[start:end]


def _cut(stream: bytearray, start: int, _: int, __: np.random.Generator) -> None:
    stream[start:] = b"\xff\xd9"


def _zero_tail(stream: bytearray, start: int, _: int, __: np.random.Generator) -> None:
    stream[start:-2] = bytes(len(stream) - start - 2)


@pytest.mark.parametrize("damage", [_zero, _fill, _noise, _delete, _insert, _cut, _zero_tail])
@pytest.mark.parametrize("options", [{}, {"tile": (64, 96)}, {"tilepart": 1}], ids=str)
def test_damage_is_refused_or_shown_as_openjpeg_does(
    options: dict[str, object], damage: Damage
) -> None:
    """OpenJPH alone shows about half of these, black from the damage on."""
    film = draw_film()
    clean, rng = imagecodecs.htj2k_encode(film, **options), np.random.default_rng(7)
    refused = 0
    for start in rng.integers(100, len(clean) - 60, 12):
        stream = bytearray(clean)
        damage(stream, int(start), int(start) + 50, rng)
        try:
            expected = imagecodecs.jpeg2k_decode(bytes(stream))
        except RuntimeError:
            refused += 1
            with pytest.raises(PixelsUnreadable, match="cannot be decoded"):
                decode(bytes(stream), HTJ2K)
            continue
        shown = decode(bytes(stream), HTJ2K).values
        np.testing.assert_array_equal(shown, expected & 4095)
    assert refused or damage is _fill


def split(values: np.ndarray) -> np.ndarray:
    """Return the low-pass half of reversible 5/3 lifting along the rows (T.800 F.4.8.1)."""
    padded = np.pad(values, ((2, 3), (0, 0)), mode="reflect")
    high = padded[1::2][: len(padded) // 2]
    even = padded[::2]
    high = high[: len(even) - 1] - ((even[:-1] + even[1:]) >> 1)
    low = even[1:-1] + ((high[:-1] + high[1:] + 2) >> 2)
    return low[: -(-len(values) // 2)]


@pytest.mark.parametrize("shape", [(200, 170), (199, 171), (65, 64)])
@pytest.mark.parametrize("syntax", [J2K, HTJ2K])
def test_half_resolution_is_the_low_pass_band(syntax: str, shape: tuple[int, int]) -> None:
    film = draw_film(*shape)
    stream = (
        imagecodecs.htj2k_encode(film)
        if syntax == HTJ2K
        else imagecodecs.jpeg2k_encode(
            film, level=0, codecformat="j2k", reversible=True, bitspersample=BITS
        )
    )
    half = decode(stream, syntax, reduce=1, pixels=film)
    precision = parse(stream).precision
    band = split(split(film.astype(np.int32) - 2 ** (precision - 1)).T).T + 2 ** (precision - 1)
    assert half.reduction == 1
    assert (band.min() < 0, band.max() > 4095) == (True, True)  # the filter overshoots
    np.testing.assert_array_equal(half.values, np.clip(band, 0, 2**BITS - 1))
    assert "BITS_ABOVE_STORED" not in half.quality


@pytest.mark.parametrize("bits", [8, 9, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_half_resolution_keeps_the_domain_of_values(bits: int, signed: bool) -> None:
    y, x = np.mgrid[:96, :80]
    low = -(2 ** (bits - 1)) if signed else 0
    ramp = low + (y + x) / 180 * (2**bits - 1)
    dtype = f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"
    pixels = ramp.astype(dtype)
    stream = imagecodecs.jpeg2k_encode(
        pixels, level=0, codecformat="j2k", reversible=True, bitspersample=bits
    )
    half = decode_reduced(parse(stream), 1)
    step = 2**bits / 180
    assert np.abs(half.astype(int) - pixels[::2, ::2]).max() <= step + 1


def test_twos_complement_in_an_unsigned_stream_is_not_reduced() -> None:
    film = (draw_film() - 2048).astype(np.int16)
    stream = imagecodecs.jpeg2k_encode(
        film.view(np.uint16) & 4095,
        level=0,
        codecformat="j2k",
        reversible=True,
        bitspersample=BITS,
    )
    whole = decode(stream, J2K, reduce=1, pixels=film)
    assert whole.reduction == 0
    np.testing.assert_array_equal(whole.values, film)


def test_cells_with_bits_around_the_stored_ones_are_not_reduced() -> None:
    """The mean of overlay bits would carry into the values."""
    pixels = draw_pixels(12, rows=64, columns=64)
    data = make_file(pixels << 2 | 0xC001, J2K, 16, BitsStored=12, HighBit=13)
    file = parse_file(data, 2**24)
    whole = decode_pixels(file, read_header(file), 1)
    assert whole.reduction == 0
    np.testing.assert_array_equal(whole.values, pixels)


def test_streams_without_levels_are_decoded_whole() -> None:
    film = draw_film()
    stream = imagecodecs.jpeg2k_encode(
        film, level=0, codecformat="j2k", reversible=True, bitspersample=BITS, resolutions=1
    )
    assert parse(stream).levels == 0
    whole = decode(stream, J2K, reduce=1)
    assert whole.reduction == 0
    np.testing.assert_array_equal(whole.values, film)


def test_damage_is_refused_at_half_resolution_too() -> None:
    stream = bytearray(imagecodecs.htj2k_encode(draw_film()))
    stream[150:400:5] = bytes(len(stream[150:400:5]))
    with pytest.raises(PixelsUnreadable, match="cannot be decoded"):
        decode(bytes(stream), HTJ2K, reduce=1)


def test_pillow_reads_the_same_full_image() -> None:
    """The tests' ground: both OpenJPEGs agree on an undamaged film."""
    film = draw_film()
    stream = imagecodecs.jpeg2k_encode(
        film, level=0, codecformat="j2k", reversible=True, bitspersample=BITS
    )
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stream))) >> 4, film)
