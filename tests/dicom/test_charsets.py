"""Specific Character Set as files have it -> text, and whether the file kept to it."""

from __future__ import annotations

import warnings

import pytest

from mammo.dicom.charsets import find_charset
from mammo.dicom.deidentify import pseudonym
from mammo.dicom.read import read_mammogram_header

from .builders import code_item, make_file

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


@pytest.mark.parametrize(
    ("terms", "raw", "text", "valid"),
    [
        ([], b"Selenia", "Selenia", True),
        (["ISO_IR 100"], "M\u00fcller".encode("latin-1"), "M\u00fcller", True),
        (["ISO_IR 101"], "Novák \u0159".encode("iso8859_2"), "Novák \u0159", True),
        (["ISO_IR 144"], "\u041b\u044e\u043a".encode("iso8859_5"), "\u041b\u044e\u043a", True),
        (["ISO_IR 126"], "\u0394".encode("iso8859_7"), "\u0394", True),
        (["ISO_IR 192"], "\u5c71\u7530".encode(), "\u5c71\u7530", True),
        (["GB18030"], "\u738b".encode("gb18030"), "\u738b", True),
        (["GBK"], "\u738b\u5c0f\u6771".encode("gbk"), "\u738b\u5c0f\u6771", True),
        (["ISO_IR 13"], "\uff94\uff8f".encode("shift_jis"), "\uff94\uff8f", True),
        (["", "ISO 2022 IR 87"], b"\x1b$B;3ED\x1b(B", "\u5c71\u7530", True),
        (
            ["ISO 2022 IR 6", "ISO 2022 IR 87"],
            b"Yamada=\x1b$B;3ED\x1b(B=x",
            "Yamada=\u5c71\u7530=x",
            True,
        ),
        (
            ["ISO 2022 IR 13", "ISO 2022 IR 87"],
            b"\xd4\xcf^\x1b$B;3ED\x1b(J",
            "\uff94\uff8f^\u5c71\u7530",
            True,
        ),
        (["", "ISO 2022 IR 149"], b"Hong^\x1b$)C\xb1\xe6", "Hong^\uae38", True),
        (["", "ISO 2022 IR 58"], b"\x1b$)A\xcd\xf5", "\u738b", True),
        (
            ["ISO 2022 IR 100", "ISO 2022 IR 144"],
            b"\x1b-L\xbb=\xfc",
            "\u041b=\u00fc",
            True,
        ),
        # named wrongly, and understood
        (["ISO-IR 100"], b"\xfc", "\u00fc", False),
        (["ISO IR 192"], "\u738b".encode(), "\u738b", False),
        (["UTF-8"], "\u738b".encode(), "\u738b", False),
        (["", "ISO_2022_IR_87"], b"\x1b$B;3ED\x1b(B", "\u5c71\u7530", False),
        # not kept to, or not known
        ([], "\u00fc".encode(), "\u00fc", False),
        ([], b"\xfc", "\u00fc", False),
        (["ISO_IR 192"], b"\xfc", "\u00fc", False),
        (["KLINGON"], b"\xfc", "\u00fc", False),
        (["KLINGON"], b"plain", "plain", False),
        (["ISO_IR 100"], b"\x1b$Zx", "\x1b$Zx", False),
        (["ISO_IR 100"], b"\x1b", "\x1b", False),
        (["", "ISO 2022 IR 149"], b"\x1b$)C\xff\xff", "\x1b$)C\xff\xff", False),
    ],
)
def test_decoding(terms: list[str], raw: bytes, text: str, valid: bool) -> None:
    charset = find_charset(terms)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoded, kept = charset.decode(raw)
    assert (decoded, kept and charset.valid) == (text, valid)


def file_with(charset: str, patient_id: bytes) -> bytes:
    """Return a file whose Patient ID is these bytes."""
    placeholder = "X" * len(patient_id)
    data = make_file(SpecificCharacterSet=charset, PatientID=placeholder)
    return data.replace(placeholder.encode(), patient_id)


@pytest.mark.parametrize(
    ("charset", "patient_id", "quality"),
    [
        ("ISO_IR 100", "P\u00fc12".encode("latin-1") + b" ", ()),
        ("ISO_IR 192", "P\u00fc1234".encode() + b" ", ()),
        ("ISO_IR 999", b"P-12", ("CHARSET_INVALID",)),
        ("ISO_IR 192", b"P\xfc12", ("CHARSET_INVALID",)),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, when it writes the file
def test_a_file_is_read_whatever_its_character_set(
    charset: str, patient_id: bytes, quality: tuple[str, ...]
) -> None:
    mammogram = read_mammogram_header(file_with(charset, patient_id), key=b"key", site="site")
    assert mammogram.quality == quality


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"]
)
@pytest.mark.parametrize("hidden", ["CANARY TWE", "ISO_IR 6\\C", "CANARY \u00e4\u00f6\u00fc"])
def test_pydicom_does_not_tell_what_stands_for_a_character_set(
    syntax: str, hidden: str, caplog: pytest.LogCaptureFixture
) -> None:
    item = code_item("R-10242", "SRT", SpecificCharacterSet="ISO_IR 100")
    data = make_file(SpecificCharacterSet="ISO_IR 100", ViewCodeSequence=[item], syntax=syntax)
    assert data.count(b"ISO_IR 100") == 2
    data = data.replace(b"ISO_IR 100", hidden.encode("latin-1"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mammogram = read_mammogram_header(data, key=b"key", site="site")
    assert [str(one.message) for one in caught] == []
    assert caplog.text == ""
    assert mammogram.quality == ("CHARSET_INVALID",)


def test_a_patient_is_the_same_in_two_character_sets() -> None:
    name = "\u041b\u044e\u0431\u0430"
    files = (
        file_with("ISO_IR 144", name.encode("iso8859_5")),
        file_with("ISO_IR 192", name.encode()),
    )
    found = {read_mammogram_header(file, key=b"key", site="site").patient_id for file in files}
    assert found == {pseudonym(b"key", "patient", name)}
