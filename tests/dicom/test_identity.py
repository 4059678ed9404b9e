"""Texts that hold a word of the file's identity are dropped."""

from __future__ import annotations

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from mammo.dicom.file import parse_file
from mammo.dicom.identity import clean_text, identity_words
from mammo.dicom.tags import Tags

from .builders import draw_pixels, make_dataset, make_file, to_bytes

LIMIT = 2**24


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("Medical^Anna", "GE MEDICAL SYSTEMS", False),  # privacy wins
        ("Doe^Jane", "GE MEDICAL SYSTEMS", True),
        ("Li^Wu", "GE LightSpeed Li", True),  # two letters tell nobody apart
        ("Li^Wu", "room LIWU", False),
        ("Lee^Ann", "JLEE01", False),
        ("Lee^Ann", "SLEEVES", True),
        ("Sung^Kim", "SAMSUNG", True),
        ("Müller", "MUELLER 3", False),
        ("Müller", "Muller", False),
        ("Mayer^Eva", "xDrMayersRoom", False),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "機器山田", False),
        ("O'Brien^Mary-Jane", "obrien", False),
        ("Phantom^Phantom", "Phantom Aurora", True),
    ],
)
def test_a_text_with_a_name_is_dropped(name: str, text: str, kept: bool) -> None:
    dataset = make_dataset(draw_pixels(12), ExplicitVRLittleEndian, 12, PatientName=name)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    file = parse_file(to_bytes(dataset), LIMIT)
    words = identity_words(Tags(file.dataset, file.little_endian))
    assert (clean_text(text, words) == text) is kept


@pytest.mark.parametrize(
    "text", ["03.02.1951", "1951-02-03", "secret id", "SECRETID", "a\x1bb", "a\u202eb"]
)
def test_a_text_with_a_birth_date_an_id_or_a_control_is_dropped(text: str) -> None:
    words = identity_words(Tags(parse_file(make_file(), LIMIT).dataset))
    assert clean_text(text, words) == ""


def test_a_long_text_is_cut_after_it_was_checked() -> None:
    assert clean_text("x" * 99, frozenset()) == "x" * 64
    assert clean_text("x" * 99 + " mayer", frozenset({"mayer"})) == ""
