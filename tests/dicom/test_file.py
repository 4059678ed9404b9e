"""Any bytes give a data set or a refusal with a code, wherever the file was cut."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammo.dicom.file import parse_file
from mammo.dicom.inflate import INFLATE_STEP, inflate
from mammo.dicom.preamble import OTHER_FORMATS
from mammo.dicom.read import read_mammogram
from mammo.errors import DicomTruncated, EmptyFile, NotDicom, PixelsUnreadable, ReadError, TooLarge

from .builders import ENCODERS, draw_pixels, make_file

EXPLICIT, DEFLATED, BIG_ENDIAN = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
IMPLICIT, JPEGLS, RLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"
SMALL = draw_pixels(12, rows=9, columns=7)


def read(data: bytes) -> None:
    read_mammogram(data, key=b"key", site="site")


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, JPEGLS, RLE])
def test_every_cut_is_refused(syntax: str) -> None:
    data = make_file(SMALL, syntax)
    read(data)
    pixel_element = 8 if syntax in (JPEGLS, RLE) else 0  # without the last delimiter all is there
    for kept in range(len(data) - pixel_element):
        with pytest.raises(ReadError) as caught:
            read(data[:kept])
        if kept >= 160 and syntax != DEFLATED:
            assert isinstance(caught.value, (DicomTruncated, PixelsUnreadable)), kept


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEGLS, RLE])
def test_a_cut_in_the_pixels_is_called_truncated(syntax: str) -> None:
    data = make_file(SMALL, syntax)
    for missing in (10, 40, 70):
        with pytest.raises(DicomTruncated, match="Pixel Data"):
            read(data[:-missing])


@pytest.mark.filterwarnings("ignore:Expected .* VR")
@pytest.mark.parametrize("syntax", [IMPLICIT, DEFLATED, *ENCODERS])
@settings(max_examples=40, deadline=None)
@given(place=st.integers(132, 2000), junk=st.binary(min_size=1, max_size=40))
def test_damaged_bytes_never_escape_as_another_error(syntax: str, place: int, junk: bytes) -> None:
    data = make_file(SMALL, syntax)
    place %= len(data)
    try:
        read(data[:place] + junk + data[place + len(junk) :])
    except ReadError as error:
        assert error.code != "UNREADABLE"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=600))
def test_noise_after_the_prefix_never_escapes_as_another_error(noise: bytes) -> None:
    for data in (noise, bytes(128) + b"DICM" + noise):
        with pytest.raises(ReadError):
            read(data)


@pytest.mark.parametrize("kept_from", [132, 128], ids=["nothing", "prefix without preamble"])
def test_a_missing_preamble_is_tolerated(kept_from: int) -> None:
    read(make_file(SMALL, JPEGLS)[kept_from:])


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_missing_file_meta_information_is_tolerated(syntax: str) -> None:
    data = make_file(SMALL, syntax)
    read(data[data.index(b"\x08\x00\x16\x00") :])


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"", EmptyFile, "0 bytes"),
        (b"patient;view\n1;L CC\n" * 9, NotDicom, "no DICM prefix"),
        (bytes(128) + b"DICM", DicomTruncated, "ends after 132 bytes"),
        (bytes(200), NotDicom, "no DICM prefix"),
        (bytes(2**20 + 1), TooLarge, "1,048,577 bytes; allowed are 1,048,576"),
        *((magic + bytes(200), NotDicom, name) for magic, name in OTHER_FORMATS.items()),
    ],
)
def test_refusals_say_what_was_found(data: bytes, error: type[ReadError], text: str) -> None:
    with pytest.raises(error) as caught:
        parse_file(data, 2**20)
    assert text in str(caught.value)


@pytest.mark.parametrize("extra", [0, 1, 5, 10, 11, 300])
def test_a_deflated_body_may_end_anywhere(extra: int) -> None:
    """zlib may hold the last bytes back when it has taken all its input."""
    body = bytes(INFLATE_STEP + extra)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(body) + packer.flush()
    assert inflate(memoryview(packed), 2**30) == body
    with pytest.raises(DicomTruncated, match="ends early"):
        inflate(memoryview(packed[:-1]), 2**30)


def test_a_deflated_bomb_is_refused_before_it_swells() -> None:
    data = make_file(SMALL, DEFLATED)
    start = data.index(b"1.2.840.10008.1.2.1.99") + 22
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(bomb.compress(bytes(2**20)) for _ in range(64)) + bomb.flush()
    with pytest.raises(TooLarge, match="inflates to more than 1,048,576"):
        parse_file(data[:start] + packed, 2**20)
