"""Nothing that lies beside the pixels in Pixel Data outlives de-identification."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mammo.dicom.codestream_comments import blank_comments
from mammo.dicom.deidentified_copy import Copier
from mammo.dicom.deidentified_file import deidentify_file
from mammo.dicom.read import read_mammogram
from mammo.errors import DicomTruncated, PixelsUnreadable
from mammo.killable import KillablePool

from .builders import ENCODERS, draw_pixels, make_dataset, make_file, to_bytes

KEY = b"a key that is only for the tests"
LIMIT = 2**24
SECRET = b"Secret^Name 1951"
JPEG, RLE = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5"
JFIF = b"JFIF\0\1\2\1\0\x48\0\x48"
ADOBE = b"Adobe\0\x64\0\0\0\0\0"
SPIFF = b"SPIFF\0" + bytes(range(24))


def marked(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


@pytest.mark.parametrize(
    ("marker", "content", "kept"),
    [
        (0xE0, JFIF + b"\0\0" + SECRET, JFIF),
        (0xE0, JFIF + b"\x02\x02" + SECRET, JFIF),  # the sizes of a thumbnail go with it
        (0xEE, ADOBE + SECRET, ADOBE),
        (0xE8, b"mrfx\1" + SECRET, b"mrfx\1"),
        (0xE8, SPIFF + SECRET, SPIFF),
        (0xE8, b"\0\0\0\1\xff\xd8" + SECRET, b"\0\0\0\1\xff\xd8"),
        (0xE5, JFIF + b"\0\0" + SECRET, b""),
        (0xE1, b"Adobe" + SECRET, b""),
        (0xE0, b"Adobe" + SECRET, b""),
        (0xEE, b"AdobeX", b"AdobeX"),
        (0xFE, b"JFIF\0" + SECRET, b""),
    ],
)
def test_of_an_application_segment_its_decoding_part_stays(
    marker: int, content: bytes, kept: bytes
) -> None:
    stream = imagecodecs.jpeg8_encode(draw_pixels(12), lossless=True, bitspersample=12)
    after = stream[2:]
    codestream = bytearray(b"\xff\xd8" + marked(marker, content) + after)
    blank_comments(codestream)
    assert codestream[6 : 6 + len(content)] == kept.ljust(len(content), b"\0")
    assert np.array_equal(imagecodecs.jpeg8_decode(bytes(codestream)), draw_pixels(12))


@pytest.mark.parametrize("syntax", [JPEG, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_what_follows_the_codestreams_end_is_blanked(syntax: str) -> None:
    codestream = bytearray(ENCODERS[syntax](draw_pixels(12), 12).rstrip(b"\0"))
    end = len(codestream)
    blank_comments(codestream)
    before = bytes(codestream)
    codestream += b"Secret^Name"
    blank_comments(codestream)
    assert bytes(codestream) == before[:end] + bytes(11)


@pytest.mark.parametrize("syntax", [JPEG, "1.2.840.10008.1.2.4.80"])
def test_a_comment_after_the_scan_is_blanked(syntax: str) -> None:
    stream = ENCODERS[syntax](draw_pixels(12), 12)
    end = stream.rindex(b"\xff\xd9")
    codestream = bytearray(stream[:end] + marked(0xFE, SECRET) + stream[end:])
    blank_comments(codestream)
    assert codestream[: end + 4] == stream[:end] + marked(0xFE, SECRET)[:4]
    assert codestream[end + 4 :] == bytes(len(SECRET)) + stream[end:]


def test_boxes_around_a_codestream_are_blanked() -> None:
    pixels = draw_pixels(12)
    stream = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2", bitspersample=12)
    box = (8 + len(SECRET)).to_bytes(4, "big") + b"xml " + SECRET
    start = stream.index(b"jp2c") - 4
    codestream = bytearray(stream[:start] + box + stream[start:] + box)
    blank_comments(codestream)
    assert SECRET not in codestream and b"OpenJPEG" not in codestream
    assert np.array_equal(imagecodecs.jpeg2k_decode(bytes(codestream)), pixels)


def encapsulated(stream: bytes, syntax: str, table: bytes = b"") -> bytes:
    """Return a file with these bytes as one fragment and as Basic Offset Table."""
    dataset = make_dataset(draw_pixels(12), syntax, 12)
    value = encapsulate([stream], has_bot=False)
    dataset.PixelData = value[:4] + len(table).to_bytes(4, "little") + table + value[8:]
    return to_bytes(dataset)


def pixels_of(data: bytes) -> np.ndarray:
    return read_mammogram(data, key=KEY, site="s")[1].pixels


def test_the_offset_table_is_emptied() -> None:
    stream = ENCODERS[JPEG](draw_pixels(12), 12)
    data = encapsulated(stream, JPEG, SECRET)
    copy = deidentify_file(data, KEY, LIMIT)
    assert SECRET in data and SECRET not in copy
    assert next(generate_fragments(pydicom.dcmread(BytesIO(copy)).PixelData)) == b""
    assert np.array_equal(pixels_of(copy), draw_pixels(12))


def test_unused_words_of_the_rle_header_are_zeroed() -> None:
    stream = ENCODERS[RLE](draw_pixels(12), 12)
    data = encapsulated(stream[:12] + SECRET * 3 + bytes(4) + stream[64:], RLE)
    copy = deidentify_file(data, KEY, LIMIT)
    assert SECRET in data and SECRET not in copy
    assert np.array_equal(pixels_of(copy), draw_pixels(12))


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize("bits", [8, 12])
def test_native_pixels_end_with_the_image(syntax: str, bits: int) -> None:
    pixels = draw_pixels(bits, columns=23)  # 37 x 23: odd
    dataset = make_dataset(pixels, syntax, bits)
    dataset.PixelData = dataset.PixelData + bytes(len(dataset.PixelData) % 2) + SECRET
    copy = deidentify_file(to_bytes(dataset), KEY, LIMIT)
    assert SECRET not in copy
    size = pixels.nbytes + pixels.nbytes % 2
    assert len(pydicom.dcmread(BytesIO(copy)).PixelData) == size
    assert np.array_equal(pixels_of(copy), pixels)


def test_native_pixels_of_no_known_size_are_refused() -> None:
    with pytest.raises(PixelsUnreadable, match="where the image ends"):
        deidentify_file(make_file(Rows=None), KEY, LIMIT)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("high_bit", [11, 13])
def test_an_overlay_outside_the_stored_bits_goes(syntax: str, signed: bool, high_bit: int) -> None:
    pixels = draw_pixels(12, signed)
    shift = high_bit - 11
    inside = (pixels.view(np.uint16) & 0x0FFF) << shift
    overlaid = inside | ~np.uint16(0x0FFF << shift) & np.uint16(0xA00A)
    dataset = make_dataset(overlaid, syntax, 12, HighBit=high_bit)
    dataset.PixelRepresentation = int(signed)
    copy = deidentify_file(to_bytes(dataset), KEY, LIMIT)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    words = np.frombuffer(pydicom.dcmread(BytesIO(copy)).PixelData, f"{order}u2")
    extended = signed and high_bit == 11  # as writers do: the sign is repeated above
    wanted = pixels.view(np.uint16) if extended else inside
    assert np.array_equal(words.reshape(pixels.shape), wanted)
    _, image = read_mammogram(copy, key=KEY, site="s")
    assert np.array_equal(image.pixels, pixels) and "BITS_ABOVE_STORED" not in image.quality


def lut_item(data: bytes, entries: int, bits: int = 12) -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [entries % 65536, 0, bits], data
    item["LUTData"].VR = "OW"
    return item


@pytest.mark.parametrize(
    ("entries", "bits", "given", "kept"),
    [
        *((8, 12, 16, 16), (8, 12, 48, 16), (65536, 12, 131072, 131072), (8, 8, 8, 8)),
        *((9, 8, 16, 10), (8, 8, 48, 16)),
    ],
)
def test_a_table_ends_where_its_descriptor_says(
    entries: int, bits: int, given: int, kept: int
) -> None:
    data = (bytes(range(1, 17)) + SECRET * (given // 16 + 1))[:given]
    file = make_file(VOILUTSequence=[lut_item(data, entries, bits)])
    copy = pydicom.dcmread(BytesIO(deidentify_file(file, KEY, LIMIT)))
    assert copy.VOILUTSequence[0].LUTData == data[:kept]


def test_a_table_without_descriptor_goes() -> None:
    item = lut_item(SECRET, 8)
    del item.LUTDescriptor
    assert SECRET not in deidentify_file(make_file(VOILUTSequence=[item]), KEY, LIMIT)


def test_what_follows_pixel_data_goes() -> None:
    data = make_file(DataSetTrailingPadding=b"Secret^Name ")
    assert b"Secret^Name" not in deidentify_file(data, KEY, LIMIT)


def test_comments_in_a_codestream_are_blanked() -> None:
    dataset = make_dataset(draw_pixels(12), "1.2.840.10008.1.2.4.70", 12)
    stream = imagecodecs.jpeg8_encode(draw_pixels(12), lossless=True, bitspersample=12)
    text = b"Secret^Name was here"
    segment = (len(text) + 2).to_bytes(2, "big") + text
    stream = stream[:2] + b"\xff\xfe" + segment + b"\xff\xe5" + segment + stream[2:]
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    data = to_bytes(dataset)
    copy = deidentify_file(data, KEY, LIMIT)
    assert b"was here" in data and b"was here" not in copy
    images = [read_mammogram(one, key=KEY, site="s")[1].pixels for one in (data, copy)]
    assert np.array_equal(*images)


def test_a_file_cut_before_its_pixels_is_refused() -> None:
    with pytest.raises(DicomTruncated, match="no Pixel Data"):
        deidentify_file(make_file()[:600], KEY, LIMIT)


@pytest.fixture(scope="module")
def pool() -> KillablePool:
    with KillablePool(1) as pool:
        yield pool


def overlay(syntax: str) -> bytes:
    dataset = make_dataset(draw_pixels(16), syntax, 16)
    dataset.BitsStored, dataset.HighBit = 12, 11
    return to_bytes(dataset)


@pytest.mark.parametrize(
    ("make", "burned_in"),
    [
        (lambda: make_file(syntax=RLE), False),
        (lambda: make_file(BurnedInAnnotation="YES"), True),
        (lambda: overlay(RLE), True),  # coded pixels stay as they are
        (lambda: overlay(ExplicitVRLittleEndian), False),  # masked
    ],
)
def test_what_stays_in_the_pixels_is_told(
    tmp_path: Path, pool: KillablePool, make: Callable[[], bytes], burned_in: bool
) -> None:
    path = tmp_path / "one.dcm"
    path.write_bytes(make())
    copied = Copier(tmp_path / "to", KEY, LIMIT, pool).copy(path)
    assert (copied.state, copied.burned_in) == ("written", burned_in)


def test_a_failed_write_ends_the_run_and_leaves_no_draft(
    tmp_path: Path, pool: KillablePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    path = tmp_path / "one.dcm"
    path.write_bytes(make_file())
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        Copier(tmp_path / "to", KEY, LIMIT, pool).copy(path)
    assert [one for one in (tmp_path / "to").rglob("*") if one.is_file()] == []
