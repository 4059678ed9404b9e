"""What is refused, with which code, and which check comes first."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.uid import MPEG2MPML, CTImageStorage

from mammo.dicom.read import read_mammogram, read_mammogram_header
from mammo.errors import ReadError

from .builders import find_shared, make_file


def read_header_of(data: bytes) -> None:
    read_mammogram_header(data, key=b"key", site="site")


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"Modality": "CT", "SOPClassUID": CTImageStorage, "Rows": 60000}, "NOT_MAMMOGRAPHY", "CT"),
        ({"Rows": 60000, "Columns": 60000}, "TOO_LARGE", "60,000 x 60,000"),
        ({"Rows": 60000, "Columns": 60000, "PixelData": None}, "TOO_LARGE", "60,000"),
        ({"PixelData": None}, "PIXELS_UNREADABLE", "no Pixel Data"),
        ({"PixelData": None, "Rows": None}, "DICOM_TRUNCATED", "before Pixel Data"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "PIXELS_UNREADABLE", "is RGB"),
        ({"PhotometricInterpretation": "MY_NAME"}, "PIXELS_UNREADABLE", "is not a defined term"),
    ],
)
def test_refusals(changes: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(ReadError) as caught:
        read_header_of(make_file(**changes))
    assert (caught.value.code, text in caught.value.message) == (code, True), caught.value.message


@pytest.mark.parametrize("syntax", [MPEG2MPML, "1.2.840.10008.1.2.4.94"])
def test_other_transfer_syntaxes_are_refused_by_name(syntax: str) -> None:
    data = make_file()
    element = b"\x02\x00\x10\x00UI"
    start = data.index(element) + len(element)
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    data = data[:start] + len(uid).to_bytes(2, "little") + uid + data[start + 2 + 20 :]
    with pytest.raises(ReadError, match=r"Transfer Syntax UID \(0002,0010\) is (MPEG2|JPIP)") as e:
        read_header_of(data)
    assert e.value.code == "UNSUPPORTED_SYNTAX"


@pytest.mark.parametrize(
    ("end", "lossy"),
    [(50, True), (51, True), (57, False), (70, False), (80, False), (81, True), (90, False)],
)
def test_syntaxes_that_lose_are_told(end: int, lossy: bool) -> None:
    written = b"1.2.840.10008.1.2.4.80"
    data = make_file(syntax=written.decode()).replace(written, written[:-2] + b"%d" % end)
    mammogram = read_mammogram_header(data, key=b"key", site="site")
    assert mammogram.quality == (("LOSSY_COMPRESSED",) if lossy else ())


@pytest.mark.parametrize(
    "changes",
    [{"PhotometricInterpretation": None}, {"HighBit": None}, {"SamplesPerPixel": None}],
    ids=str,
)
def test_pixels_with_few_tags_are_read(changes: dict[str, Any]) -> None:
    read_header_of(make_file(**changes))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("rsna_200779059_jpeg2000.dcm", None),
        ("ge_jpeg_lossless_voi_lut.dcm", None),
        ("truncated_labelled_ct.dcm", "NOT_MAMMOGRAPHY"),
    ],
)
def test_real_files(name: str, code: str | None) -> None:
    path = find_shared("dicom", name)
    if code is None:
        mammogram, image = read_mammogram(path, key=b"key", site="site")
        assert image.pixels.shape == (mammogram.rows, mammogram.columns)
        return
    with pytest.raises(ReadError) as caught:
        read_mammogram(path, key=b"key", site="site")
    assert caught.value.code == code
